//! Reads and checks all files of a listener, before any of them comes into force.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};
use webpki::{CertRevocationList, ExpirationPolicy, OwnedCertRevocationList};
use x509_parser::asn1_rs::Any;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{X509Name, X509Version};

use super::client_verifier::ClientVerifier;
use super::error::{FileKey, FileProblem, TlsError};
use super::pem::{CERTIFICATES_LIMIT, CRL_LIMIT, PemFile};
use super::subject;
use super::validity::{Dated, Findings};
use crate::config::{ClientAuth, ExpiredCrl, ListenerTls};

/// Times for metrics, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsExpiry {
    /// When the listener's own certificate expires.
    pub certificate: i64,
    /// When the first of its revocation lists is due for its next update.
    pub crl: Option<i64>,
}

/// SHA-256 of the files, to tell whether they changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    own: [[u8; 32]; 2],
    /// Authorities and revocation lists.
    pub clients: [Option<[u8; 32]>; 2],
}

/// What the files say, checked.
#[derive(Debug)]
pub struct Material {
    pub key: Arc<CertifiedKey>,
    pub verifier: Option<ClientVerifier>,
    pub digests: Digests,
    pub findings: Findings,
}

impl Material {
    /// Reads the files. Blocks.
    pub fn load(
        listener: &str,
        settings: &ListenerTls,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let loader = Loader { listener, settings, provider };
        let mut findings = Findings {
            own: Dated { name: String::new(), until: 0 },
            own_from: 0,
            exposed_key: None,
            authorities: Vec::new(),
            crls: Vec::new(),
            without_crl: Vec::new(),
            expired_crl: settings.expired_crl,
            unused: Vec::new(),
        };
        let (key, own) = loader.own(&mut findings)?;
        let (verifier, clients) = loader.clients(&mut findings)?;
        Ok(Self { key, verifier, digests: Digests { own, clients }, findings })
    }
}

struct Loader<'a> {
    listener: &'a str,
    settings: &'a ListenerTls,
    provider: &'a CryptoProvider,
}

impl<'a> Loader<'a> {
    fn file(
        &self,
        key: &'static str,
        path: Option<&'a Path>,
        wanted: &'static str,
    ) -> Result<FileKey<'a>, TlsError> {
        let listener = self.listener;
        let unset = || TlsError::Unset { listener: listener.to_owned(), key, wanted };
        Ok(FileKey { listener, key, path: path.ok_or_else(unset)? })
    }

    /// The own certificate with its chain and key.
    fn own(&self, findings: &mut Findings) -> Result<(Arc<CertifiedKey>, [[u8; 32]; 2]), TlsError> {
        let settings = self.settings;
        let certificate_file = self.file(
            "certificate_file",
            settings.certificate_file.as_deref(),
            "a TLS listener needs a PEM file with its certificate and those of its issuers",
        )?;
        let key_file = self.file(
            "key_file",
            settings.key_file.as_deref(),
            "a TLS listener needs a PEM file with the private key of its certificate",
        )?;
        let pem = PemFile::read(certificate_file.path, CERTIFICATES_LIMIT)
            .map_err(|problem| certificate_file.error(problem))?;
        let key_pem = PemFile::read(key_file.path, CERTIFICATES_LIMIT)
            .map_err(|problem| key_file.error(problem))?;
        let chain = pem.certificates().map_err(|problem| certificate_file.error(problem))?;
        for (index, der) in chain.iter().enumerate() {
            let parsed = parse(index, der).map_err(|problem| certificate_file.error(problem))?;
            if index == 0 {
                if parsed.version() != X509Version::V3 {
                    let why = "it is X.509 version 1, which clients do not accept; issue it as \
                               version 3: `openssl x509 -req ... -extfile FILE`";
                    let why = why.to_owned();
                    return Err(certificate_file.error(FileProblem::Certificate { number: 1, why }));
                }
                findings.own = dated(&parsed);
                findings.own_from = parsed.validity().not_before.timestamp();
            }
        }
        if key_pem.world_readable {
            findings.exposed_key = Some(key_file.path.to_owned());
        }
        let der = key_pem.key().map_err(|problem| key_file.error(problem))?;
        let key = self
            .provider
            .key_provider
            .load_private_key(der)
            .map_err(|_| key_file.error(FileProblem::UnsupportedKey))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(RustlsError::InconsistentKeys(_)) => {
                let certificate = certificate_file.path.to_owned();
                return Err(key_file.error(FileProblem::Mismatch { certificate }));
            }
            Err(error) => {
                let why = error.to_string();
                return Err(certificate_file.error(FileProblem::Certificate { number: 1, why }));
            }
        }
        Ok((Arc::new(key), [pem.digest(), key_pem.digest()]))
    }

    /// Authorities and revocation lists of clients.
    #[expect(clippy::type_complexity, reason = "the two parts of one result")]
    fn clients(
        &self,
        findings: &mut Findings,
    ) -> Result<(Option<ClientVerifier>, [Option<[u8; 32]>; 2]), TlsError> {
        let settings = self.settings;
        if settings.client_auth == ClientAuth::Off {
            let ca = settings.client_ca_file.as_ref().map(|_| "client_ca_file");
            let crl = settings.crl_file.as_ref().map(|_| "crl_file");
            findings.unused = ca.into_iter().chain(crl).collect();
            return Ok((None, [None, None]));
        }
        let file = self.file(
            "client_ca_file",
            settings.client_ca_file.as_deref(),
            "client_auth needs a PEM file with the authorities that client certificates are \
             issued by",
        )?;
        let pem =
            PemFile::read(file.path, CERTIFICATES_LIMIT).map_err(|problem| file.error(problem))?;
        let certificates = pem.certificates().map_err(|problem| file.error(problem))?;
        let mut anchors = Vec::new();
        let mut names = Vec::new();
        for (index, der) in certificates.iter().enumerate() {
            let (anchor, name) =
                authority(index, der, findings).map_err(|problem| file.error(problem))?;
            anchors.push(anchor);
            names.push(name);
        }
        let (crls, crl_digest) = match settings.crl_file.as_deref() {
            Some(path) => {
                let file = FileKey { listener: self.listener, key: "crl_file", path };
                let (crls, digest) =
                    crls(path, &names, findings).map_err(|problem| file.error(problem))?;
                (crls, Some(digest))
            }
            None => (Vec::new(), None),
        };
        let required = settings.client_auth == ClientAuth::Required;
        let policy = match settings.expired_crl {
            ExpiredCrl::Refuse => ExpirationPolicy::Enforce,
            ExpiredCrl::Warn => ExpirationPolicy::Ignore,
        };
        let algorithms = self.provider.signature_verification_algorithms;
        let verifier = ClientVerifier::new(anchors, crls, required, policy, algorithms);
        Ok((Some(verifier), [Some(pem.digest()), crl_digest]))
    }
}

fn parse<'a>(
    index: usize,
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, FileProblem> {
    let problem = |_| FileProblem::Certificate {
        number: index + 1,
        why: "it is damaged; copy it again".to_owned(),
    };
    X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(problem)
}

fn dated(certificate: &X509Certificate<'_>) -> Dated {
    Dated {
        name: subject::rfc2253(certificate.subject()),
        until: certificate.validity().not_after.timestamp(),
    }
}

/// An authority, with its subject as it is encoded.
fn authority(
    index: usize,
    der: &CertificateDer<'static>,
    findings: &mut Findings,
) -> Result<(TrustAnchor<'static>, Vec<u8>), FileProblem> {
    let parsed = parse(index, der)?;
    let anchor = webpki::anchor_from_trusted_cert(der)
        .map_err(|error| FileProblem::Certificate { number: index + 1, why: error.to_string() })?;
    findings.authorities.push(dated(&parsed));
    Ok((anchor.to_owned(), parsed.subject().as_raw().to_owned()))
}

/// The lists, the newest first, and the digest of their file.
fn crls(
    path: &Path,
    authorities: &[Vec<u8>],
    findings: &mut Findings,
) -> Result<(Vec<CertRevocationList<'static>>, [u8; 32]), FileProblem> {
    let pem = PemFile::read(path, CRL_LIMIT)?;
    let mut parsed = Vec::new();
    let mut issuers = Vec::new();
    for (index, der) in pem.crls()?.iter().enumerate() {
        let problem = |why| FileProblem::Crl { number: index + 1, why };
        let crl = OwnedCertRevocationList::from_der(der)
            .map_err(|error| problem(format!("{error}; export it again as a full list, v2")))?;
        let head = head(der).ok_or_else(|| problem("it is damaged; copy it again".to_owned()))?;
        issuers.push(head.issuer);
        findings.crls.push(head.dated);
        parsed.push((head.from, CertRevocationList::from(crl)));
    }
    let missing = authorities.iter().zip(&findings.authorities);
    findings.without_crl = missing
        .filter(|(name, _)| !issuers.contains(name))
        .map(|(_, authority)| authority.name.clone())
        .collect();
    parsed.sort_by_key(|(from, _)| std::cmp::Reverse(*from));
    Ok((parsed.into_iter().map(|(_, crl)| crl).collect(), pem.digest()))
}

/// What precedes the entries of a revocation list.
struct CrlHead {
    issuer: Vec<u8>,
    /// When it was issued, in seconds since 1970.
    from: i64,
    dated: Dated,
}

/// RFC 5280, 5.1: version, signature algorithm, issuer, this update, next update. The entries
/// are left alone, since there may be a million.
fn head(der: &[u8]) -> Option<CrlHead> {
    let (_, list) = Any::from_der(der).ok()?;
    let (_, signed) = Any::from_der(list.data).ok()?;
    let (rest, _version) = Any::from_der(signed.data).ok()?;
    let (rest, _algorithm) = Any::from_der(rest).ok()?;
    let (rest, issuer) = X509Name::from_der(rest).ok()?;
    let (rest, from) = ASN1Time::from_der(rest).ok()?;
    let (_, until) = ASN1Time::from_der(rest).ok()?;
    Some(CrlHead {
        issuer: issuer.as_raw().to_owned(),
        from: from.timestamp(),
        dated: Dated { name: subject::rfc2253(&issuer), until: until.timestamp() },
    })
}
