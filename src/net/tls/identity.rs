//! Who a verified client certificate speaks of.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::subject;
use crate::peer::ClientCertificate;

/// The most bytes that a client's certificate and those of its issuers may have together. A
/// certificate has 0.5 to 2 KiB, and a connection keeps them twice: rustls's copy and this one.
pub(super) const CHAIN_LIMIT: usize = 16 * 1024;

/// A verified client certificate, with what is needed to verify it again when authorities or
/// revocation lists change. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    certificate: Arc<ClientCertificate>,
    chain: Arc<[CertificateDer<'static>]>,
    verified_at: UnixTime,
    /// The state of authorities and revocation lists that it was verified against.
    generation: u64,
}

impl ClientIdentity {
    /// From a chain that was verified, its own certificate first. None if the certificate
    /// cannot be parsed.
    pub(super) fn new(
        chain: &[CertificateDer<'static>],
        verified_at: UnixTime,
        generation: u64,
    ) -> Option<Self> {
        let certificate = Arc::new(read(chain.first()?)?);
        Some(Self { certificate, chain: chain.into(), verified_at, generation })
    }

    /// What the certificate says.
    pub fn certificate(&self) -> &Arc<ClientCertificate> {
        &self.certificate
    }

    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(super) fn verified_at(&self) -> UnixTime {
        self.verified_at
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}

fn read(der: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    Some(ClientCertificate {
        subject: subject::rfc2253(certificate.subject()).into(),
        common_name: subject::common_name(certificate.subject()),
        alternative_names: alternative_names(&certificate),
        serial: certificate.raw_serial().into(),
        issuer: certificate.issuer().as_raw().into(),
        fingerprint: hexadecimal(digest.as_ref()).into(),
    })
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Box<[Box<str>]> {
    let names = certificate.extensions().iter().filter_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        }
    });
    let texts = names.flatten().filter_map(|name| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            // Others would cut it at a NUL.
            (!text.is_empty() && !text.contains('\0')).then(|| (*text).into())
        }
        _ => None,
    });
    texts.collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
