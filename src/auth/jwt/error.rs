//! Why a key cannot be used, and why a token is refused. No line contains a key or a token.

use thiserror::Error;

/// What is wrong with a key, or with all keys of a set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// An HMAC key without a byte.
    #[error("the secret is empty")]
    Empty,
    /// A PEM file in place of an HMAC key: a public key is no secret.
    #[error("this is PEM and no secret: use auth.jwt.key_file")]
    PemSecret,
    /// A private key where a public one belongs.
    #[error("this is a private key; the broker needs the public one: openssl pkey -in KEY -pubout")]
    Private,
    /// No PEM block that has a key.
    #[error("no PEM block `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`")]
    NoPem,
    /// A PEM block that cannot be read.
    #[error("the PEM block `{0}` is invalid")]
    Pem(String),
    /// A key of a kind that no supported algorithm uses.
    #[error("{0}; keys are RSA, EC on P-256 or P-384, Ed25519, or HMAC secrets")]
    Unsupported(String),
    /// A value of a key is missing or invalid.
    #[error("its `{0}` is missing or invalid")]
    Value(&'static str),
    /// RSA with a modulus that is too short, or longer than is verified.
    #[error("RSA with {0} bits; 2,048 to 8,192 are allowed")]
    RsaBits(usize),
    /// Not a key for signatures.
    #[error("its `use` or `key_ops` is not for verifying signatures")]
    Use,
    /// A secret in a set that a server hands out to whoever asks.
    #[error("a secret that a URL publishes is none")]
    PublicSecret,
    /// The text is no key set.
    #[error("this is no JSON Web Key Set: {0}")]
    Set(String),
    /// A key set with more keys than are kept.
    #[error("a key set has at most {} keys", super::key_set::MAX_KEYS)]
    TooMany,
    /// A key set of which no key can be used.
    #[error("no usable key; the first problem: {0}")]
    NoneUsable(String),
    /// A key set without keys.
    #[error("the key set is empty")]
    NoKeys,
}

/// Why a password is not an accepted token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is no token: another method may know it.
    #[error("it is no JSON Web Token")]
    NotMine,
    /// It is longer than [`super::MAX_TOKEN`].
    #[error("the token is longer than {} bytes", super::MAX_TOKEN)]
    TooLong,
    /// It looks like a token and is not one.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// `none`, or an algorithm that is not supported.
    #[error("the token's algorithm is not supported")]
    Algorithm,
    /// Its header names extensions that must be understood (RFC 7515, 4.1.11).
    #[error("the token has critical header parameters, and none is supported")]
    Critical,
    /// There is no key with its `kid`.
    #[error("there is no key with the token's `kid`")]
    UnknownKey,
    /// No key could be read from `auth.jwt.jwks_url` yet.
    #[error("no key could be read from auth.jwt.jwks_url yet")]
    NoKeys,
    /// Its key is not made for its algorithm.
    #[error("no key is made for the token's algorithm")]
    KeyType,
    /// The signature is not by a configured key.
    #[error("the token's signature is invalid")]
    Signature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet (`nbf`)")]
    NotYet,
    /// `iss` is not `auth.jwt.issuer`.
    #[error("the token's `iss` is not auth.jwt.issuer")]
    Issuer,
    /// `aud` has none of `auth.jwt.audience`.
    #[error("the token's `aud` has none of auth.jwt.audience")]
    Audience,
    /// A claim is missing.
    #[error("the token has no claim `{0}`")]
    Missing(Box<str>),
    /// A claim has a value that it cannot have.
    #[error("the token's claim `{0}` is invalid")]
    Invalid(Box<str>),
    /// `auth.jwt.username_must_match` is not fulfilled.
    #[error("the token's user name is not the {0} of the CONNECT (auth.jwt.username_must_match)")]
    Mismatch(&'static str),
    /// The claim with access rules has no meaning.
    #[error("the token's access rules are invalid: {0}")]
    Rules(String),
}
