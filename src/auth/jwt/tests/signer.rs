//! Signs tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding};
use serde_json::{Value, json};

use super::rfc;

pub enum Signer {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    /// A P-256, P-384 or Ed25519 key.
    Pair(rcgen::KeyPair),
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::Secret(secret.as_ref().to_vec())
    }

    /// The key of RFC 7515, A.2: ring makes no RSA keys.
    pub fn rsa() -> Self {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: bytes(rfc::RSA_N), e: bytes("AQAB") },
            d: bytes(rfc::RSA_D),
            p: bytes(rfc::RSA_P),
            q: bytes(rfc::RSA_Q),
            dP: bytes(rfc::RSA_DP),
            dQ: bytes(rfc::RSA_DQ),
            qInv: bytes(rfc::RSA_QI),
        };
        Self::Rsa(RsaKeyPair::from_components(&components).unwrap())
    }

    pub fn p256() -> Self {
        Self::Pair(rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap())
    }

    pub fn p384() -> Self {
        Self::Pair(rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap())
    }

    pub fn ed25519() -> Self {
        Self::Pair(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap())
    }

    /// The public key as PEM.
    pub fn pem(&self) -> String {
        match self {
            Self::Secret(_) => panic!("a secret"),
            Self::Rsa(_) => include_str!("rsa_2048.pem").to_owned(),
            Self::Pair(pair) => pair.public_key_pem(),
        }
    }

    /// The key as a member of a key set, with this name.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut key = match self {
            Self::Secret(secret) => json!({"kty": "oct", "k": base64(secret)}),
            Self::Rsa(_) => json!({"kty": "RSA", "n": rfc::RSA_N, "e": "AQAB"}),
            Self::Pair(pair) => match pair.public_key_raw() {
                // One Ed25519 key in 256 begins with 4 as well, and has 32 bytes.
                [4, point @ ..] if point.len() >= 64 => {
                    let (x, y) = point.split_at(point.len() / 2);
                    let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                    json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)})
                }
                public => json!({"kty": "OKP", "crv": "Ed25519", "x": base64(public)}),
            },
        };
        key["kid"] = kid.into();
        key
    }

    pub fn token(&self, algorithm: &str, claims: &Value) -> String {
        self.sign(algorithm, &json!({"alg": algorithm}).to_string(), &claims.to_string())
    }

    pub fn token_of(&self, algorithm: &str, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "kid": kid});
        self.sign(algorithm, &header.to_string(), &claims.to_string())
    }

    /// Signs any text by an algorithm, whatever the header says.
    pub fn sign(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(header), base64(claims));
        let signature = self.signature(algorithm, message.as_bytes());
        format!("{message}.{}", base64(signature))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let hash = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Pair(pair) => {
                let der = pair.serialize_der();
                let ecdsa = |algorithm| {
                    let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der, &random).unwrap();
                    pair.sign(&random, message).unwrap().as_ref().to_vec()
                };
                match pair.public_key_raw().len() {
                    65 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
                    97 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
                    _ => {
                        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
                        pair.sign(message).as_ref().to_vec()
                    }
                }
            }
        }
    }
}
