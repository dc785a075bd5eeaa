//! Tokens, their claims, and the keys of files and servers. Built from the broker's source
//! without its files and its network.

#![allow(dead_code)]

#[path = "../src/auth/jwt/algorithm.rs"]
mod algorithm;
#[path = "../src/auth/jwt/claims.rs"]
mod claims;
#[path = "../src/auth/jwt/error.rs"]
mod error;
#[path = "../src/auth/jwt/jwk.rs"]
mod jwk;
#[path = "../src/auth/jwt/key.rs"]
mod key;
#[path = "../src/auth/jwt/key_set.rs"]
mod key_set;
#[path = "../src/auth/jwt/pem.rs"]
mod pem;
#[path = "../src/auth/jwt/strict_json.rs"]
mod strict_json;
#[path = "../src/auth/jwt/token.rs"]
mod token;

pub use token::MAX_TOKEN;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::message::WallMillis;
use claims::{Expected, MustMatch};
use error::Refused;
use key::Key;
use key_set::KeySet;
use token::{Token, looks_like_token};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: WallMillis = WallMillis(1_767_225_600_000);

/// The first byte selects what follows.
pub fn run(input: &[u8]) {
    let Some((kind, input)) = input.split_first() else {
        return;
    };
    match kind % 5 {
        0 => password(input),
        1 => signed(br#"{"alg":"HS256"}"#, input),
        2 => signed(input, br#"{"sub":"ann","exp":9999999999}"#),
        3 => {
            for source in [jwk::Source::File, jwk::Source::Url] {
                if let Ok((keys, _)) = jwk::keys(input, source) {
                    verifies_nothing(keys);
                }
            }
        }
        _ => {
            if let Ok(keys) = pem::keys(input) {
                verifies_nothing(keys);
            }
        }
    }
}

/// Whatever it is, nobody has signed it.
fn password(input: &[u8]) {
    let parsed = Token::parse(input);
    let not_mine = matches!(parsed, Err(Refused::NotMine));
    assert_eq!(looks_like_token(input), !not_mine);
    if let Ok(token) = parsed {
        let keys = KeySet::new(vec![Key::secret(SECRET).unwrap()]);
        assert!(keys.verify(&token).is_err());
        let _ = token.claims();
    }
}

/// Header and claims with a valid signature.
fn signed(header: &[u8], claims: &[u8]) {
    let mut token = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, SECRET),
        token.as_bytes(),
    );
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    let Ok(token) = Token::parse(token.as_bytes()) else {
        return;
    };
    let verified = KeySet::new(vec![Key::secret(SECRET).unwrap()]).verify(&token);
    assert_eq!(
        verified.is_ok(),
        token.algorithm == algorithm::Algorithm::Hs256
    );
    let Ok(claims) = token.claims() else { return };
    let expected = Expected {
        leeway: 10_000,
        require_expiry: true,
        username_claim: "sub".into(),
        must_match: MustMatch::Nothing,
        acl_claim: "acl".into(),
        ..Expected::default()
    };
    if let Ok(verified) = expected.check(&claims, None, "client", NOW) {
        assert!(!verified.username.is_empty());
        assert!(!verified.username.contains(char::is_control));
        assert!(verified.expires_at.is_some_and(|at| at > NOW));
    }
}

/// Keys that were read verify no signature of zeros.
fn verifies_nothing(keys: Vec<Key>) {
    for algorithm in ["HS256", "RS256", "PS512", "ES256", "ES384", "EdDSA"] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}"}}"#));
        let token = format!("{header}..{}", "A".repeat(86));
        let token = Token::parse(token.as_bytes()).unwrap();
        let few = keys.iter().take(2).cloned().collect();
        assert!(KeySet::new(few).verify(&token).is_err());
    }
}
