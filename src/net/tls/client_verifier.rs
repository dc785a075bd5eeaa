//! Verifies client certificates: against the authorities and the revocation lists.
//!
//! Revocation: the client's own certificate must be covered by a revocation list as soon as
//! there is one at all, so that a forgotten list refuses clients and lets none in. Certificates
//! between it and the authority are looked up where there is a list of their issuer.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use thiserror::Error as ThisError;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::identity::{CHAIN_LIMIT, ClientIdentity};

/// The most certificates that a client may send: its own, and those between it and an authority,
/// perhaps with the authority's. The library tries them in all orders: with these a few hundred,
/// while the 40 that fit in [`CHAIN_LIMIT`] would keep the event loop for 250 ms, for anyone who
/// connects.
const LONGEST_CHAIN: usize = 6;

/// The names of more authorities than fit in this are not sent: their list may have 64 KiB at
/// most (RFC 8446, 4.2.4), and each client would be sent it. Without the list, a client sends
/// whichever certificate it has.
const HINTS_LIMIT: usize = 16 * 1024;

/// Certificates larger than [`CHAIN_LIMIT`], or more than [`LONGEST_CHAIN`].
#[derive(Debug, Clone, Copy, ThisError)]
#[error(
    "the client sends too many certificates: at most {LONGEST_CHAIN} are taken, with {} KiB \
     together; let it send its own and those between it and an authority in client_ca_file",
    CHAIN_LIMIT >> 10
)]
pub struct ChainTooLarge;

/// Authorities and revocation lists of a listener.
#[derive(Debug)]
pub struct ClientVerifier {
    pub anchors: Vec<TrustAnchor<'static>>,
    /// The newest list of an issuer comes before its older ones: the first is used.
    pub crls: Vec<CertRevocationList<'static>>,
    pub required: bool,
    pub expired_crl: ExpirationPolicy,
    pub algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    pub fn new(
        anchors: Vec<TrustAnchor<'static>>,
        crls: Vec<CertRevocationList<'static>>,
        required: bool,
        expired_crl: ExpirationPolicy,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let size: usize = anchors.iter().map(|anchor| anchor.subject.len() + 8).sum();
        let hints = anchors.iter().map(|anchor| DistinguishedName::in_sequence(&anchor.subject));
        let hints = if size > HINTS_LIMIT { Vec::new() } else { hints.collect() };
        Self { anchors, crls, required, expired_crl, algorithms, hints }
    }

    /// Everything, as in a handshake.
    pub fn verify(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let size = own.len() + others.iter().map(|one| one.len()).sum::<usize>();
        if size > CHAIN_LIMIT || others.len() >= LONGEST_CHAIN {
            return Err(other(ChainTooLarge));
        }
        self.check(own, others, now, self.expired_crl).map_err(to_rustls)
    }

    /// Whether a certificate that was valid once would be valid but for the time: its authority
    /// is still there, and it is on no revocation list. A list that has expired, is missing or
    /// is not its issuer's says nothing, and ends no open connection.
    pub fn is_still_trusted(&self, client: &ClientIdentity) -> bool {
        let Some((own, others)) = client.chain().split_first() else { return false };
        let checked = self.check(own, others, client.verified_at(), ExpirationPolicy::Ignore);
        matches!(
            checked,
            Ok(())
                | Err(webpki::Error::UnknownRevocationStatus
                    | webpki::Error::InvalidCrlSignatureForPublicKey
                    | webpki::Error::IssuerNotCrlSigner
                    | webpki::Error::UnsupportedCrlSignatureAlgorithmContext(_))
        )
    }

    fn check(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        time: UnixTime,
        expired_crl: ExpirationPolicy,
    ) -> Result<(), webpki::Error> {
        let certificate = EndEntityCert::try_from(own)?;
        let crls: Vec<_> = self.crls.iter().collect();
        let check = |depth, unknown| {
            let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|builder| {
                builder
                    .with_depth(depth)
                    .with_status_policy(unknown)
                    .with_expiration_policy(expired_crl)
                    .build()
            });
            let usage = KeyUsage::client_auth();
            let known = self.algorithms.all;
            certificate
                .verify_for_usage(known, &self.anchors, others, time, usage, revocation, None)
                .map(|_| ())
        };
        // The chain first, since an unknown status of the own certificate must not hide that
        // of its issuer.
        if !crls.is_empty() && !others.is_empty() {
            check(RevocationCheckDepth::Chain, UnknownStatusPolicy::Allow)?;
        }
        check(RevocationCheckDepth::EndEntity, UnknownStatusPolicy::Deny)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(own, others, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// The variants for which TLS has alerts of their own (RFC 8446, 6.2); the client is told them.
fn to_rustls(error: webpki::Error) -> Error {
    use CertificateError as Problem;
    Error::InvalidCertificate(match error {
        webpki::Error::CertExpired { time, not_after } => {
            Problem::ExpiredContext { time, not_after }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            Problem::NotValidYetContext { time, not_before }
        }
        webpki::Error::CertRevoked => Problem::Revoked,
        webpki::Error::UnknownIssuer => Problem::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => Problem::BadSignature,
        webpki::Error::UnknownRevocationStatus => Problem::UnknownRevocationStatus,
        webpki::Error::CrlExpired { time, next_update } => {
            Problem::ExpiredRevocationListContext { time, next_update }
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => Problem::InvalidPurpose,
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            Problem::BadEncoding
        }
        error => return other(error),
    })
}
