//! Why there is no answer. No line contains the query of a URL, or a name or password in it.

use std::future::Future;

use thiserror::Error;
use tokio::time::Instant;

use crate::outbound::{AuthoritiesError, ConnectError};

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
    /// There are no certificate authorities.
    #[error("{0}")]
    Authorities(#[from] AuthoritiesError),
    /// TLS could not be set up.
    #[error("cannot use TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// The host could not be connected to.
    #[error("{0}")]
    Connect(#[from] ConnectError),
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
