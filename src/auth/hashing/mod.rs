//! Stored passwords: our own Argon2id, and the hashes that Mosquitto writes.

mod dummies;
mod stored;

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use argon2::{Algorithm, Argon2, Block, Params, Version};

pub(super) use self::dummies::Dummies;
pub use self::stored::StoredHash;
use self::stored::{Argon2id, Scheme};

/// The minimum that OWASP recommends: 19 MiB, two passes, one lane.
fn parameters() -> Params {
    Params::new(19_456, 2, 1, None).unwrap_or(Params::DEFAULT)
}

/// Bytes of a new salt and of a new hash, as the PHC recommends.
const SALT: usize = 16;
const HASH: usize = 32;

/// Hashes a password with a new salt.
pub(super) fn hash(password: &[u8]) -> Result<StoredHash, String> {
    hash_like(password, parameters())
}

/// Creates a hash of an unknown password, as costly to verify as `like`.
fn dummy(like: &StoredHash) -> Result<StoredHash, String> {
    let mut unknown = [0; HASH];
    OsRng.fill_bytes(&mut unknown);
    match like.scheme() {
        Scheme::Argon2id(hash) => hash_like(&unknown, hash.parameters.clone()),
        Scheme::Sha512 { salt, .. } => Ok(StoredHash::sha512(&unknown, salt)),
        Scheme::Pbkdf2 { iterations, salt, .. } => {
            Ok(StoredHash::pbkdf2(&unknown, *iterations, salt))
        }
    }
}

fn hash_like(password: &[u8], parameters: Params) -> Result<StoredHash, String> {
    let (mut salt, mut hash) = ([0; SALT], [0; HASH]);
    OsRng.fill_bytes(&mut salt);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters.clone())
        .hash_password_into(password, &salt, &mut hash)
        .map_err(|error| error.to_string())?;
    Ok(StoredHash::argon2id(Argon2id {
        version: Version::V0x13,
        parameters,
        salt: salt.into(),
        hash: hash.into(),
    }))
}

/// Parses a hash from a password file. `None` unless it is complete and of a known kind.
pub(super) fn parse(text: &str) -> Option<StoredHash> {
    StoredHash::parse(text)
}

/// The working memory of a verification, which is reused: 19 MiB allocated for each
/// verification would stay with the allocator, per thread.
pub(super) type Memory = Vec<Block>;

/// Verifies a password. Takes about 20 ms, so it must not run on a thread that serves
/// connections.
pub(super) fn verify(password: &[u8], hash: &StoredHash, memory: &mut Memory) -> bool {
    hash.verify(password, memory)
}
