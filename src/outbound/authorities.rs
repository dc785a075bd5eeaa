//! The authorities that a server's certificate is verified against.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;

use crate::config::must_be_regular;

/// Why there are no authorities.
#[derive(Debug, Error)]
pub enum AuthoritiesError {
    /// The file cannot be read.
    #[error("cannot read the certificate authorities in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file has an invalid certificate, or none.
    #[error("no usable certificate authorities in {}: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system has none.
    #[error(
        "the system has no certificate authorities ({0}): install the package ca-certificates, or set ca_file"
    )]
    System(String),
}

/// The authorities in `ca_file` (PEM), else those of the system. Reads up to 300 KiB of files:
/// not for a thread that runs an event loop.
///
/// # Errors
/// They cannot be read, or there are none.
pub fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, AuthoritiesError> {
    ca_file.map_or_else(of_system, of_file)
}

fn of_file(path: &Path) -> Result<RootCertStore, AuthoritiesError> {
    let pem = must_be_regular(path)
        .and_then(|()| std::fs::read(path))
        .map_err(|source| AuthoritiesError::Read { path: path.to_owned(), source })?;
    let unusable = |problem: String| AuthoritiesError::Unusable { path: path.to_owned(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it has no PEM block `CERTIFICATE`".to_owned()));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, AuthoritiesError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old authorities among them may be of a form that rustls does not take.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or("none found".to_owned(), ToString::to_string);
        return Err(AuthoritiesError::System(reason));
    }
    Ok(roots)
}
