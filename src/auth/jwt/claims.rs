//! The claims of a token whose signature is verified (RFC 7519, 4.1). `iat` is not asked: when
//! a token was issued says nothing about how long it holds.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::Refused;
use crate::auth::acl::{self, LogInRules};
use crate::message::WallMillis;

/// The longest user name, in bytes: that of a CONNECT [MQTT-1.5.4].
const MAX_USERNAME: usize = 65_535;

/// What the claims have to be.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// `iss`; empty: any.
    pub issuer: Box<str>,
    /// `aud` has one of these; empty: any.
    pub audience: Vec<Box<str>>,
    /// By how much clocks may differ, in milliseconds.
    pub leeway: u64,
    /// Whether `exp` is required.
    pub require_expiry: bool,
    /// The claim that is the user name.
    pub username_claim: Box<str>,
    /// What that has to be equal to.
    pub must_match: MustMatch,
    /// The claim with access rules.
    pub acl_claim: Box<str>,
}

/// What the user name has to be equal to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MustMatch {
    /// Nothing.
    #[default]
    Nothing,
    /// The user name of the CONNECT, which must have one.
    Username,
    /// The client id.
    ClientId,
}

/// What a token says about a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its user name.
    pub username: Box<str>,
    /// The first moment at which the token would be refused: its `exp` and the leeway.
    pub expires_at: Option<WallMillis>,
    /// Its access rules, in the order in which they are asked.
    pub rules: Option<LogInRules>,
}

impl Expected {
    /// Checks the claims.
    ///
    /// # Errors
    /// The first that is not as it has to be.
    pub fn check(
        &self,
        claims: &Map<String, Value>,
        username: Option<&str>,
        client_id: &str,
        now: WallMillis,
    ) -> Result<Verified, Refused> {
        let expires_at = match time(claims, "exp")? {
            None if self.require_expiry => return Err(Refused::Missing("exp".into())),
            None => None,
            Some(exp) => Some(WallMillis(exp.saturating_add(self.leeway))),
        };
        if expires_at.is_some_and(|at| at <= now) {
            return Err(Refused::Expired);
        }
        if time(claims, "nbf")?.is_some_and(|nbf| nbf > now.0.saturating_add(self.leeway)) {
            return Err(Refused::NotYet);
        }
        if !self.issuer.is_empty()
            && claims.get("iss").and_then(Value::as_str) != Some(&*self.issuer)
        {
            return Err(Refused::Issuer);
        }
        if !self.audience.is_empty() && !self.is_audience(claims.get("aud")) {
            return Err(Refused::Audience);
        }
        let name = self.username(claims)?;
        match self.must_match {
            MustMatch::Username if username != Some(name) => {
                return Err(Refused::Mismatch("user name"));
            }
            MustMatch::ClientId if client_id != name => {
                return Err(Refused::Mismatch("client id"));
            }
            _ => {}
        }
        let rules = claims.get(&*self.acl_claim).map(rules).transpose()?;
        Ok(Verified { username: name.into(), expires_at, rules })
    }

    /// `aud` is a text or a list of texts (RFC 7519, 4.1.3).
    fn is_audience(&self, claim: Option<&Value>) -> bool {
        let is_one = |value: &Value| {
            value.as_str().is_some_and(|text| self.audience.iter().any(|one| **one == *text))
        };
        match claim {
            Some(Value::Array(all)) => all.iter().any(is_one),
            Some(one) => is_one(one),
            None => false,
        }
    }

    fn username<'a>(&self, claims: &'a Map<String, Value>) -> Result<&'a str, Refused> {
        let claim = || self.username_claim.clone();
        let name = claims.get(&*self.username_claim).ok_or_else(|| Refused::Missing(claim()))?;
        let name = name.as_str().ok_or_else(|| Refused::Invalid(claim()))?;
        if name.is_empty() || name.len() > MAX_USERNAME || name.contains(char::is_control) {
            return Err(Refused::Invalid(claim()));
        }
        Ok(name)
    }
}

/// A `NumericDate` in milliseconds: seconds, not necessarily whole (RFC 7519, 2). What is
/// before 1970 counts as 1970, and what is too large never comes.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_number().ok_or_else(|| Refused::Invalid(name.into()))?;
    let millis = if let Some(seconds) = number.as_u64() {
        seconds.saturating_mul(1000)
    } else {
        let seconds = number.as_f64().unwrap_or_default().max(0.0);
        let length = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
    };
    Ok(Some(millis))
}

fn rules(claim: &Value) -> Result<LogInRules, Refused> {
    // EMQX 5 writes placeholders as `${username}`, and `%u` is text there. Here it would be a
    // placeholder, so that the rule would have another meaning.
    if has_our_placeholder(claim) {
        return Err(Refused::Rules("`%u` and `%c` are not supported in topics".to_owned()));
    }
    let rules = acl::from_emqx(claim).map_err(|error| Refused::Rules(error.to_string()))?;
    Ok(LogInRules::new(rules))
}

fn has_our_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("%u") || text.contains("%c"),
        Value::Array(values) => values.iter().any(has_our_placeholder),
        Value::Object(members) => members.values().any(has_our_placeholder),
        _ => false,
    }
}
