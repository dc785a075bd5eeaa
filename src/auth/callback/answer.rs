//! What an answer of the server means.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use thiserror::Error;

use super::Answer;
use crate::auth::acl::{EmqxError, LogInRules, from_emqx};
use crate::message::WallMillis;

/// 9999-12-31T23:59:59Z in seconds. What is later is a time in milliseconds.
const LAST_SECOND: u64 = 253_402_300_799;

/// Why an answer cannot be used. Shows nothing of it: it may contain secrets.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Unusable {
    #[error("has a status that is neither 200, 204 nor 4xx")]
    Status,
    #[error("is not the expected JSON (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("has invalid rules in acl: {0}")]
    Rules(#[from] EmqxError),
    #[error("has an expire_at that is not in seconds since 1970")]
    ExpireAt,
    #[error("has clientid_override, which is not supported")]
    ClientIdOverride,
}

/// The body of an answer of 200. Other members, such as EMQX's `client_attrs`, have no meaning
/// here.
#[derive(Deserialize)]
struct Body {
    result: Verdict,
    is_superuser: Option<bool>,
    expire_at: Option<u64>,
    acl: Option<Value>,
    clientid_override: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Allow,
    Deny,
    Ignore,
}

/// Reads an answer about a client with this user name.
pub(super) fn read(
    status: u16,
    body: &[u8],
    username: Option<&str>,
    now: WallMillis,
) -> Result<Answer, Unusable> {
    let allow = Answer::Allow { username: username.map(Box::from), rules: None, expires_at: None };
    match status {
        200 => {}
        204 => return Ok(allow),
        // The server has not decided: time-out, too early, too many requests.
        408 | 425 | 429 => return Err(Unusable::Status),
        400..=499 => return Ok(Answer::Refuse),
        _ => return Err(Unusable::Status),
    }
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Unusable::Json { line: error.line(), column: error.column() })?;
    match body.result {
        Verdict::Allow => {}
        Verdict::Deny => return Ok(Answer::Refuse),
        Verdict::Ignore => return Ok(Answer::NotMine),
    }
    if body.clientid_override.is_some() {
        return Err(Unusable::ClientIdOverride);
    }
    let expires_at = match body.expire_at {
        Some(seconds) if seconds > LAST_SECOND => return Err(Unusable::ExpireAt),
        Some(seconds) => Some(WallMillis(seconds * 1_000)),
        None => None,
    };
    if expires_at.is_some_and(|at| at <= now) {
        return Ok(Answer::Refuse);
    }
    // Also those of a superuser: what cannot be read was meant otherwise than it would hold.
    let rules = body.acl.as_ref().map(from_emqx).transpose()?;
    let rules = if body.is_superuser.unwrap_or(false) {
        Some(LogInRules::Superuser)
    } else {
        rules.map(LogInRules::new)
    };
    Ok(Answer::Allow { username: username.map(Box::from), rules, expires_at })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: WallMillis = WallMillis(1_800_000_000_000);

    fn of(status: u16, body: &str) -> Result<Answer, Unusable> {
        read(status, body.as_bytes(), Some("u"), NOW)
    }

    fn plain() -> Answer {
        Answer::Allow { username: Some("u".into()), rules: None, expires_at: None }
    }

    #[test]
    fn the_result_decides() {
        assert_eq!(of(200, r#"{"result": "allow", "client_attrs": {"a": "b"}}"#), Ok(plain()));
        assert_eq!(of(204, ""), Ok(plain()));
        assert_eq!(of(200, r#"{"result": "allow", "acl": null, "expire_at": null}"#), Ok(plain()));
        assert_eq!(of(200, r#"{"result": "deny", "acl": 7}"#), Ok(Answer::Refuse));
        assert_eq!(of(200, r#"{"result": "ignore"}"#), Ok(Answer::NotMine));
    }

    #[test]
    fn rules_and_the_end_come_with_an_answer() {
        let acl = json!([{"permission": "allow", "action": "publish", "topic": "t"}]);
        let listed = LogInRules::new(from_emqx(&acl).unwrap());
        for (superuser, expected) in [(false, listed), (true, LogInRules::Superuser)] {
            let body = json!({
                "result": "allow", "is_superuser": superuser, "expire_at": 1_800_000_001, "acl": acl,
            });
            let Ok(Answer::Allow { rules, expires_at, .. }) = of(200, &body.to_string()) else {
                panic!("not allowed")
            };
            assert_eq!(rules, Some(expected));
            assert_eq!(expires_at, Some(WallMillis(1_800_000_001_000)));
        }
        let ended = r#"{"result": "allow", "expire_at": 1800000000}"#;
        assert_eq!(of(200, ended), Ok(Answer::Refuse));
    }

    #[test]
    fn a_status_that_decides_nothing_is_no_answer() {
        for status in [400, 401, 403, 404, 422] {
            assert_eq!(of(status, "{}"), Ok(Answer::Refuse), "{status}");
        }
        for status in [201, 302, 307, 408, 425, 429, 500, 503] {
            let answer = of(status, r#"{"result": "allow"}"#);
            assert_eq!(answer, Err(Unusable::Status), "{status}");
        }
    }

    #[test]
    fn what_cannot_be_read_lets_nobody_in_and_is_not_shown() {
        for body in [
            "",
            "allow",
            "[]",
            "{}",
            r#"{"result": "ALLOW"}"#,
            r#"{"result": "allow"} x"#,
            r#"{"result": "allow", "result": "deny"}"#,
            r#"{"result": "allow", "is_superuser": "hunter2"}"#,
            r#"{"result": "allow", "expire_at": -1}"#,
        ] {
            let error = of(200, body).unwrap_err();
            assert!(matches!(error, Unusable::Json { .. }), "{body}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let millis = r#"{"result": "allow", "expire_at": 1800000001000}"#;
        assert_eq!(of(200, millis), Err(Unusable::ExpireAt));
        let rules = r#"{"result": "allow", "acl": "all"}"#;
        assert_eq!(of(200, rules), Err(Unusable::Rules(EmqxError::Shape)));
        let other = r#"{"result": "allow", "clientid_override": "x"}"#;
        assert_eq!(of(200, other), Err(Unusable::ClientIdOverride));
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(status: u16, body: Vec<u8>) {
            let _ = read(status, &body, None, NOW);
        }
    }
}
