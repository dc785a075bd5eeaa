//! Rules of `[auth]`, its tables and `[acl]`.

use super::{Checked, Problem, Span, within};
use crate::config::{AuthHttp, AuthJwt, Config, List, Method};

pub(super) fn values(config: &Config) -> Checked {
    let auth = &config.auth;
    within("auth.max_verifications", auth.max_verifications, 1..=64)?;
    required("auth", &auth.methods, &auth.require)?;
    for (name, listener) in &config.listeners {
        let Some(own) = &listener.auth else { continue };
        let methods = own.methods.as_ref().unwrap_or(&auth.methods);
        let require = own.require.as_ref().unwrap_or(&auth.require);
        required(&format!("listeners.{name}.auth"), methods, require)?;
    }
    jwt(&auth.jwt)?;
    http(&auth.http)?;
    if config.acl.mosquitto_file.is_some() && !config.acl.rules.is_empty() {
        return Err(Problem {
            key: "acl.mosquitto_file".to_owned(),
            text: "acl.rules is set as well: keep one of them".to_owned(),
        });
    }
    Ok(())
}

/// What is required has to be asked.
fn required(table: &str, methods: &List<Method>, require: &List<Method>) -> Checked {
    let Some(other) = require.iter().find(|method| !methods.contains(method)) else {
        return Ok(());
    };
    Err(Problem {
        key: format!("{table}.require"),
        text: format!("found \"{other}\", which is not in {table}.methods: add it there"),
    })
}

fn jwt(jwt: &AuthJwt) -> Checked {
    within("auth.jwt.jwks_refresh", jwt.jwks_refresh, Span::seconds(10)..=Span::days(7))?;
    within("auth.jwt.leeway", jwt.leeway, Span::ZERO..=Span::hours(1))?;
    if jwt.username_claim.is_empty() {
        return Err(Problem {
            key: "auth.jwt.username_claim".to_owned(),
            text: "found \"\", expected the name of a claim, such as \"sub\"".to_owned(),
        });
    }
    url("auth.jwt.jwks_url", &jwt.jwks_url)
}

fn http(http: &AuthHttp) -> Checked {
    url("auth.http.url", &http.url)?;
    within("auth.http.timeout", http.timeout, Span::millis(100)..=Span::seconds(60))?;
    within("auth.http.max_requests", http.max_requests, 1..=1000)?;
    within("auth.http.cache_time", http.cache_time, Span::ZERO..=Span::days(1))?;
    within("auth.http.cache_size", http.cache_size, 0..=1_000_000)
}

fn url(key: &str, url: &str) -> Checked {
    let is_url = ["http://", "https://"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if url.is_empty() || is_url {
        return Ok(());
    }
    // The URL itself may have a password in it.
    Err(Problem {
        key: key.to_owned(),
        text: "expected a URL that begins with https:// or http://, or \"\" for none".to_owned(),
    })
}
