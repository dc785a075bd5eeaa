//! `[auth.certificate]`, `[auth.jwt]`, `[auth.http]`, `[auth.scram]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::list::List;
use super::{Secret, Span};

/// The part of a client certificate that is the user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateName {
    /// The common name of its subject.
    #[default]
    Cn,
    /// Its first subject alternative name: a DNS name, an e-mail address or a URI.
    San,
    /// The whole subject, as in RFC 4514.
    Subject,
}

/// `[auth.certificate]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthCertificate {
    /// `cn`, `san` or `subject`: what of a client certificate is the user name.
    pub username: CertificateName,
}

/// What a token's user name has to be equal to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenMatch {
    /// To nothing.
    #[default]
    Off,
    /// To the user name in CONNECT.
    Username,
    /// To the client id.
    ClientId,
}

/// `[auth.jwt]`: JSON Web Tokens in the password field. It is configured if one of `secret`,
/// `secret_file`, `key_file`, `jwks_file` and `jwks_url` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthJwt {
    /// The key of HS256, HS384 and HS512; meant for the environment.
    pub secret: Secret,
    /// A file with that key. A line end at its end does not belong to it.
    #[serde(with = "super::access::optional_path")]
    pub secret_file: Option<PathBuf>,
    /// PEM: a public key (or a certificate) for RS256, PS256, ES256, `EdDSA` and their kin.
    #[serde(with = "super::access::optional_path")]
    pub key_file: Option<PathBuf>,
    /// A JSON Web Key Set.
    #[serde(with = "super::access::optional_path")]
    pub jwks_file: Option<PathBuf>,
    /// The URL of a JSON Web Key Set.
    pub jwks_url: String,
    /// How often that URL is read again, 10s to 7d.
    pub jwks_refresh: Span,
    /// PEM: the authorities of that URL's server; empty: those of the system.
    #[serde(with = "super::access::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// The `iss` that a token must have; empty: any.
    pub issuer: String,
    /// The `aud` of which a token must have one; empty: any.
    pub audience: List<String>,
    /// How much the clocks of issuer and broker may differ, 0s to 1h.
    pub leeway: Span,
    /// Whether a token must have an `exp`.
    pub require_expiry: bool,
    /// The claim that is the user name.
    pub username_claim: String,
    /// `off`, `username` or `client-id`: what that user name must be equal to.
    pub username_must_match: TokenMatch,
    /// The claim that has access rules.
    pub acl_claim: String,
}

impl Default for AuthJwt {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            secret_file: None,
            key_file: None,
            jwks_file: None,
            jwks_url: String::new(),
            jwks_refresh: Span::seconds(300),
            ca_file: None,
            issuer: String::new(),
            audience: List::default(),
            leeway: Span::seconds(10),
            require_expiry: true,
            username_claim: "sub".to_owned(),
            username_must_match: TokenMatch::Off,
            acl_claim: "acl".to_owned(),
        }
    }
}

impl AuthJwt {
    /// True if there is a key.
    pub fn is_configured(&self) -> bool {
        !self.secret.reveal().is_empty()
            || self.secret_file.is_some()
            || self.key_file.is_some()
            || self.jwks_file.is_some()
            || !self.jwks_url.is_empty()
    }
}

/// `[auth.http]`: a server that is asked with a POST of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthHttp {
    /// Its URL; empty: none.
    pub url: String,
    /// PEM: the authorities of its certificate; empty: those of the system.
    #[serde(with = "super::access::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// A file with the value of the `Authorization` header; empty: none.
    #[serde(with = "super::access::optional_path")]
    pub authorization_file: Option<PathBuf>,
    /// How long an answer may take, 100ms to 1m.
    pub timeout: Span,
    /// Requests at the same time, 1 to 1,000. Addresses take turns.
    pub max_requests: usize,
    /// How long an answer is used again for the same client, 0s to 1d.
    pub cache_time: Span,
    /// Answers that are kept, 0 to 1,000,000.
    pub cache_size: usize,
}

impl Default for AuthHttp {
    fn default() -> Self {
        Self {
            url: String::new(),
            ca_file: None,
            authorization_file: None,
            timeout: Span::seconds(5),
            max_requests: 32,
            cache_time: Span::seconds(0),
            cache_size: 10_000,
        }
    }
}

/// `[auth.scram]`: SCRAM-SHA-256 by the enhanced authentication of MQTT 5.0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthScram {
    /// Lines of `user:SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`, as `ferrymq passwd
    /// --scram` writes them; empty: none.
    #[serde(with = "super::access::optional_path")]
    pub file: Option<PathBuf>,
}
