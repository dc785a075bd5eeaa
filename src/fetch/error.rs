//! Why there is no answer. No line contains the query of a URL, or a name or password in it.

use std::future::Future;
use std::path::PathBuf;

use thiserror::Error;
use tokio::time::Instant;

/// A request that failed.
#[derive(Debug, Error)]
#[error("{url}: {failure}")]
pub struct FetchError {
    /// The URL without its query.
    pub url: Box<str>,
    /// What failed; it is in the line, so it is no `source`.
    pub failure: Failure,
}

/// What failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(&'static str),
    /// The file of authorities cannot be read.
    #[error("cannot read the certificate authorities in {}: {source}", path.display())]
    ReadAuthorities {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file of authorities has an invalid certificate, or none.
    #[error("no usable certificate authorities in {}: {problem}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system has no authorities.
    #[error(
        "the system has no certificate authorities ({0}): install the package ca-certificates, or set ca_file"
    )]
    SystemAuthorities(String),
    /// TLS could not be set up.
    #[error("cannot use TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// The host is not known.
    #[error("cannot look up the host: {0}")]
    Resolve(std::io::Error),
    /// No address of the host could be connected to.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// The TLS handshake failed, such as by an untrusted certificate.
    #[error("the TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    /// The connection ended too early, or what the server sent is not HTTP.
    #[error("{}", causes(&**.0))]
    Http(Box<dyn std::error::Error + Send + Sync>),
    /// The body is longer than this, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The deadline passed.
    #[error("timed out {0}")]
    TimedOut(Stage),
}

/// What a request was waiting for.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The addresses of the host.
    #[error("looking up the host")]
    Resolve,
    /// A TCP connection.
    #[error("connecting")]
    Connect,
    /// TLS.
    #[error("in the TLS handshake")]
    Handshake,
    /// The answer.
    #[error("waiting for the answer")]
    Answer,
}

/// An error with what caused it: hyper's own lines stop at "connection error".
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

/// What `future` yields until `deadline`.
pub(super) async fn within<T>(
    deadline: Instant,
    stage: Stage,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout_at(deadline, future).await.map_err(|_| Failure::TimedOut(stage))
}
