//! Tests of the chain with its methods, and a method of enhanced authentication for tests of
//! other modules.

mod chain;
mod enhanced;
mod password;
mod reload;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::enhanced::Echo;
use super::*;
use crate::config::{Anonymous, Config, List, Listener, ListenerAuth};

const BAD: ReasonCode = ReasonCode::BadUserNameOrPassword;
const NOT_AUTHORIZED: ReasonCode = ReasonCode::NotAuthorized;

/// A CONNECT without anything, on a listener that all can reach.
fn request() -> Request<'static> {
    Request {
        listener: "tcp",
        loopback: false,
        client_id: "c",
        username: None,
        password: None,
        certificate: None,
        peer: ([127, 0, 0, 1], 50_000).into(),
        until: Instant::now() + Duration::from_mins(1),
        now: WallMillis(0),
    }
}

fn with_password<'a>(username: &'a str, password: &'a str) -> Request<'a> {
    Request { username: Some(username), password: Some(password.as_bytes()), ..request() }
}

fn refusal(reason: ReasonCode, by: Option<Method>) -> Decision {
    Decision::Refuse { reason, by }
}

/// A configuration with a password file of these users.
fn with_users(directory: &tempfile::TempDir, users: &[(&str, &str)]) -> Config {
    let path = directory.path().join("passwords");
    let mut file = PasswordFile::default();
    for (user, password) in users {
        file.set(user, password.as_bytes()).unwrap();
    }
    file.write(&path).unwrap();
    let mut config = Config::default();
    config.auth.password_file = Some(path);
    config
}

/// The user name and the method of an accepted client.
fn accepted(decision: Decision) -> (Option<String>, Option<Method>) {
    match decision {
        Decision::Allow(identity) => (identity.username.map(String::from), identity.method),
        Decision::Refuse { reason, by } => panic!("refused: {reason:?} by {by:?}"),
    }
}

fn certificate(common_name: Option<&str>, names: &[&str]) -> Arc<ClientCertificate> {
    Arc::new(ClientCertificate {
        subject: "CN=meter,O=Ferry".into(),
        common_name: common_name.map(Into::into),
        alternative_names: names.iter().map(|name| Box::from(*name)).collect(),
        ..ClientCertificate::default()
    })
}
