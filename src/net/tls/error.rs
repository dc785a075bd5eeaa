//! Why the files of a listener cannot be used: the key, the file, what is wrong, what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a [`TlsContext`](super::TlsContext) cannot be made or replaced. No variant contains a
/// key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A key that is needed is not set.
    #[error("listeners.{listener}.tls.{key} is not set: {wanted}")]
    Unset {
        /// The listener's name.
        listener: String,
        /// The key in its table `tls`.
        key: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A file cannot be used.
    #[error("listeners.{listener}.tls.{key}: {}: {problem}", path.display())]
    File {
        /// The listener's name.
        listener: String,
        /// The key in its table `tls`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The TLS library does not work, such as without random numbers.
    #[error("listeners.{listener}.tls: TLS cannot be set up: {source}")]
    Setup {
        /// The listener's name.
        listener: String,
        /// The cause.
        source: rustls::Error,
    },
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum FileProblem {
    /// It is missing or may not be read.
    #[error("cannot read it: {0}; check the path, and that the broker's user may read it")]
    Read(io::Error),
    /// It is larger than any file of this kind.
    #[error("it is larger than {} MiB: is it the right file?", limit >> 20)]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A PEM section begins and does not end.
    #[error(
        "it breaks off within a PEM section, so it is half written or cut; write it under another \
         name and rename it"
    )]
    Truncated,
    /// A PEM section is not base64.
    #[error("it is not valid PEM ({0}); copy it again")]
    Damaged(String),
    /// It has no certificate.
    #[error(
        "there is no certificate in it; it needs PEM sections that begin with -----BEGIN \
         CERTIFICATE----- (from DER: `openssl x509 -inform der -in FILE`)"
    )]
    NoCertificate,
    /// It has no key.
    #[error(
        "there is no private key in it; it needs a PEM section BEGIN PRIVATE KEY, BEGIN EC \
         PRIVATE KEY or BEGIN RSA PRIVATE KEY"
    )]
    NoKey,
    /// It has no revocation list.
    #[error(
        "there is no revocation list in it; it needs PEM sections that begin with -----BEGIN X509 \
         CRL----- (from DER: `openssl crl -inform der -in FILE`)"
    )]
    NoCrl,
    /// The key needs a pass phrase.
    #[error(
        "the key is encrypted, and the broker has no pass phrase for it; write it without one: \
         `openssl pkey -in FILE -out NEW`, readable by the broker's user only"
    )]
    EncryptedKey,
    /// The key is of an unknown kind, or too short.
    #[error(
        "the key is damaged or of an unsupported kind; use RSA of 2048 to 8192 bits, ECDSA on \
         P-256 or P-384, or Ed25519"
    )]
    UnsupportedKey,
    /// Key and certificate are not a pair.
    #[error(
        "it is not the key of the first certificate in {}; put files that belong together in \
         place, with the server's certificate before those of its issuers",
        certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// A certificate cannot be used.
    #[error("certificate {number} in it cannot be used: {why}")]
    Certificate {
        /// Its place, counted from 1.
        number: usize,
        /// The cause.
        why: String,
    },
    /// A revocation list cannot be used.
    #[error("revocation list {number} in it cannot be used: {why}")]
    Crl {
        /// Its place, counted from 1.
        number: usize,
        /// The cause.
        why: String,
    },
}

/// The listener of a file, for its error.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileKey<'a> {
    pub listener: &'a str,
    pub key: &'static str,
    pub path: &'a Path,
}

impl FileKey<'_> {
    pub fn error(&self, problem: FileProblem) -> TlsError {
        TlsError::File {
            listener: self.listener.to_owned(),
            key: self.key,
            path: self.path.to_owned(),
            problem,
        }
    }
}
