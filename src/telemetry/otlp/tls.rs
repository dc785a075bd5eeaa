//! TLS to a collector, with the system's authorities or a given one.

use std::path::Path;

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};

use super::PushError;
use super::settings::Target;

/// `None` for an endpoint without TLS.
///
/// # Errors
/// A file cannot be read, or a certificate lacks its key.
pub(super) fn tls(target: &Target) -> Result<Option<ClientTlsConfig>, PushError> {
    if !target.endpoint.starts_with("https://") {
        return Ok(None);
    }
    let config = match &target.authority {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    Ok(Some(match (&target.certificate, &target.key) {
        (Some(certificate), Some(key)) => {
            config.identity(Identity::from_pem(read(certificate)?, read(key)?))
        }
        (None, None) => config,
        _ => return Err(PushError::IncompleteIdentity),
    }))
}

fn read(path: &Path) -> Result<Vec<u8>, PushError> {
    std::fs::read(path).map_err(|source| PushError::File { path: path.to_owned(), source })
}
