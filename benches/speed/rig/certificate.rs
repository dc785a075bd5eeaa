//! The certificate that a broker shows in one run, and clients that trust it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::load::SERVER_NAME;

/// PEM files.
pub struct Certificate {
    pub file: PathBuf,
    pub key: PathBuf,
}

/// Makes a certificate in `dir`.
pub fn issue(dir: &Path) -> io::Result<(Certificate, Arc<ClientConfig>)> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([SERVER_NAME.to_owned()]).map_err(io::Error::other)?;
    let files = Certificate { file: dir.join("server.crt"), key: dir.join("server.key") };
    fs::write(&files.file, cert.pem())?;
    fs::write(&files.key, signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).map_err(io::Error::other)?;
    let clients = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((files, Arc::new(clients)))
}
