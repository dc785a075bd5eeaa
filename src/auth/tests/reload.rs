//! A policy is replaced as a whole, and says whose log-in still holds.

use super::*;
use crate::config::CertificateName;

fn log_in<'a>(identity: &'a Identity, certificate: Option<&'a ClientCertificate>) -> LogIn<'a> {
    LogIn {
        listener: "tcp",
        username: identity.username.as_deref(),
        method: identity.method,
        credential: identity.credential,
        certificate,
    }
}

async fn identity_of(auth: &Authenticator, request: Request<'_>) -> Identity {
    match auth.connect(request).await {
        Decision::Allow(identity) => identity,
        refused @ Decision::Refuse { .. } => panic!("{refused:?}"),
    }
}

#[tokio::test]
async fn what_is_replaced_holds_for_who_connects_next() {
    let directory = tempfile::tempdir().unwrap();
    let config = with_users(&directory, &[("alice", "wonderland")]);
    let auth = Authenticator::load(&config).unwrap();
    assert!(!auth.replace(auth.read(&config).unwrap()), "nothing has changed");
    let alice = || Request { loopback: true, ..with_password("alice", "wonderland") };
    accepted(auth.connect(alice()).await);
    assert!(auth.replace(auth.read(&Config::default()).unwrap()));
    assert!(!auth.replace(auth.read(&Config::default()).unwrap()));
    assert_eq!(auth.connect(alice()).await, Decision::Allow(Identity::default()));
}

#[tokio::test]
async fn an_invalid_file_leaves_the_policy_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let config = with_users(&directory, &[("alice", "wonderland")]);
    let auth = Authenticator::load(&config).unwrap();
    std::fs::write(config.auth.password_file.as_ref().unwrap(), "alice:half wri").unwrap();
    let error = auth.read(&config).unwrap_err().to_string();
    assert!(error.contains("passwords, line 1: the hash of alice"), "{error}");
    accepted(auth.connect(with_password("alice", "wonderland")).await);
}

#[tokio::test]
async fn who_was_removed_or_has_another_password_is_told_from_who_stays() {
    let directory = tempfile::tempdir().unwrap();
    let users = [("alice", "wonderland"), ("bob", "builder"), ("carol", "x")];
    let config = with_users(&directory, &users);
    let auth = Authenticator::load(&config).unwrap();
    let mut logged_in = Vec::new();
    for (user, password) in users {
        logged_in.push(identity_of(&auth, with_password(user, password)).await);
    }
    let valid = |auth: &Authenticator| -> Vec<_> {
        logged_in.iter().map(|identity| auth.still_valid(&log_in(identity, None))).collect()
    };
    assert_eq!(valid(&auth), [true, true, true]);
    let path = config.auth.password_file.clone().unwrap();
    let mut file = PasswordFile::read(&path).unwrap();
    file.remove("bob");
    file.set("carol", b"y").unwrap();
    file.write(&path).unwrap();
    assert!(auth.replace(auth.read(&config).unwrap()));
    assert_eq!(valid(&auth), [true, false, false]);
    let anonymous = Identity::default();
    assert!(auth.still_valid(&log_in(&anonymous, None)));
    // The whole method is gone.
    auth.replace(auth.read(&Config::default()).unwrap());
    assert_eq!(valid(&auth), [false, false, false]);
    assert!(auth.still_valid(&log_in(&anonymous, None)));
}

#[tokio::test]
async fn a_certificate_holds_while_it_names_the_same_user() {
    let mut config = Config::default();
    config.auth.methods = List(vec![Method::Certificate]);
    let auth = Authenticator::load(&config).unwrap();
    let shown = certificate(Some("meter"), &["meter.example.org"]);
    let identity = identity_of(&auth, Request { certificate: Some(&shown), ..request() }).await;
    assert!(auth.still_valid(&log_in(&identity, Some(&shown))));
    config.auth.certificate.username = CertificateName::San;
    assert!(auth.replace(auth.read(&config).unwrap()));
    assert!(!auth.still_valid(&log_in(&identity, Some(&shown))));
}

#[test]
fn a_file_that_everyone_may_read_is_used_and_pointed_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let config = with_users(&directory, &[("alice", "wonderland")]);
    let path = config.auth.password_file.clone().unwrap();
    assert!(!crate::config::is_readable_by_all(&path), "as `ferrymq passwd` writes it");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    Authenticator::load(&config).unwrap();
}

#[test]
fn a_client_without_a_user_name_that_a_method_has_allowed_is_not_anonymous() {
    let allowed = Identity { method: Some(Method::Http), ..Identity::default() };
    let counted = Decision::Allow(allowed.clone()).as_labels();
    assert_eq!(counted, (AuthMethod::Http, AuthResult::Accepted));
    let mut config = Config::default();
    config.auth.http.url = "http://127.0.0.1:9/".to_owned();
    config.auth.methods = List(vec![Method::Http]);
    let auth = Authenticator::load(&config).unwrap();
    assert!(auth.still_valid(&log_in(&allowed, None)));
    // Its method is gone, and an anonymous client would not be allowed either.
    auth.replace(auth.read(&Config::default()).unwrap());
    assert!(!auth.still_valid(&log_in(&allowed, None)));
    assert!(auth.still_valid(&log_in(&Identity::default(), None)));
}
