//! One key, and what it verifies. The key's type decides which algorithms it may be used with,
//! never the token: else a public key would serve as the secret of an HMAC.

use std::fmt;

use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use super::algorithm::Algorithm;
use super::error::KeyError;

/// Shorter secrets are warned of: RFC 7518, 3.2, wants as many bytes as the hash has, and
/// SHA-256 has 32.
pub const SHORT_SECRET: usize = 32;
/// Bits of an RSA modulus. RFC 7518, 3.3, wants 2,048 or more; ring verifies up to 8,192.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bytes of an RSA exponent. ring verifies up to 33 bits; nearly all keys have 65,537.
const MAX_EXPONENT: usize = 4;

/// A key that verifies signatures.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The name by which a token selects it.
    pub kid: Option<Box<str>>,
    /// The one algorithm that it is meant for; `None`: all of its type.
    pub only: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Material {
    Secret(Box<[u8]>),
    /// Big-endian, without leading zeros.
    Rsa {
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
    /// Uncompressed points.
    P256(Box<[u8]>),
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

/// A curve of elliptic keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
}

impl Curve {
    /// Bytes of a coordinate.
    pub fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

impl Key {
    fn new(material: Material) -> Self {
        Self { kid: None, only: None, material }
    }

    /// An HMAC secret.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self::new(Material::Secret(secret.into())))
    }

    /// An RSA key of these big-endian numbers.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let (Some(first), Some(last)) = (modulus.first(), modulus.last()) else {
            return Err(KeyError::Value("n"));
        };
        let bits = modulus.len() * 8 - first.leading_zeros() as usize;
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaBits(bits));
        }
        // The product of two primes is odd, and so is what has an inverse modulo theirs.
        if last % 2 == 0 {
            return Err(KeyError::Value("n"));
        }
        let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
        if !is_odd || exponent == [1] || exponent.len() > MAX_EXPONENT {
            return Err(KeyError::Value("e"));
        }
        Ok(Self::new(Material::Rsa { modulus: modulus.into(), exponent: exponent.into() }))
    }

    /// An elliptic key of an uncompressed point: 4, x, y.
    pub fn elliptic(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 1 + 2 * curve.coordinate() || point.first() != Some(&4) {
            return Err(KeyError::Value("x"));
        }
        Ok(Self::new(match curve {
            Curve::P256 => Material::P256(point.into()),
            Curve::P384 => Material::P384(point.into()),
        }))
    }

    /// An Ed25519 key.
    pub fn ed25519(public: &[u8]) -> Result<Self, KeyError> {
        if public.len() != signature::ED25519_PUBLIC_KEY_LEN {
            return Err(KeyError::Value("x"));
        }
        Ok(Self::new(Material::Ed25519(public.into())))
    }

    /// True for a secret that is shorter than a hash.
    pub fn is_short_secret(&self) -> bool {
        matches!(&self.material, Material::Secret(secret) if secret.len() < SHORT_SECRET)
    }

    /// True if the key may be used with this algorithm.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        let fits = match self.material {
            Material::Secret(_) => matches!(algorithm, A::Hs256 | A::Hs384 | A::Hs512),
            Material::Rsa { .. } => {
                matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
            }
            Material::P256(_) => algorithm == A::Es256,
            Material::P384(_) => algorithm == A::Es384,
            Material::Ed25519(_) => algorithm == A::EdDsa,
        };
        fits && self.only.is_none_or(|only| only == algorithm)
    }

    /// True if the signature is this key's by this algorithm. HMAC takes up to 5 µs, RSA of 2,048
    /// bits up to 100, P-256 and Ed25519 60, P-384 1,000 (a two-core virtual machine).
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.is_for(algorithm) {
            return false;
        }
        match &self.material {
            Material::Secret(secret) => {
                let Some(hash) = hash(algorithm) else { return false };
                hmac::verify(&hmac::Key::new(hash, secret), message, signature).is_ok()
            }
            Material::Rsa { modulus, exponent } => {
                let Some(parameters) = rsa_parameters(algorithm) else { return false };
                RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(parameters, message, signature)
                    .is_ok()
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
            Material::P384(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
            Material::Ed25519(public) => UnparsedPublicKey::new(&signature::ED25519, public)
                .verify(message, signature)
                .is_ok(),
        }
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn hash(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.material {
            Material::Secret(_) => "secret",
            Material::Rsa { .. } => "RSA",
            Material::P256(_) => "P-256",
            Material::P384(_) => "P-384",
            Material::Ed25519(_) => "Ed25519",
        };
        f.debug_struct("Key").field("kid", &self.kid).field("kind", &kind).finish_non_exhaustive()
    }
}
