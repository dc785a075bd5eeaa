//! TLS of tests: the certificate of a listener, and clients that do not look at it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    SupportedProtocolVersion,
};
use tempfile::TempDir;

/// The certificate and the key of a listener: RSA with 2048 bits, whose signature costs the
/// most of what is common.
pub fn rsa_files() -> [PathBuf; 2] {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/net/tls/tests/fixtures");
    [fixtures.join("rsa.pem"), fixtures.join("pkcs1.key")]
}

/// The same of Ed25519, whose signatures take little and have one size: a history that is
/// repeated moves the same number of bytes. Written once for this process.
pub fn ed25519_files() -> [PathBuf; 2] {
    static FILES: OnceLock<TempDir> = OnceLock::new();
    let directory = FILES.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(1));
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), key.serialize_pem()).unwrap();
        directory
    });
    ["cert.pem", "key.pem"].map(|name| directory.path().join(name))
}

/// A client that takes every certificate, and resumes its sessions or none.
pub fn client(version: &'static SupportedProtocolVersion, resumes: bool) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    config.resumption =
        if resumes { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
    Arc::new(config)
}

/// One connection of a client, which has its first message to send.
pub fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let mut connection =
        ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
    connection.set_buffer_limit(None);
    connection
}

/// Appends what a connection has to send.
pub fn write(connection: &mut ClientConnection, out: &mut Vec<u8>) {
    while connection.wants_write() {
        connection.write_tls(out).unwrap();
    }
}

/// Trusts everybody, signatures included.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
