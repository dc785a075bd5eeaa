//! `[auth]`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
}

impl Default for Auth {
    fn default() -> Self {
        Self { allow_anonymous: Anonymous::Loopback, password_file: None, max_verifications: 2 }
    }
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
