//! Authorities, a listener's files, and clients.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::super::*;
use crate::broker::{ConnectMemory, ConnectShare};
use crate::config::{ClientAuth, ListenerTls};

pub type ClientStream = tokio_rustls::client::TlsStream<DuplexStream>;

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Issued {
    pub pem: String,
    pub key: KeyPair,
    pub serial: SerialNumber,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let (params, key) = Self::params(name);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// An authority below this one.
    pub fn below(&self, name: &str) -> Self {
        let (params, key) = Self::params(name);
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params, KeyPair::generate().unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn serial(&self) -> SerialNumber {
        let (_, parsed) = x509_parser::parse_x509_certificate(self.0.der()).unwrap();
        SerialNumber::from_slice(parsed.raw_serial())
    }

    pub fn issue(&self, name: &str) -> Issued {
        self.issue_with(name, |_| {})
    }

    pub fn issue_with(&self, name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        // Of its key, so that each has another.
        let mut bytes = key.public_key_raw()[1..9].to_vec();
        bytes[0] = bytes[0] & 0x7F | 0x40;
        let serial = SerialNumber::from(bytes);
        params.serial_number = Some(serial.clone());
        edit(&mut params);
        let pem = params.signed_by(&key, &self.0).unwrap().pem();
        Issued { pem, key, serial }
    }

    /// A revocation list that is valid until the beginning of a year.
    pub fn crl(&self, revoked: &[&Issued], until: i32) -> String {
        let serials = revoked.iter().map(|one| one.serial.clone()).collect();
        self.crl_of(serials, 2020, until)
    }

    pub fn crl_of(&self, revoked: Vec<SerialNumber>, from: i32, until: i32) -> String {
        let entry = |serial_number| RevokedCertParams {
            serial_number,
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(from, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.into_iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// The files of a listener, and both authorities.
pub struct World {
    pub directory: TempDir,
    /// The authority that clients trust.
    pub servers: Authority,
    /// The authority of clients.
    pub clients: Authority,
    pub settings: ListenerTls,
}

impl World {
    pub fn new(client_auth: ClientAuth) -> Self {
        let directory = tempdir().unwrap();
        let at = |name: &str| Some(directory.path().join(name));
        let settings = ListenerTls {
            certificate_file: at("server.pem"),
            key_file: at("server.key"),
            client_ca_file: (client_auth != ClientAuth::Off).then(|| at("ca.pem")).flatten(),
            client_auth,
            ..ListenerTls::default()
        };
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let world = Self { directory, servers, clients, settings };
        world.renew();
        world.write("ca.pem", &world.clients.pem());
        world
    }

    /// With a revocation list.
    pub fn with_crl(client_auth: ClientAuth, crl: impl FnOnce(&Authority) -> String) -> Self {
        let mut world = Self::new(client_auth);
        world.settings.crl_file = Some(world.path("crl.pem"));
        world.write("crl.pem", &crl(&world.clients));
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes a new certificate and key of the server.
    pub fn renew(&self) {
        let server = self.servers.issue("localhost");
        self.write("server.pem", &server.pem);
        self.write("server.key", &server.key.serialize_pem());
    }

    pub fn context(&self) -> TlsContext {
        self.load().unwrap()
    }

    pub fn load(&self) -> Result<TlsContext, TlsError> {
        TlsContext::load("secure", false, &self.settings)
    }

    /// A client without a certificate, or with one.
    pub fn client(&self, certificate: Option<&Issued>) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS13, &rustls::version::TLS12], certificate)
    }

    pub fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&Issued>,
    ) -> ClientConfig {
        let pair = certificate.map(|one| (one.pem.clone(), one.key.serialize_pem()));
        client(&self.servers.pem(), versions, pair)
    }
}

/// A client that trusts an authority, with a certificate and key as PEM.
pub fn client(
    authority: &str,
    versions: &[&'static SupportedProtocolVersion],
    pair: Option<(String, String)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match pair {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let key = ring::sign::any_supported_type(&key).unwrap();
            // Not looked at, as a certificate of version 1 would be refused here.
            let pair = CertifiedKey::new(chain.map(Result::unwrap).collect(), key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
        }
    }
}

/// Memory for any handshake.
pub fn unlimited() -> ConnectShare {
    ConnectMemory::new(u64::MAX).share()
}

/// The turn of a handshake that need not wait for one.
pub async fn at_once() {}

/// Both ends of a handshake. The broker's says one byte afterwards, since a client of TLS 1.3
/// is done before the broker has seen its certificate.
pub async fn handshake(
    context: &TlsContext,
    client: impl Into<Arc<ClientConfig>>,
) -> (Result<TlsStream<DuplexStream>, TlsRefusal>, io::Result<ClientStream>) {
    let (near, far) = duplex(64 * 1024);
    let server = async {
        let mut stream = context.accept(near, unlimited(), at_once).await?;
        stream.write_all(b"A").await.unwrap();
        stream.flush().await.unwrap();
        Ok(stream)
    };
    let connector = TlsConnector::from(client.into());
    let client = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, far).await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    tokio::join!(server, client)
}

/// A handshake that succeeds.
pub async fn accepted(
    context: &TlsContext,
    client: impl Into<Arc<ClientConfig>>,
) -> (TlsStream<DuplexStream>, ClientStream) {
    let (server, client) = handshake(context, client).await;
    (server.unwrap(), client.unwrap())
}

/// A handshake that the broker refuses: why, and what the client learns.
pub async fn refused(
    context: &TlsContext,
    client: impl Into<Arc<ClientConfig>>,
) -> (TlsRefusal, String) {
    let (server, client) = handshake(context, client).await;
    (server.err().unwrap(), client.err().unwrap().to_string())
}

/// Bytes from one end arrive at the other, both ways.
pub async fn echo(server: &mut TlsStream<DuplexStream>, client: &mut ClientStream) {
    let mut bytes = [0; 5];
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut bytes).await.unwrap();
    server.write_all(&bytes).await.unwrap();
    server.flush().await.unwrap();
    bytes = [0; 5];
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
}

/// Polls everything that can go on.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
