//! The bearer token: reads it and compares it.

use std::fmt;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use subtle::ConstantTimeEq as _;

use crate::config::{self, check_token};

/// Space for the longest valid token and its end mark.
const ROOM: usize = 257;
/// A larger file is not read completely.
const LARGEST_FILE: u64 = 4096;

/// Why the configured token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file {path} (http.token_file): {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file does not contain a valid token.
    #[error("the token file {path} (http.token_file) holds no token: {problem}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong; never the token itself.
        problem: &'static str,
    },
}

/// The token of a running broker, which a reload may replace.
pub struct Tokens(RwLock<Option<Padded>>);

/// A token that was read and is not yet in force.
pub struct NewToken(Option<Padded>);

/// A token followed by an end mark and zeros, so that a comparison takes the same time for any
/// input, and includes the length.
struct Padded([u8; ROOM]);

impl Padded {
    fn new(token: &[u8]) -> Option<Self> {
        let mut bytes = [0; ROOM];
        bytes.get_mut(..token.len())?.copy_from_slice(token);
        *bytes.get_mut(token.len())? = 1;
        Some(Self(bytes))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Tokens(***)" } else { "Tokens()" })
    }
}

impl NewToken {
    /// Reads the configured token.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(http: &config::Http) -> Result<Self, TokenError> {
        let token = match &http.token_file {
            Some(path) => Some(read(path)?),
            None => Some(http.token.reveal().to_owned()).filter(|token| !token.is_empty()),
        };
        Ok(Self(token.and_then(|token| Padded::new(token.as_bytes()))))
    }
}

impl Tokens {
    /// Reads the configured token, if there is one.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn load(http: &config::Http) -> Result<Self, TokenError> {
        NewToken::read(http).map(|NewToken(token)| Self(RwLock::new(token)))
    }

    /// Replaces the token. True if it was changed or removed.
    pub fn replace(&self, NewToken(new): NewToken) -> bool {
        let mut current = self.0.write();
        let same = match (&*current, &new) {
            (Some(old), Some(new)) => bool::from(old.0.ct_eq(&new.0)),
            (old, new) => old.is_none() && new.is_none(),
        };
        *current = new;
        !same
    }

    /// True if there is a token, and so an API.
    pub fn is_on(&self) -> bool {
        self.0.read().is_some()
    }

    /// True if `given` is the token. The time does not depend on its contents.
    pub fn matches(&self, given: &[u8]) -> bool {
        let Some(given) = Padded::new(given) else { return false };
        self.0.read().as_ref().is_some_and(|token| token.0.ct_eq(&given.0).into())
    }
}

fn read(path: &Path) -> Result<String, TokenError> {
    use std::io::Read as _;
    let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
    config::must_be_regular(path).map_err(unreadable)?;
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(LARGEST_FILE).read_to_string(&mut text).map_err(unreadable)?;
    let token = text.strip_suffix('\n').unwrap_or(&text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    check_token(token).map_err(|problem| TokenError::Unfit { path: path.to_owned(), problem })?;
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn with_file(content: &str) -> Result<Tokens, TokenError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, content).unwrap();
        Tokens::load(&config::Http { token_file: Some(path), ..config::Http::default() })
    }

    #[test]
    fn only_the_whole_token_matches() {
        let tokens = with_file(&format!("{TOKEN}\n")).unwrap();
        assert!(tokens.matches(TOKEN.as_bytes()));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF", "x"] {
            assert!(!tokens.matches(wrong.as_bytes()), "{wrong}");
        }
        for more in ["\0", "\x01", "\0\x01"] {
            assert!(!tokens.matches(format!("{TOKEN}{more}").as_bytes()), "{more:?}");
        }
        assert!(!tokens.matches(&[b'x'; 10_000]));
    }

    #[test]
    fn without_a_token_nothing_matches() {
        let tokens = Tokens::load(&config::Http::default()).unwrap();
        assert!(!tokens.is_on());
        assert!(!tokens.matches(b""));
    }

    #[test]
    fn a_file_without_a_fit_token_is_refused_without_repeating_it() {
        for content in ["", "\n", "hunter2\n", "0123456789abcdef\nmore\n", "0123456789 abcdef"] {
            let error = with_file(content).unwrap_err().to_string();
            assert!(error.contains("holds no token"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(with_file(&format!("{TOKEN}\r\n")).unwrap().matches(TOKEN.as_bytes()));
    }

    #[test]
    fn a_reload_takes_the_new_token_and_keeps_the_old_one_if_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, TOKEN).unwrap();
        let http = config::Http { token_file: Some(path.clone()), ..config::Http::default() };
        let tokens = Tokens::load(&http).unwrap();
        assert!(!tokens.replace(NewToken::read(&http).unwrap()));
        std::fs::write(&path, "fedcba9876543210").unwrap();
        let new = NewToken::read(&http).unwrap();
        assert!(tokens.matches(TOKEN.as_bytes()), "it is not in force");
        assert!(tokens.replace(new));
        assert!(tokens.matches(b"fedcba9876543210") && !tokens.matches(TOKEN.as_bytes()));
        std::fs::remove_file(&path).unwrap();
        assert!(NewToken::read(&http).is_err());
        assert!(tokens.matches(b"fedcba9876543210"));
        assert!(!format!("{tokens:?}").contains("fedc"));
    }
}
