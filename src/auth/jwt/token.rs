//! The compact form of a token (RFC 7515, 7.1), taken apart. Nothing here is verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::error::Refused;
use super::strict_json;

/// The longest token in bytes. A password in CONNECT has at most 65,535.
pub const MAX_TOKEN: usize = 64 * 1024;

/// A token whose signature is not verified yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub algorithm: Algorithm,
    pub kid: Option<Box<str>>,
    /// What the signature is of: header and claims as they were sent.
    pub signed: &'a [u8],
    /// The claims in base64url.
    pub payload: &'a [u8],
    pub signature: Vec<u8>,
}

/// True if a password is meant as a token: three parts in base64url, and the first is a JSON
/// object with `alg`. Reads the password once; verifies nothing.
pub fn looks_like_token(password: &[u8]) -> bool {
    parts(password).is_some()
}

/// Header, claims, signature in base64url.
fn parts(token: &[u8]) -> Option<[&[u8]; 3]> {
    let mut parts = token.split(|byte| *byte == b'.');
    let all = [parts.next()?, parts.next()?, parts.next()?];
    if parts.next().is_some() {
        return None;
    }
    let is_base64 = |part: &[u8]| {
        part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if !all.iter().all(|part| is_base64(part)) {
        return None;
    }
    let [header, ..] = all;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    header.as_object()?.get("alg")?.as_str()?;
    Some(all)
}

impl<'a> Token<'a> {
    /// Takes a password apart.
    ///
    /// # Errors
    /// [`Refused::NotMine`] if it is no token, and otherwise why it is none that is supported.
    pub fn parse(password: &'a [u8]) -> Result<Self, Refused> {
        let [encoded_header, payload, signature] = parts(password).ok_or(Refused::NotMine)?;
        if password.len() > MAX_TOKEN {
            return Err(Refused::TooLong);
        }
        let header = object(encoded_header).ok_or(Refused::Malformed("its header"))?;
        if header.contains_key("crit") {
            return Err(Refused::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str().into()),
            Some(_) => return Err(Refused::Malformed("its `kid`")),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature);
        Ok(Self {
            algorithm: algorithm.ok_or(Refused::Algorithm)?,
            kid,
            signed: password
                .get(..encoded_header.len() + 1 + payload.len())
                .ok_or(Refused::Malformed("its parts"))?,
            payload,
            signature: signature.map_err(|_| Refused::Malformed("its signature"))?,
        })
    }

    /// The claims.
    ///
    /// # Errors
    /// They are no JSON object, or a member occurs twice.
    pub fn claims(&self) -> Result<serde_json::Map<String, Value>, Refused> {
        object(self.payload).ok_or(Refused::Malformed("its claims"))
    }
}

fn object(encoded: &[u8]) -> Option<serde_json::Map<String, Value>> {
    match strict_json::parse(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}
