//! Password hashing with Argon2id.

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{Output, PasswordHash, PasswordHashString, SaltString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHasher, Version};

/// The minimum that OWASP recommends: 19 MiB, two passes, one lane.
fn parameters() -> Params {
    Params::new(19_456, 2, 1, None).unwrap_or(Params::DEFAULT)
}

/// Hashes a password with a new salt.
pub(super) fn hash(password: &[u8]) -> Result<PasswordHashString, String> {
    hash_like(password, parameters())
}

/// Creates a hash of an unknown password, as costly to verify as `like`.
pub(super) fn dummy(like: &PasswordHashString) -> Result<PasswordHashString, String> {
    let parameters = Params::try_from(&like.password_hash()).unwrap_or_else(|_| parameters());
    // A random salt serves as the password, and is not kept.
    hash_like(SaltString::generate(&mut OsRng).as_str().as_bytes(), parameters)
}

fn hash_like(password: &[u8], parameters: Params) -> Result<PasswordHashString, String> {
    let salt = SaltString::generate(&mut OsRng);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password(password, &salt)
        .map(|hash| hash.serialize())
        .map_err(|error| error.to_string())
}

/// Parses a hash from a password file. `None` unless it is a complete Argon2id hash.
pub(super) fn parse(text: &str) -> Option<PasswordHashString> {
    let hash = PasswordHash::new(text).ok()?;
    let usable = hash.algorithm == ARGON2ID_IDENT
        && hash.salt.is_some()
        && hash.hash.is_some()
        && Params::try_from(&hash).is_ok();
    usable.then(|| hash.serialize())
}

/// The working memory of a verification, which is reused: 19 MiB allocated for each
/// verification would stay with the allocator, per thread.
pub(super) type Memory = Vec<Block>;

/// Verifies a password. Takes about 20 ms, so it must not run on a thread that serves
/// connections.
pub(super) fn verify(password: &[u8], hash: &PasswordHashString, memory: &mut Memory) -> bool {
    let hash = hash.password_hash();
    let (Ok(parameters), Some(salt), Some(expected)) =
        (Params::try_from(&hash), hash.salt, hash.hash)
    else {
        return false;
    };
    let version = hash.version.and_then(|version| Version::try_from(version).ok());
    let mut salt_bytes = [0; 64];
    let Ok(salt) = salt.decode_b64(&mut salt_bytes) else { return false };
    memory.resize(parameters.block_count(), Block::default());
    let mut output = [0; Output::MAX_LENGTH];
    let Some(output) = output.get_mut(..expected.len()) else { return false };
    Argon2::new(Algorithm::Argon2id, version.unwrap_or_default(), parameters)
        .hash_password_into_with_memory(password, salt, output, memory)
        .is_ok_and(|()| Output::new(output).is_ok_and(|output| output == expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let hash = hash(b"open sesame").unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let mut memory = Memory::new();
        assert!(verify(b"open sesame", &hash, &mut memory));
        assert!(!verify(b"open sesam", &hash, &mut memory));
        assert!(!verify(b"", &hash, &mut memory));
        assert!(verify(b"open sesame", &hash, &mut memory));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        assert_ne!(hash(b"same").unwrap().as_str(), hash(b"same").unwrap().as_str());
    }

    #[test]
    fn a_dummy_costs_as_much_as_what_it_stands_for() {
        let cheap = hash_like(b"x", Params::new(64, 1, 1, None).unwrap()).unwrap();
        assert!(dummy(&cheap).unwrap().as_str().contains("m=64,t=1,p=1"));
    }

    #[test]
    fn only_complete_argon2id_hashes_are_read() {
        let whole = hash(b"x").unwrap();
        assert!(parse(whole.as_str()).is_some());
        assert!(parse(&whole.as_str().replace("argon2id", "argon2i")).is_none());
        let (without_hash, _) = whole.as_str().rsplit_once('$').unwrap();
        assert!(parse(without_hash).is_none());
        assert!(parse("secret").is_none());
    }
}
