//! Labels of TLS handshakes.

use super::Label;
use super::labels::label;

label! {
    /// Whether a TLS handshake resumed a session, which saves the signatures.
    TlsSession("resumed") {
        /// A new session.
        New => "false",
        /// A session of before.
        Resumed => "true",
    }
}

label! {
    /// Why a TLS handshake failed.
    TlsFailure("reason") {
        /// A client certificate is required, and the client showed none.
        NoCertificate => "no_certificate",
        /// The client's certificate has expired, or is not valid yet.
        Expired => "expired",
        /// The client's certificate, or one of its issuers', is revoked.
        Revoked => "revoked",
        /// No revocation list says anything about the client's certificate, or the list is expired
        /// or invalid.
        RevocationUnknown => "revocation_unknown",
        /// The client's certificate is not from one of the authorities.
        UnknownCa => "unknown_ca",
        /// The client's certificate is otherwise unfit, such as one for servers.
        BadCertificate => "bad_certificate",
        /// The client supports no TLS version that is allowed.
        UnsupportedVersion => "unsupported_version",
        /// Client and broker have no cipher suite, group or signature scheme in common.
        UnsupportedCipher => "unsupported_cipher",
        /// The client refused: usually it does not trust the broker's certificate.
        ByClient => "by_client",
        /// The client does not speak TLS.
        NotTls => "not_tls",
        /// The limit for the memory of unfinished connections was reached.
        Busy => "busy",
        /// The connection broke during the handshake.
        Io => "io",
        /// The client violated the TLS protocol.
        Other => "other",
    }
}
