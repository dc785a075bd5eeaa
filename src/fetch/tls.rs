//! TLS of requests: the authorities that a server's certificate is verified against.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::error::Failure;
use crate::config::must_be_regular;

/// A connector that trusts the authorities in `ca_file`, else those of the system. Reads files.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, Failure> {
    let roots = ca_file.map_or_else(of_system, of_file)?;
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn of_file(path: &Path) -> Result<RootCertStore, Failure> {
    let pem = must_be_regular(path)
        .and_then(|()| std::fs::read(path))
        .map_err(|source| Failure::ReadAuthorities { path: path.to_owned(), source })?;
    let unusable = |problem: String| Failure::Authorities { path: path.to_owned(), problem };
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

fn of_system() -> Result<RootCertStore, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old authorities among them may be of a form that rustls does not take.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or("none found".to_owned(), ToString::to_string);
        return Err(Failure::SystemAuthorities(reason));
    }
    Ok(roots)
}
