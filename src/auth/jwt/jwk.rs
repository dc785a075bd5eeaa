//! JSON Web Key Sets (RFC 7517). A key that cannot be used is skipped, as section 5 demands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::KeyError;
use super::key::{Curve, Key};
use super::key_set::MAX_KEYS;

/// Where a key set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A file of the operator's, which may have secrets.
    File,
    /// A server, which gives it to everybody.
    Url,
}

/// A key that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its number in the set, from 1.
    pub number: usize,
    /// Its name, without characters that a terminal acts upon.
    pub kid: String,
    /// Why.
    pub problem: KeyError,
}

/// The usable keys of a set, at least one, and the others.
pub fn keys(text: &[u8], source: Source) -> Result<(Vec<Key>, Vec<Skipped>), KeyError> {
    let set: Value =
        serde_json::from_slice(text).map_err(|error| KeyError::Set(error.to_string()))?;
    let Some(members) = set.get("keys").and_then(Value::as_array) else {
        return Err(KeyError::Set("it has no list `keys`".to_owned()));
    };
    if members.len() > MAX_KEYS {
        return Err(KeyError::TooMany);
    }
    let (mut keys, mut skipped) = (Vec::new(), Vec::new());
    for (number, member) in (1..).zip(members) {
        match key(member, source) {
            Ok(key) => keys.push(key),
            Err(problem) => {
                let kid = member.get("kid").and_then(Value::as_str).unwrap_or_default();
                let kid = kid.chars().take(64).flat_map(char::escape_debug).collect();
                skipped.push(Skipped { number, kid, problem });
            }
        }
    }
    match (keys.is_empty(), skipped.first()) {
        (false, _) => Ok((keys, skipped)),
        (true, Some(first)) => Err(KeyError::NoneUsable(first.problem.to_string())),
        (true, None) => Err(KeyError::NoKeys),
    }
}

fn key(member: &Value, source: Source) -> Result<Key, KeyError> {
    let member = member.as_object().ok_or(KeyError::Value("kty"))?;
    let mut key = match text(member, "kty")? {
        "oct" if source == Source::Url => return Err(KeyError::PublicSecret),
        "oct" => Key::secret(&bytes(member, "k")?)?,
        "RSA" => Key::rsa(&bytes(member, "n")?, &bytes(member, "e")?)?,
        "EC" => elliptic(member)?,
        "OKP" => match text(member, "crv")? {
            "Ed25519" => Key::ed25519(&bytes(member, "x")?)?,
            other => return Err(unsupported("the curve", other)),
        },
        other => return Err(unsupported("the key type", other)),
    };
    if !is_for_signatures(member) {
        return Err(KeyError::Use);
    }
    if let Some(name) = member.get("alg") {
        let name = name.as_str().ok_or(KeyError::Value("alg"))?;
        let only = Algorithm::parse(name).ok_or_else(|| unsupported("the algorithm", name))?;
        if !key.is_for(only) {
            return Err(KeyError::Value("alg"));
        }
        key.only = Some(only);
    }
    key.kid = match member.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str().ok_or(KeyError::Value("kid"))?.into()),
    };
    Ok(key)
}

/// RFC 7518, 6.2.1: coordinates have their full length.
fn elliptic(member: &Map<String, Value>) -> Result<Key, KeyError> {
    let curve = match text(member, "crv")? {
        "P-256" => Curve::P256,
        "P-384" => Curve::P384,
        other => return Err(unsupported("the curve", other)),
    };
    let (x, y) = (bytes(member, "x")?, bytes(member, "y")?);
    if x.len() != curve.coordinate() {
        return Err(KeyError::Value("x"));
    }
    if y.len() != curve.coordinate() {
        return Err(KeyError::Value("y"));
    }
    Key::elliptic(curve, &[&[4], &*x, &*y].concat())
}

/// RFC 7517, 4.2 and 4.3.
fn is_for_signatures(member: &Map<String, Value>) -> bool {
    let used = member.get("use").is_none_or(|it| it.as_str() == Some("sig"));
    let operations = member.get("key_ops").is_none_or(|it| {
        it.as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some("verify")))
    });
    used && operations
}

fn text<'a>(member: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, KeyError> {
    member.get(name).and_then(Value::as_str).ok_or(KeyError::Value(name))
}

fn bytes(member: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD.decode(text(member, name)?).map_err(|_| KeyError::Value(name))
}

fn unsupported(what: &str, name: &str) -> KeyError {
    let name: String = name.chars().take(32).flat_map(char::escape_debug).collect();
    KeyError::Unsupported(format!("{what} `{name}` is not supported"))
}
