//! Tokens of all kinds against verifiers of all kinds.

mod claims;
mod keys;
mod remote;
mod rfc;
pub(in crate::auth) mod signer;
mod tokens;

use serde_json::{Value, json};

use super::*;
use crate::config::AuthJwt;
use crate::message::WallMillis;
use signer::Signer;

/// 2026-01-01.
const NOW_SECONDS: u64 = 1_767_225_600;
const NOW: WallMillis = WallMillis(NOW_SECONDS * 1000);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// With the secret of the tests.
fn config() -> AuthJwt {
    AuthJwt { secret: SECRET.to_owned().into(), ..AuthJwt::default() }
}

fn verifier(config: &AuthJwt) -> JwtVerifier {
    JwtVerifier::load(config).unwrap()
}

/// Claims that are accepted by default.
fn good() -> Value {
    json!({"sub": "ann", "exp": NOW_SECONDS + 60})
}

/// The good claims with others; `null` takes one away.
fn good_with(more: Value) -> Value {
    let mut claims = good();
    let object = claims.as_object_mut().unwrap();
    let Value::Object(more) = more else { panic!("no object") };
    object.extend(more);
    object.retain(|_, value| !value.is_null());
    claims
}

/// A token of these claims by the secret of the tests.
fn token(claims: &Value) -> String {
    Signer::secret(SECRET).token("HS256", claims)
}

fn verify(verifier: &JwtVerifier, token: &str) -> Result<Verified, Refused> {
    verifier.verify(token.as_bytes(), Some("ann"), "client", NOW)
}
