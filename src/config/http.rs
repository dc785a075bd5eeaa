//! `[http]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::access::optional_path;
use super::{Bind, Hosts, Secret};

/// Fewest characters of a token; a shorter one could be guessed.
const LEAST_TOKEN: usize = 16;
/// Most characters of a token; a longer one is a mistake, most likely a whole file.
const LONGEST_TOKEN: usize = 256;

/// `[http]`: metrics, health, the admin API and the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port, or `off`.
    pub bind: Bind,
    /// A listener of its own for `/metrics`, which is then not on `bind`; or `off`.
    pub metrics_bind: Bind,
    /// The names that a request's Host header may have, besides `localhost` and IP
    /// addresses: separated by commas, `*` for all, or `auto`.
    pub allowed_hosts: Hosts,
    /// The bearer token of the admin API, 16 to 256 characters. Empty: see `token_file`.
    pub token: Secret,
    /// A file with the token; without it and without `token` the API is off.
    #[serde(with = "optional_path")]
    pub token_file: Option<PathBuf>,
    /// True: the page of the console is served.
    pub console: bool,
    /// Directory for the backups of the admin API; empty: it makes none.
    #[serde(with = "optional_path")]
    pub backup_dir: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            bind: Bind::loopback(8080),
            metrics_bind: Bind::Off,
            allowed_hosts: Hosts::Auto,
            token: Secret::default(),
            token_file: None,
            console: true,
            backup_dir: None,
        }
    }
}

impl Http {
    /// The address where a probe on this machine finds `/healthz` and `/readyz`.
    pub fn health(&self) -> Bind {
        if self.bind == Bind::Off { self.metrics_bind } else { self.bind }
    }
}

/// Checks a token. The error says what is wrong and never repeats the token.
///
/// # Errors
/// The token cannot stand in a header, or is shorter than 16 or longer than 256 characters.
pub fn check_token(token: &str) -> Result<(), &'static str> {
    // A token in a header cannot contain spaces or control characters: RFC 6750, section 2.1.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a token is one word of ASCII letters, digits and signs, without spaces");
    }
    if token.len() < LEAST_TOKEN {
        return Err("a token has at least 16 characters: make one with `openssl rand -hex 32`");
    }
    if token.len() > LONGEST_TOKEN {
        return Err("a token has at most 256 characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_could_be_guessed_or_not_be_sent_is_refused() {
        for bad in
            ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n", "ü23456789abcdef0"]
        {
            assert!(check_token(bad).is_err(), "{bad:?}");
        }
        assert!(check_token(&"x".repeat(257)).is_err());
        for good in ["0123456789abcdef", &"x".repeat(256), "1234567890123456", "a+b/c==~._-:,;!?"] {
            assert!(check_token(good).is_ok(), "{good:?}");
        }
    }
}
