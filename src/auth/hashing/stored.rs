//! One stored hash: its text, and what the text says.
//!
//! | Text | Written by | Meaning |
//! | --- | --- | --- |
//! | `$argon2id$v=19$m=..,t=..,p=..$SALT$HASH` | `ferrymq passwd`; Mosquitto 2.1, with a salt of 64 bytes | Argon2id, RFC 9106 |
//! | `$7$ITERATIONS$SALT$HASH` | Mosquitto 2.0, with a salt of 12 or 64 bytes | PBKDF2 with HMAC-SHA-512 |
//! | `$6$SALT$HASH` | Mosquitto 1 | SHA-512 of password and salt, not the `$6$` of crypt(3) |

use std::fmt;
use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Block, Params, ParamsBuilder, Version};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::{digest, pbkdf2};
use subtle::ConstantTimeEq as _;

/// With padding, as Mosquitto writes it, or without, as PHC strings have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const PADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());

/// Iterations that take longer than ten seconds are a mistake in the file.
const MOST_ITERATIONS: u32 = 20_000_000;
/// Argon2 with more memory than 1 GiB is one too, in KiB.
const MOST_MEMORY: u32 = 1 << 20;
/// As is a salt or a hash of more bytes than this.
const MOST_BYTES: usize = 256;

/// A hash as it stands in a password file.
#[derive(Clone)]
pub struct StoredHash {
    text: Box<str>,
    scheme: Scheme,
}

/// The text says everything.
impl PartialEq for StoredHash {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StoredHash {}

/// How a password is compared with a hash.
#[derive(Debug, Clone)]
pub(super) enum Scheme {
    Argon2id(Argon2id),
    /// SHA-512 of password and salt.
    Sha512 {
        salt: Box<[u8]>,
        hash: Box<[u8]>,
    },
    /// PBKDF2 with HMAC-SHA-512.
    Pbkdf2 {
        iterations: NonZeroU32,
        salt: Box<[u8]>,
        hash: Box<[u8]>,
    },
}

/// What determines how long a verification takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Cost {
    /// Memory in KiB, passes and lanes.
    Argon2id(u32, u32, u32),
    Sha512,
    /// Iterations.
    Pbkdf2(u32),
}

#[derive(Debug, Clone)]
pub(super) struct Argon2id {
    pub(super) version: Version,
    pub(super) parameters: Params,
    pub(super) salt: Box<[u8]>,
    pub(super) hash: Box<[u8]>,
}

impl StoredHash {
    /// Parses a hash. `None` unless it is complete and its cost is reasonable.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('$')?.split('$');
        let scheme = match parts.next()? {
            "argon2id" => Scheme::Argon2id(Argon2id::parse(&mut parts)?),
            "6" => Scheme::Sha512 { salt: bytes(parts.next()?)?, hash: bytes(parts.next()?)? },
            "7" => {
                let iterations: NonZeroU32 = parts.next()?.parse().ok()?;
                if iterations.get() > MOST_ITERATIONS {
                    return None;
                }
                let (salt, hash) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
                Scheme::Pbkdf2 { iterations, salt, hash }
            }
            _ => return None,
        };
        parts.next().is_none().then(|| Self { text: text.into(), scheme })
    }

    pub(super) fn argon2id(hash: Argon2id) -> Self {
        let (m, t, p) =
            (hash.parameters.m_cost(), hash.parameters.t_cost(), hash.parameters.p_cost());
        let version = u32::from(hash.version);
        let (salt, output) = (BASE64.encode(&hash.salt), BASE64.encode(&hash.hash));
        let text = format!("$argon2id$v={version}$m={m},t={t},p={p}${salt}${output}");
        Self { text: text.into(), scheme: Scheme::Argon2id(hash) }
    }

    pub(super) fn sha512(password: &[u8], salt: &[u8]) -> Self {
        let hash = sha512_of(password, salt);
        let text = format!("$6${}${}", PADDED.encode(salt), PADDED.encode(&hash));
        Self { text: text.into(), scheme: Scheme::Sha512 { salt: salt.into(), hash } }
    }

    pub(super) fn pbkdf2(password: &[u8], iterations: NonZeroU32, salt: &[u8]) -> Self {
        let mut hash = [0; digest::SHA512_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, salt, password, &mut hash);
        let text = format!("$7${iterations}${}${}", PADDED.encode(salt), PADDED.encode(hash));
        let scheme = Scheme::Pbkdf2 { iterations, salt: salt.into(), hash: hash.into() };
        Self { text: text.into(), scheme }
    }

    /// What it costs to verify.
    pub(super) fn cost(&self) -> Cost {
        match &self.scheme {
            Scheme::Argon2id(Argon2id { parameters, .. }) => {
                Cost::Argon2id(parameters.m_cost(), parameters.t_cost(), parameters.p_cost())
            }
            Scheme::Sha512 { .. } => Cost::Sha512,
            Scheme::Pbkdf2 { iterations, .. } => Cost::Pbkdf2(iterations.get()),
        }
    }

    /// A number that stands for this hash, and differs for any other.
    pub(in crate::auth) fn fingerprint(&self) -> u64 {
        let digest = digest::digest(&digest::SHA256, self.text.as_bytes());
        digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    pub(super) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// True if this is the hash of `password`.
    pub(super) fn verify(&self, password: &[u8], memory: &mut Vec<Block>) -> bool {
        match &self.scheme {
            Scheme::Argon2id(hash) => hash.verify(password, memory),
            Scheme::Sha512 { salt, hash } => sha512_of(password, salt).ct_eq(hash).into(),
            Scheme::Pbkdf2 { iterations, salt, hash } => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
                pbkdf2::verify(algorithm, *iterations, salt, password, hash).is_ok()
            }
        }
    }
}

impl fmt::Display for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Without the hash, which is as good as a short password.
impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredHash(..)")
    }
}

impl Argon2id {
    /// Parses what follows `$argon2id$`. Not by `password-hash`, which takes no salt of more
    /// than 48 bytes.
    fn parse<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let version = parts.next()?.strip_prefix("v=")?.parse::<u32>().ok()?;
        let mut costs = [None; 3];
        for cost in parts.next()?.split(',') {
            let (name, value) = cost.split_once('=')?;
            let index = ["m", "t", "p"].iter().position(|known| *known == name)?;
            let slot = costs.get_mut(index)?;
            if slot.replace(value.parse::<u32>().ok()?).is_some() {
                return None;
            }
        }
        let [Some(m), Some(t), Some(p)] = costs else { return None };
        let (salt, hash) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        if m > MOST_MEMORY || salt.len() < argon2::MIN_SALT_LEN {
            return None;
        }
        let parameters = ParamsBuilder::new()
            .m_cost(m)
            .t_cost(t)
            .p_cost(p)
            .output_len(hash.len())
            .build()
            .ok()?;
        Some(Self { version: Version::try_from(version).ok()?, parameters, salt, hash })
    }

    fn verify(&self, password: &[u8], memory: &mut Vec<Block>) -> bool {
        memory.resize(self.parameters.block_count(), Block::default());
        let mut found = [0; MOST_BYTES];
        let Some(found) = found.get_mut(..self.hash.len()) else { return false };
        Argon2::new(Algorithm::Argon2id, self.version, self.parameters.clone())
            .hash_password_into_with_memory(password, &self.salt, found, memory)
            .is_ok_and(|()| (*found).ct_eq(&self.hash).into())
    }
}

fn sha512_of(password: &[u8], salt: &[u8]) -> Box<[u8]> {
    let mut context = digest::Context::new(&digest::SHA512);
    context.update(password);
    context.update(salt);
    context.finish().as_ref().into()
}

/// Base 64, not empty and not absurdly long.
fn bytes(text: &str) -> Option<Box<[u8]>> {
    let bytes = BASE64.decode(text).ok()?;
    (1..=MOST_BYTES).contains(&bytes.len()).then(|| bytes.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, dummy, hash, hash_like, parse, verify};
    use super::*;

    fn is_hash_of(text: &str, password: &str) -> bool {
        verify(password.as_bytes(), &parse(text).unwrap(), &mut Memory::new())
    }

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let hash = hash(b"open sesame").unwrap();
        assert!(hash.to_string().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(parse(&hash.to_string()).as_ref(), Some(&hash));
        let mut memory = Memory::new();
        assert!(verify(b"open sesame", &hash, &mut memory));
        assert!(!verify(b"open sesam", &hash, &mut memory));
        assert!(!verify(b"", &hash, &mut memory));
        assert!(verify(b"open sesame", &hash, &mut memory));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        assert_ne!(hash(b"same").unwrap().to_string(), hash(b"same").unwrap().to_string());
    }

    #[test]
    fn a_dummy_costs_as_much_as_what_it_stands_for() {
        let cheap = hash_like(b"x", Params::new(64, 1, 1, None).unwrap()).unwrap();
        assert!(dummy(&cheap).unwrap().to_string().contains("m=64,t=1,p=1"));
        let iterations = NonZeroU32::new(101).unwrap();
        let old = StoredHash::pbkdf2(b"x", iterations, &[1; 12]);
        assert!(dummy(&old).unwrap().to_string().starts_with("$7$101$"));
    }

    #[test]
    fn what_mosquitto_writes_is_read() {
        let iterations = NonZeroU32::new(101).unwrap();
        for salt in [12, 64] {
            let text = StoredHash::pbkdf2(b"secret", iterations, &vec![7; salt]).to_string();
            assert!(is_hash_of(&text, "secret") && !is_hash_of(&text, "Secret"), "{text}");
        }
        let text = StoredHash::sha512(b"secret", &[7; 12]).to_string();
        assert!(is_hash_of(&text, "secret") && !is_hash_of(&text, "secre"), "{text}");
        let (salt, mut hash) = ([9; 64], [0; 32]);
        let parameters = Params::new(64, 1, 1, Some(32)).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters.clone())
            .hash_password_into(b"secret", &salt, &mut hash)
            .unwrap();
        let long =
            Argon2id { version: Version::V0x13, parameters, salt: salt.into(), hash: hash.into() };
        assert!(is_hash_of(&StoredHash::argon2id(long).to_string(), "secret"));
    }

    /// Written by `mosquitto_passwd` 2.0.11 of Debian 12: with `-b`, and with `-H sha512 -b`.
    #[test]
    fn files_of_mosquitto_are_read_as_they_are() {
        const PBKDF2: &str = "$7$101$fVFDx6sWYSLTf3LJ$N5vP+UTa1z3wOkGLAKKStzykA/sr9VjdamlqUgfpBZkWQeTk+olHoodBpjtgr2tQEDy71DsK8WfJVOWZFIStHQ==";
        const SHA512: &str = "$6$/5LQljs6PnXaXZl5$etQRhd1XbH56uKGaEeHxNzC9QqGQuhV4kI6yX7UMQSyWmvRQmV/GEd8K8eBWo4h6vuq9zKI8TBTqP/aAuzmzSw==";
        for (text, password) in [(PBKDF2, "wonderland of alice"), (SHA512, "x y")] {
            assert!(is_hash_of(text, password), "{text}");
            assert!(!is_hash_of(text, "") && !is_hash_of(text, &format!("{password} ")), "{text}");
            assert_eq!(parse(text).unwrap().to_string(), text, "written back unchanged");
        }
    }

    #[test]
    fn only_complete_hashes_of_a_reasonable_cost_are_read() {
        let whole = hash(b"x").unwrap().to_string();
        assert!(parse(&whole).is_some());
        let (without_hash, _) = whole.rsplit_once('$').unwrap();
        for wrong in [
            whole.replace("argon2id", "argon2i"),
            without_hash.to_owned(),
            format!("{whole}$x"),
            whole.replace("m=19456", "m=4000000000"),
            whole.replace("t=2", "m=2"),
            "secret".to_owned(),
            "$6$only".to_owned(),
            "$7$0$AAAA$AAAA".to_owned(),
            "$7$4000000000$AAAA$AAAA".to_owned(),
            "$6$rounds=5000$salt$hash".to_owned(),
        ] {
            assert!(parse(&wrong).is_none(), "{wrong}");
        }
    }
}
