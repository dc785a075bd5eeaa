//! What is stored of a user's password, in the form that PostgreSQL and others store:
//! `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`, the last three in base 64.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq as _;

use super::MECHANISM;

/// Bytes of a key: an output of SHA-256.
pub(super) const KEY: usize = digest::SHA256_OUTPUT_LEN;
/// The least is that of RFC 7677, section 4. More than the most takes a fast client five
/// seconds, so it is a mistake in the file.
pub const ITERATIONS: RangeInclusive<u32> = 4_096..=10_000_000;
/// Eight times the least. The client computes them at each connection: about 10 ms on one core
/// of a server, and about 3 s on a microcontroller of 100 MHz (8,000 cycles each), which leaves
/// time within the 10 s of `mqtt.connect_timeout`.
pub const DEFAULT_ITERATIONS: u32 = 32_768;
/// Bytes of a new salt, as PostgreSQL has it.
pub(super) const SALT: usize = 16;
/// A longer salt is a mistake in the file, in bytes.
const LONGEST_SALT: usize = 128;

/// The stored keys of one user. They do not let anyone log in, but a password can be guessed
/// with them, and whoever has them can pose as the broker.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub(super) iterations: NonZeroU32,
    pub(super) salt: Box<[u8]>,
    pub(super) stored_key: [u8; KEY],
    pub(super) server_key: [u8; KEY],
}

/// Why a text is no stored keys, or why a password has none. Contains neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Another form.
    #[error("expected SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY")]
    Form,
    /// Too few or too many iterations.
    #[error("expected {} to {} iterations", ITERATIONS.start(), ITERATIONS.end())]
    Iterations,
    /// The password is empty or has other characters than printable ASCII.
    #[error(
        "a SCRAM password is of printable ASCII characters, since clients do not agree on others"
    )]
    Password,
}

impl ScramKeys {
    /// Derives the keys of a password with a new salt. Takes about 0.3 µs for each iteration.
    ///
    /// # Errors
    /// The password is empty or not printable ASCII, or `iterations` is not in [`ITERATIONS`].
    pub fn derive(password: &[u8], iterations: u32) -> Result<Self, KeysError> {
        let mut salt = [0; SALT];
        OsRng.fill_bytes(&mut salt);
        let printable = |byte: &u8| matches!(byte, b' '..=b'~');
        if password.is_empty() || !password.iter().all(printable) {
            return Err(KeysError::Password);
        }
        Ok(Self::with_salt(password, valid(iterations)?, &salt))
    }

    /// RFC 5802, section 3.
    pub(super) fn with_salt(password: &[u8], iterations: NonZeroU32, salt: &[u8]) -> Self {
        let salted = salted_password(password, iterations, salt);
        Self {
            iterations,
            salt: salt.into(),
            stored_key: sha256(&hmac_of(&salted, b"Client Key")),
            server_key: hmac_of(&salted, b"Server Key"),
        }
    }

    /// True if `proof` shows the client key for this authentication message.
    pub(super) fn is_proven_by(&self, proof: &[u8; KEY], auth_message: &[u8]) -> bool {
        let mut client_key = hmac_of(&self.stored_key, auth_message);
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        sha256(&client_key).ct_eq(&self.stored_key).into()
    }

    /// The server's signature of this authentication message.
    pub(super) fn signature(&self, auth_message: &[u8]) -> [u8; KEY] {
        hmac_of(&self.server_key, auth_message)
    }

    /// A number that changes with the keys, to tell later whether they are still the same. From
    /// an HMAC with `secret`, since it is kept with sessions and connections.
    pub(super) fn fingerprint(&self, secret: &[u8; KEY]) -> u64 {
        let tag = hmac_of(secret, self.to_text().as_bytes());
        tag.first_chunk().map_or(0, |start| u64::from_be_bytes(*start))
    }

    /// The form in which they are stored. No `Display`, so that they are not shown by mistake.
    pub(super) fn to_text(&self) -> String {
        let Self { iterations, salt, stored_key, server_key } = self;
        let [salt, stored_key, server_key] =
            [&**salt, stored_key, server_key].map(|bytes| STANDARD.encode(bytes));
        format!("{MECHANISM}${iterations}:{salt}${stored_key}:{server_key}")
    }
}

impl FromStr for ScramKeys {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        let mut parts = text.split('$');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        let [Some(MECHANISM), Some(cost), Some(keys), None] = parts else {
            return Err(KeysError::Form);
        };
        let (iterations, salt) = cost.split_once(':').ok_or(KeysError::Form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(KeysError::Form)?;
        let salt = decoded(salt)?;
        if !(1..=LONGEST_SALT).contains(&salt.len()) {
            return Err(KeysError::Form);
        }
        Ok(Self {
            iterations: valid(iterations.parse().map_err(|_| KeysError::Iterations)?)?,
            salt: salt.into(),
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }
}

/// Without the keys.
impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(..)")
    }
}

fn valid(iterations: u32) -> Result<NonZeroU32, KeysError> {
    let valid = NonZeroU32::new(iterations).filter(|count| ITERATIONS.contains(&count.get()));
    valid.ok_or(KeysError::Iterations)
}

fn key(text: &str) -> Result<[u8; KEY], KeysError> {
    decoded(text)?.try_into().map_err(|_| KeysError::Form)
}

fn decoded(text: &str) -> Result<Vec<u8>, KeysError> {
    STANDARD.decode(text).map_err(|_| KeysError::Form)
}

pub(super) fn salted_password(password: &[u8], iterations: NonZeroU32, salt: &[u8]) -> [u8; KEY] {
    let mut salted = [0; KEY];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut salted);
    salted
}

pub(super) fn hmac_of(key: &[u8], message: &[u8]) -> [u8; KEY] {
    array(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

pub(super) fn sha256(message: &[u8]) -> [u8; KEY] {
    array(digest::digest(&digest::SHA256, message).as_ref())
}

/// Outputs of SHA-256 have this length.
fn array(output: &[u8]) -> [u8; KEY] {
    let mut array = [0; KEY];
    for (to, from) in array.iter_mut().zip(output) {
        *to = *from;
    }
    array
}
