//! `[auth]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::auth_methods::{AuthCertificate, AuthHttp, AuthJwt, AuthScram};
use super::list::{Item, List};

/// `[auth]`: who may connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// `true`, `false` or `loopback`: whether clients may connect without a user name.
    pub allow_anonymous: Anonymous,
    /// Lines of `user:hash` as `ferrymq passwd` writes them; empty: none.
    #[serde(with = "optional_path")]
    pub password_file: Option<PathBuf>,
    /// Passwords verified at the same time, 1 to 64. Each verification takes one core for
    /// about 20 ms and 19 MiB of memory.
    pub max_verifications: usize,
    /// The ways to authenticate, in the order in which they are asked: `certificate`, `jwt`,
    /// `password`, `http`. Each allows, refuses, or leaves the client to the next; one that is
    /// not configured leaves all.
    pub methods: List<Method>,
    /// Those of `methods` that must all allow a client. Empty: one is enough.
    pub require: List<Method>,
    /// True: a session belongs to the user who created it, and another user with its client id
    /// is refused.
    pub bind_client_id: bool,
    /// `[auth.certificate]`.
    pub certificate: AuthCertificate,
    /// `[auth.jwt]`.
    pub jwt: AuthJwt,
    /// `[auth.http]`.
    pub http: AuthHttp,
    /// `[auth.scram]`.
    pub scram: AuthScram,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            allow_anonymous: Anonymous::Loopback,
            password_file: None,
            max_verifications: 2,
            methods: List(vec![Method::Jwt, Method::Password, Method::Http]),
            require: List::default(),
            bind_client_id: true,
            certificate: AuthCertificate::default(),
            jwt: AuthJwt::default(),
            http: AuthHttp::default(),
            scram: AuthScram::default(),
        }
    }
}

impl Auth {
    /// True if something is configured that can tell who a client is.
    pub fn can_authenticate(&self) -> bool {
        let Self { password_file, jwt, http, scram, .. } = self;
        password_file.is_some()
            || jwt.is_configured()
            || !http.url.is_empty()
            || scram.file.is_some()
    }
}

/// A way to authenticate a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// A client certificate.
    Certificate,
    /// A JSON Web Token in the password field.
    Jwt,
    /// The password file.
    Password,
    /// An HTTP server that is asked.
    Http,
    /// SCRAM-SHA-256, by enhanced authentication. It is no item of `auth.methods`, where it
    /// counts as `password`.
    Scram,
}

impl Method {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Jwt => "jwt",
            Self::Password => "password",
            Self::Http => "http",
            Self::Scram => "scram",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Certificate, Self::Jwt, Self::Password, Self::Http]
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or(())
    }
}

impl Item for Method {
    const EXPECTED: &'static str = "\"certificate\", \"jwt\", \"password\" or \"http\"";
}

/// Whether clients may connect without a user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// On every listener.
    Always,
    /// On none.
    Never,
    /// On listeners that only this machine can reach, and only without a password file.
    #[default]
    Loopback,
}

impl Serialize for Anonymous {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
            Self::Loopback => serializer.serialize_str("loopback"),
        }
    }
}

impl<'de> Deserialize<'de> for Anonymous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Anonymous;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or \"loopback\"")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Anonymous, E> {
                Ok(if value { Anonymous::Always } else { Anonymous::Never })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Anonymous, E> {
                match text {
                    "true" => Ok(Anonymous::Always),
                    "false" => Ok(Anonymous::Never),
                    "loopback" => Ok(Anonymous::Loopback),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// An optional path, with the empty string for `None`, which TOML cannot write. So the key can
/// be shown with its default, and a later layer can undo what an earlier one set.
pub(super) mod optional_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option)] // The form in which serde passes a field.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.clone().unwrap_or_default().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        let path = PathBuf::deserialize(from)?;
        Ok((!path.as_os_str().is_empty()).then_some(path))
    }
}
