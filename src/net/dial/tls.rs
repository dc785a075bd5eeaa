//! TLS of the dialling end: which server is believed, who the client is, and what a failed
//! handshake means. The files are read at each dial, so that a renewed certificate is used
//! without a reload.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InconsistentKeys, OtherError, crypto,
};

use super::error::OpenError;
use crate::net::tls::FileProblem;
use crate::net::tls::pem::{CERTIFICATES_LIMIT, PemFile};
use crate::net::tls::validity;
use crate::outbound::authorities;

const CERTIFICATE_FILE: &str = "tls.certificate_file";
const KEY_FILE: &str = "tls.key_file";
const VERSION_1: &str = "it is X.509 version 1; issue it as version 3: `openssl x509 -req ... \
                         -extfile FILE`, with subjectAltName=DNS:HOST in FILE for a server";

/// How a server is verified, and who the client is. TLS 1.2 and 1.3, by rustls and ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM: the authorities that the server's certificate is verified against; `None`: those of
    /// the system.
    pub ca_file: Option<PathBuf>,
    /// PEM: the client's certificate, then its chain.
    pub certificate_file: Option<PathBuf>,
    /// PEM: its private key.
    pub key_file: Option<PathBuf>,
    /// The name that is asked for (SNI) and that the certificate has to have; `None`: the host.
    pub server_name: Option<String>,
    /// The protocols that are offered (ALPN), the first one first.
    pub alpn: Vec<String>,
}

impl ClientTls {
    /// The name that is asked for and verified.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, OpenError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        // As DNS names of the root end, and names of certificates do not (RFC 6066, 3).
        let name = name.strip_suffix('.').unwrap_or(name);
        ServerName::try_from(name.to_owned()).map_err(|_| OpenError::ServerName(name.to_owned()))
    }

    /// Whether the files can be used, as of now. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn check(&self) -> Result<(), OpenError> {
        self.load().map(drop)
    }

    /// Reads the files: up to 300 KiB, so not for a thread that runs an event loop.
    pub(super) fn load(&self) -> Result<ClientConfig, OpenError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let client = self.client(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities(self.ca_file.as_deref())?);
        let mut config = match client {
            Some(client) => builder.with_client_cert_resolver(client),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }

    /// The client's certificate with its key.
    fn client(
        &self,
        provider: &crypto::CryptoProvider,
    ) -> Result<Option<Arc<dyn ResolvesClientCert>>, OpenError> {
        let (certificate, key) = match (&self.certificate_file, &self.key_file) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(OpenError::Unset(KEY_FILE)),
            (None, Some(_)) => return Err(OpenError::Unset(CERTIFICATE_FILE)),
        };
        let chain = read(CERTIFICATE_FILE, certificate, PemFile::certificates)?;
        let der = read(KEY_FILE, key, PemFile::key)?;
        let of_key = |problem| OpenError::File { key: KEY_FILE, path: key.clone(), problem };
        let loaded = provider.key_provider.load_private_key(der);
        let pair =
            CertifiedKey::new(chain, loaded.map_err(|_| of_key(FileProblem::UnsupportedKey))?);
        match pair.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(of_key(FileProblem::Mismatch { certificate: certificate.clone() }));
            }
            Err(error) => {
                let why = match &error {
                    Error::InvalidCertificate(error) => unusual(error).map(str::to_owned),
                    _ => None,
                };
                let why = why.unwrap_or_else(|| error.to_string());
                let problem = FileProblem::Certificate { number: 1, why };
                let path = certificate.clone();
                return Err(OpenError::File { key: CERTIFICATE_FILE, path, problem });
            }
        }
        Ok(Some(Arc::new(SingleCertAndKey::from(pair))))
    }
}

fn read<T>(
    key: &'static str,
    path: &Path,
    take: impl FnOnce(&PemFile) -> Result<T, FileProblem>,
) -> Result<T, OpenError> {
    let found = PemFile::read(path, CERTIFICATES_LIMIT).and_then(|file| take(&file));
    found.map_err(|problem| OpenError::File { key, path: path.to_owned(), problem })
}

/// Why TLS with a server failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFault(String);

impl std::error::Error for TlsFault {}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TlsFault {
    /// From an error of a stream, if it is one of TLS.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(Self(match error {
            Error::InvalidCertificate(error) => certificate(error),
            Error::AlertReceived(alert) => by_server(*alert),
            Error::InvalidMessage(_) => format!(
                "the server does not speak TLS on this port ({error}); use the port for TLS, or \
                 an address with mqtt:// or ws://"
            ),
            error => format!("the TLS handshake failed: {error}"),
        }))
    }

    /// From an error of a handshake.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        Self::of(error).unwrap_or_else(|| {
            Self(if error.kind() == io::ErrorKind::UnexpectedEof {
                "the server closed the connection during the TLS handshake; check the port, and \
                 whether it needs tls.server_name or a client certificate"
                    .to_owned()
            } else {
                format!(
                    "the connection broke during the TLS handshake: {error}; check that the port \
                     is one for TLS"
                )
            })
        })
    }
}

fn date(time: UnixTime) -> String {
    validity::text(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as Problem;
    match error {
        Problem::ExpiredContext { not_after, .. } => format!(
            "the server's certificate expired on {}; it has to be renewed at the server",
            date(*not_after)
        ),
        Problem::NotValidYetContext { not_before, .. } => format!(
            "the server's certificate is not valid before {}; check the clocks of both machines",
            date(*not_before)
        ),
        Problem::UnknownIssuer => "no known authority issued the server's certificate; set \
                                   tls.ca_file to a PEM file with the authority that did"
            .to_owned(),
        Problem::BadSignature => "the server's certificate is not signed by the authority that \
                                  it names; check tls.ca_file"
            .to_owned(),
        Problem::NotValidForNameContext { expected, presented } if presented.is_empty() => format!(
            "the server's certificate names no host, and a common name does not count; issue it \
             with subjectAltName=DNS:{}",
            expected.to_str()
        ),
        Problem::NotValidForNameContext { expected, presented } => format!(
            "the server's certificate is not for \"{}\" but for {}; use that name in the address, \
             or set tls.server_name",
            expected.to_str(),
            presented.join(", ")
        ),
        Problem::Revoked => "the server's certificate is revoked".to_owned(),
        error => {
            let why = unusual(error).map_or_else(|| error.to_string(), str::to_owned);
            format!("the server's certificate cannot be used: {why}")
        }
    }
}

/// What is wrong with a certificate that rustls has no words for, and what to do.
fn unusual(error: &CertificateError) -> Option<&'static str> {
    let CertificateError::Other(OtherError(error)) = error else { return None };
    match error.downcast_ref::<webpki::Error>()? {
        webpki::Error::UnsupportedCertVersion => Some(VERSION_1),
        webpki::Error::CaUsedAsEndEntity => Some(
            "it is the certificate of an authority, which cannot be a server's own; issue one for \
             the server with it (basicConstraints=CA:FALSE)",
        ),
        _ => None,
    }
}

fn by_server(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let what = match alert {
        Alert::CertificateRequired | Alert::NoCertificate => {
            "the server wants a client certificate; set tls.certificate_file and tls.key_file"
        }
        Alert::UnknownCA | Alert::BadCertificate | Alert::UnsupportedCertificate => {
            "the server does not accept the client certificate; tls.certificate_file must be \
             issued by an authority that the server knows, with the authorities between in it"
        }
        Alert::CertificateExpired => {
            "the server says that the client certificate has expired; renew tls.certificate_file"
        }
        Alert::CertificateRevoked => {
            "the server says that the client certificate is revoked; replace tls.certificate_file"
        }
        Alert::UnrecognisedName => {
            "the server does not know the name that was asked for; set tls.server_name"
        }
        Alert::NoApplicationProtocol => {
            "the server knows none of the protocols in tls.alpn; set those that it asks for"
        }
        Alert::HandshakeFailure => {
            "the server refused the TLS handshake; it may want a client certificate \
             (tls.certificate_file), or have no cipher in common"
        }
        Alert::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3",
        alert => return format!("the server ended TLS with the alert {alert:?}"),
    };
    what.to_owned()
}
