//! Why a handshake failed: a reason to count by, and a detail for the log.

use std::borrow::Cow;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};
use thiserror::Error as ThisError;

use super::client_verifier::ChainTooLarge;
use super::validity;
use crate::telemetry::Label as _;
pub use crate::telemetry::TlsFailure as RefusalReason;

/// True if the client was sent an alert that it should be able to read.
pub(super) fn is_told(reason: RefusalReason) -> bool {
    use RefusalReason as Reason;
    !matches!(reason, Reason::ByClient | Reason::NotTls | Reason::Busy | Reason::Io)
}

/// A handshake that failed.
#[derive(Debug, Clone, ThisError)]
#[error("{}: {detail}", reason.as_str())]
pub struct TlsRefusal {
    /// The kind of failure.
    pub reason: RefusalReason,
    /// What happened and what to do, for the log. Not for the client.
    pub detail: Cow<'static, str>,
    /// True if it closed without a byte, as probes do. It is neither logged nor a failure.
    pub is_probe: bool,
}

impl TlsRefusal {
    pub(super) fn new(reason: RefusalReason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into(), is_probe: false }
    }

    pub(super) fn probe() -> Self {
        let closed = Self::new(RefusalReason::Io, "closed without sending anything");
        Self { is_probe: true, ..closed }
    }

    pub(super) fn io(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::OutOfMemory {
            return Self::new(
                RefusalReason::Busy,
                "too many large handshakes and CONNECTs at once for limits.max_memory",
            );
        }
        Self::new(RefusalReason::Io, format!("the connection broke during the handshake: {error}"))
    }

    /// From an error of the stream, which may hold one of TLS.
    pub(super) fn from_handshake(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::from_tls(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::new(
                RefusalReason::Io,
                "the client closed the connection during the handshake; it may not trust the \
                 broker's certificate",
            ),
            None => Self::io(error),
        }
    }

    pub(super) fn from_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::new(
                RefusalReason::NoCertificate,
                "the client showed no certificate, which client_auth = \"required\" demands; give \
                 it one that an authority in client_ca_file issued",
            ),
            Error::InvalidCertificate(error) => certificate(error),
            Error::PeerIncompatible(error) => incompatible(error),
            Error::AlertReceived(alert) => by_client(*alert),
            Error::InvalidMessage(_) => Self::new(
                RefusalReason::Other,
                format!("what the client sent is not valid TLS: {error}"),
            ),
            error => Self::new(RefusalReason::Other, error.to_string()),
        }
    }
}

fn date(time: UnixTime) -> String {
    validity::text(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

fn certificate(error: &CertificateError) -> TlsRefusal {
    use CertificateError as Problem;
    use RefusalReason as Reason;
    let (reason, detail): (_, Cow<'static, str>) = match error {
        Problem::ExpiredContext { not_after, .. } => (
            Reason::Expired,
            format!("the client's certificate expired on {}; renew it", date(*not_after)).into(),
        ),
        Problem::NotValidYetContext { not_before, .. } => (
            Reason::Expired,
            format!(
                "the client's certificate is not valid before {}; check the clocks",
                date(*not_before)
            )
            .into(),
        ),
        Problem::Revoked => (Reason::Revoked, "the client's certificate is revoked".into()),
        Problem::UnknownRevocationStatus => (
            Reason::RevocationUnknown,
            "crl_file has no revocation list of the issuer of the client's certificate; add it"
                .into(),
        ),
        Problem::ExpiredRevocationListContext { next_update, .. } => (
            Reason::RevocationUnknown,
            format!(
                "the revocation list of the client's issuer was due for its next update on {}; \
                 replace it in crl_file, or set expired_crl = \"warn\"",
                date(*next_update)
            )
            .into(),
        ),
        Problem::UnknownIssuer | Problem::BadSignature => (
            Reason::UnknownCa,
            "no authority in client_ca_file issued the client's certificate; if there are \
             authorities between, the client has to send their certificates"
                .into(),
        ),
        Problem::InvalidPurpose => (
            Reason::BadCertificate,
            "the client's certificate is for another purpose; issue it with extendedKeyUsage = \
             clientAuth, or without extendedKeyUsage"
                .into(),
        ),
        Problem::BadEncoding => {
            (Reason::BadCertificate, "the client's certificate is damaged".into())
        }
        Problem::Other(OtherError(inner)) => match inner.downcast_ref::<webpki::Error>() {
            Some(error) => return unusual(error),
            None if inner.is::<ChainTooLarge>() => {
                (Reason::BadCertificate, inner.to_string().into())
            }
            None => (Reason::BadCertificate, error.to_string().into()),
        },
        error => (Reason::BadCertificate, error.to_string().into()),
    };
    TlsRefusal::new(reason, detail)
}

/// Causes for which rustls has no names.
fn unusual(error: &webpki::Error) -> TlsRefusal {
    use webpki::Error as Problem;
    let bad = |detail| TlsRefusal::new(RefusalReason::BadCertificate, detail);
    match error {
        Problem::UnsupportedCertVersion => bad(Cow::Borrowed(
            "the client's certificate is X.509 version 1, which is not supported; issue it as \
             version 3: `openssl x509 -req ... -extfile FILE`, where FILE has a line \
             extendedKeyUsage=clientAuth",
        )),
        Problem::CaUsedAsEndEntity => bad(Cow::Borrowed(
            "the client's certificate is that of an authority; issue one with basicConstraints = \
             CA:FALSE",
        )),
        Problem::InvalidCrlSignatureForPublicKey
        | Problem::IssuerNotCrlSigner
        | Problem::UnsupportedCrlSignatureAlgorithmContext(_) => TlsRefusal::new(
            RefusalReason::RevocationUnknown,
            format!(
                "the revocation list of the client's issuer in crl_file is not signed by it: \
                 {error}"
            ),
        ),
        error => bad(Cow::Owned(format!("the client's certificate is unfit: {error}"))),
    }
}

fn incompatible(error: &PeerIncompatible) -> TlsRefusal {
    use PeerIncompatible as Problem;
    match error {
        Problem::ServerDoesNotSupportTls12Or13
        | Problem::ServerTlsVersionIsDisabledByOurConfig
        | Problem::SupportedVersionsExtensionRequired
        // Clients send it from TLS 1.2 up (RFC 5246, 7.4.1.4.1), and it is looked at first.
        | Problem::SignatureAlgorithmsExtensionRequired
        | Problem::Tls12NotOffered
        | Problem::Tls12NotOfferedOrEnabled => TlsRefusal::new(
            RefusalReason::UnsupportedVersion,
            "the client supports no TLS version from min_version up; 1.2 is the oldest that is \
             supported",
        ),
        Problem::NoCipherSuitesInCommon
        | Problem::NoKxGroupsInCommon
        | Problem::NoSignatureSchemesInCommon
        | Problem::NoEcPointFormatsInCommon
        | Problem::UncompressedEcPointsRequired
        | Problem::NamedGroupsExtensionRequired => TlsRefusal::new(
            RefusalReason::UnsupportedCipher,
            format!(
                "the client offers no cipher suite, group or signature scheme that the broker and \
                 its key support: {error:?}"
            ),
        ),
        error => TlsRefusal::new(RefusalReason::Other, format!("incompatible client: {error:?}")),
    }
}

fn by_client(alert: AlertDescription) -> TlsRefusal {
    let advice = match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::UnsupportedCertificate => {
            "; it does not accept the broker's certificate: check its authorities, and that the \
             certificate is valid for the host name that it connects to"
        }
        _ => "",
    };
    TlsRefusal::new(RefusalReason::ByClient, format!("the client sent the alert {alert:?}{advice}"))
}
