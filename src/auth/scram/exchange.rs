//! The server's side of one exchange.

use std::fmt;

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ScramUsers;
use super::message::{ClientFinal, ClientFirst, Refusal};
use super::users::Found;

/// Random bytes of a nonce: 144 bits, which are 24 characters, as in RFC 7677's example.
const NONCE: usize = 18;

/// The server's part of the nonce, for one exchange.
pub struct Nonce(Box<str>);

impl Nonce {
    /// A new one.
    pub fn random() -> Self {
        let mut bytes = [0; NONCE];
        OsRng.fill_bytes(&mut bytes);
        // Base 64 has no comma.
        Self(STANDARD.encode(bytes).into())
    }

    #[cfg(test)]
    pub(super) fn fixed(text: &str) -> Self {
        Self(text.into())
    }
}

/// An exchange of which the client's first message was answered. Holds at most 14 KiB.
pub struct Exchange {
    found: Found,
    username: Box<str>,
    /// The channel binding that the final message must repeat, in base 64.
    channel_binding: Box<str>,
    /// Both parts.
    nonce: Box<str>,
    /// The part of the authentication message that is known so far, with the comma at its end.
    auth_message: Box<str>,
}

/// The end of an exchange: the client has the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// The verified user name.
    pub username: Box<str>,
    /// Stands for the keys: see [`ScramUsers::credential`].
    pub credential: u64,
    /// The server-final-message, by which the broker proves that it has the keys.
    pub server_final: Vec<u8>,
}

impl Exchange {
    /// Answers a client-first-message. Returns the server-first-message, also if the user does
    /// not exist: such an exchange fails at its end.
    ///
    /// # Errors
    /// The message is malformed or asks for what is not supported.
    pub fn begin(
        client_first: &[u8],
        users: &ScramUsers,
        nonce: &Nonce,
    ) -> Result<(Self, Vec<u8>), Refusal> {
        let first = ClientFirst::parse(client_first)?;
        let found = users.find(&first.username);
        let nonce = format!("{}{}", first.nonce, nonce.0);
        let (salt, iterations) = (STANDARD.encode(&found.keys.salt), found.keys.iterations);
        let server_first = format!("r={nonce},s={salt},i={iterations}");
        let exchange = Self {
            found,
            channel_binding: STANDARD.encode(first.gs2_header).into(),
            nonce: nonce.into(),
            auth_message: format!("{},{server_first},", first.bare).into(),
            username: first.username.into(),
        };
        Ok((exchange, server_first.into_bytes()))
    }

    /// The user name that the client has sent. It is not verified.
    pub fn claimed_username(&self) -> &str {
        &self.username
    }

    /// Verifies a client-final-message. The exchange is over in any case, so no message can be
    /// tried twice.
    ///
    /// # Errors
    /// The message is malformed or belongs to another exchange, the password is wrong, or the
    /// user does not exist.
    pub fn finish(self, client_final: &[u8]) -> Result<Success, Refusal> {
        let last = ClientFinal::parse(client_final)?;
        if last.nonce != &*self.nonce || last.channel_binding != &*self.channel_binding {
            return Err(Refusal::OtherExchange);
        }
        let auth_message = format!("{}{}", self.auth_message, last.without_proof);
        let Found { keys, is_known } = &self.found;
        let is_proven = keys.is_proven_by(&last.proof, auth_message.as_bytes());
        if !(is_proven && *is_known) {
            return Err(Refusal::Credentials);
        }
        let signature = STANDARD.encode(keys.signature(auth_message.as_bytes()));
        Ok(Success {
            credential: self.found.credential(),
            username: self.username,
            server_final: format!("v={signature}").into_bytes(),
        })
    }
}

/// Without the messages: they are enough to guess the password.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("username", &self.username).finish_non_exhaustive()
    }
}
