//! Keys among which a token selects.

use super::error::Refused;
use super::key::Key;
use super::token::Token;

/// Keys in one set. Issuers with a key for each of many customers have hundreds.
pub const MAX_KEYS: usize = 1_000;
/// Keys that are tried for one token. A token without `kid` fits all keys of its type, and each
/// costs up to 1 ms; issuers that change their key publish two or three at a time.
pub const MAX_TRIES: usize = 4;

/// Keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    pub fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies the signature. A token with a `kid` selects the keys of that name, or if there
    /// is none, those without a name, such as that of a PEM file.
    ///
    /// # Errors
    /// Why no key verifies it.
    pub fn verify(&self, token: &Token<'_>) -> Result<(), Refused> {
        let kid = token.kid.as_deref();
        let named = kid.is_some() && self.0.iter().any(|key| key.kid.as_deref() == kid);
        let is_selected = |key: &&Key| match kid {
            Some(_) if named => key.kid.as_deref() == kid,
            Some(_) => key.kid.is_none(),
            None => true,
        };
        if !self.0.iter().any(|key| is_selected(&key)) {
            return Err(Refused::UnknownKey);
        }
        let mut tries = self
            .0
            .iter()
            .filter(is_selected)
            .filter(|key| key.is_for(token.algorithm))
            .take(MAX_TRIES)
            .peekable();
        if tries.peek().is_none() {
            return Err(Refused::KeyType);
        }
        if tries.any(|key| key.verifies(token.algorithm, token.signed, &token.signature)) {
            return Ok(());
        }
        // Keys without a name may not be those that the token means.
        Err(if kid.is_some() && !named { Refused::UnknownKey } else { Refused::Signature })
    }
}
