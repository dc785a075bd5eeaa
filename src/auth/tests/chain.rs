//! The order of methods, what is required, and what a listener changes.

use super::*;
use crate::auth::acl::{LogInRules, from_emqx};
use crate::config::CertificateName;

fn list(methods: &[Method]) -> List<Method> {
    List(methods.to_vec())
}

/// `alice` is in the password file; certificates are asked first.
fn both(directory: &tempfile::TempDir) -> Config {
    let mut config = with_users(directory, &[("alice", "wonderland")]);
    config.auth.methods = list(&[Method::Certificate, Method::Password]);
    config
}

#[tokio::test]
async fn the_user_name_is_the_configured_part_of_the_certificate() {
    let whole = certificate(Some("meter"), &["meter.example.org", "m@example.org"]);
    for (part, name) in [
        (CertificateName::Cn, "meter"),
        (CertificateName::San, "meter.example.org"),
        (CertificateName::Subject, "CN=meter,O=Ferry"),
    ] {
        let mut config = Config::default();
        config.auth.methods = list(&[Method::Certificate]);
        config.auth.certificate.username = part;
        let auth = Authenticator::load(&config).unwrap();
        let decision = auth.connect(Request { certificate: Some(&whole), ..request() }).await;
        assert_eq!(accepted(decision), (Some(name.to_owned()), Some(Method::Certificate)));
    }
}

#[tokio::test]
async fn a_certificate_without_the_name_is_refused_and_no_certificate_is_left_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let auth = Authenticator::load(&both(&directory)).unwrap();
    for nameless in [certificate(None, &["x"]), certificate(Some(""), &[])] {
        let shown =
            Request { certificate: Some(&nameless), ..with_password("alice", "wonderland") };
        let decision = auth.connect(shown).await;
        assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Certificate)));
    }
    let alice = (Some("alice".to_owned()), Some(Method::Password));
    assert_eq!(accepted(auth.connect(with_password("alice", "wonderland")).await), alice);
    assert_eq!(auth.connect(request()).await, refusal(NOT_AUTHORIZED, None));
}

#[tokio::test]
async fn the_first_method_that_decides_does_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = both(&directory);
    let meter = certificate(Some("meter"), &[]);
    let shown =
        |password| Request { certificate: Some(&meter), ..with_password("alice", password) };
    let auth = Authenticator::load(&config).unwrap();
    let by_certificate = (Some("meter".to_owned()), Some(Method::Certificate));
    assert_eq!(accepted(auth.connect(shown("wrong")).await), by_certificate);
    config.auth.methods = list(&[Method::Password, Method::Certificate]);
    let auth = Authenticator::load(&config).unwrap();
    assert_eq!(auth.connect(shown("wrong")).await, refusal(BAD, Some(Method::Password)));
    let unknown = Request { username: Some("bob"), ..shown("x") };
    assert_eq!(accepted(auth.connect(unknown).await), by_certificate);
}

#[tokio::test]
async fn what_is_required_must_all_allow_and_the_password_names_the_user() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = both(&directory);
    config.auth.require = list(&[Method::Certificate, Method::Password]);
    config.auth.allow_anonymous = Anonymous::Always;
    let auth = Authenticator::load(&config).unwrap();
    let meter = certificate(Some("meter"), &[]);
    let shown =
        |password| Request { certificate: Some(&meter), ..with_password("alice", password) };
    let alice = (Some("alice".to_owned()), Some(Method::Password));
    assert_eq!(accepted(auth.connect(shown("wonderland")).await), alice);
    assert_eq!(auth.connect(shown("wrong")).await, refusal(BAD, Some(Method::Password)));
    let unknown = Request { username: Some("bob"), ..shown("x") };
    assert_eq!(auth.connect(unknown).await, refusal(BAD, Some(Method::Password)));
    let only_certificate = Request { certificate: Some(&meter), ..request() };
    let decision = auth.connect(only_certificate).await;
    assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Password)));
    let decision = auth.connect(with_password("alice", "wonderland")).await;
    assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Certificate)));
    let decision = auth.connect(request()).await;
    assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Certificate)), "not anonymous");
}

#[tokio::test]
async fn with_require_other_methods_are_not_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = both(&directory);
    config.auth.require = list(&[Method::Certificate]);
    let auth = Authenticator::load(&config).unwrap();
    let meter = certificate(Some("meter"), &[]);
    let shown = Request { certificate: Some(&meter), ..with_password("alice", "wrong") };
    let by_certificate = (Some("meter".to_owned()), Some(Method::Certificate));
    assert_eq!(accepted(auth.connect(shown).await), by_certificate);
    let decision = auth.connect(with_password("alice", "wonderland")).await;
    assert_eq!(decision, refusal(NOT_AUTHORIZED, Some(Method::Certificate)));
}

#[test]
fn what_is_required_has_to_be_asked_and_configured() {
    let mut config = Config::default();
    config.auth.require = list(&[Method::Certificate]);
    assert_eq!(
        Authenticator::load(&config).unwrap_err().to_string(),
        "auth.require has \"certificate\", which is not in auth.methods: add it there"
    );
    config.auth.require = List::default();
    let auth = ListenerAuth { require: Some(list(&[Method::Password])), ..ListenerAuth::default() };
    let listener = Listener { auth: Some(auth), ..Listener::default() };
    config.listeners.insert("inner".to_owned(), listener);
    assert_eq!(
        Authenticator::load(&config).unwrap_err().to_string(),
        "listeners.inner.auth.require has \"password\", which is not configured: set \
         auth.password_file or auth.scram.file"
    );
}

#[tokio::test]
async fn a_listener_may_differ() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = with_users(&directory, &[("alice", "wonderland")]);
    let auth = ListenerAuth {
        methods: Some(List::default()),
        allow_anonymous: Some(Anonymous::Always),
        ..ListenerAuth::default()
    };
    let open = Listener { auth: Some(auth), ..Listener::default() };
    config.listeners.insert("open".to_owned(), open);
    let auth = Authenticator::load(&config).unwrap();
    assert_eq!(auth.connect(request()).await, refusal(NOT_AUTHORIZED, None));
    let on_open = Request { listener: "open", ..with_password("alice", "wrong") };
    assert_eq!(auth.connect(on_open).await, Decision::Allow(Identity::default()));
}

#[test]
fn two_methods_give_one_identity() {
    let identity = |name: &str, method, expires_at: Option<u64>| Identity {
        username: Some(name.into()),
        method: Some(method),
        expires_at: expires_at.map(WallMillis),
        ..Identity::default()
    };
    let meter = identity("meter", Method::Certificate, None);
    let token = identity("alice", Method::Jwt, Some(9));
    for both in [meter.clone().and(token.clone()), token.clone().and(meter)] {
        assert_eq!(both, Some(token.clone()), "whatever the order");
    }
    let http = identity("alice", Method::Http, Some(7));
    let both = token.clone().and(http.clone()).unwrap();
    assert_eq!((both.method, both.expires_at), (Some(Method::Jwt), Some(WallMillis(7))));
    assert_eq!(token.and(Identity { username: Some("bob".into()), ..http }), None);
}

#[test]
fn a_log_in_is_that_of_the_method_whose_secret_may_be_taken_away() {
    let identity = |method, credential| Identity {
        username: Some("alice".into()),
        method: Some(method),
        credential,
        ..Identity::default()
    };
    let (token, password) = (identity(Method::Jwt, 0), identity(Method::Password, 7));
    for both in [token.clone().and(password.clone()), password.clone().and(token)] {
        assert_eq!(both, Some(password.clone()), "or a removed user would stay");
    }
}

#[test]
fn a_renewal_keeps_what_other_methods_have_added() {
    let rules = |topic| Some(LogInRules::new(from_emqx(&topic).unwrap()));
    let (ours, theirs) =
        (rules(serde_json::json!({"pub": ["a"]})), rules(serde_json::json!({"pub": ["b"]})));
    let others = Others { expires_at: Some(WallMillis(5)), rules: theirs.clone() };
    let renewed = |expires_at, rules| {
        let expires_at = Some(WallMillis(expires_at));
        let identity = Identity { rules, expires_at, ..Identity::default() };
        let kept = identity.beside(Some(&others));
        (kept.expires_at.map(|at| at.0), kept.rules)
    };
    assert_eq!(renewed(9, None), (Some(5), theirs));
    assert_eq!(renewed(3, ours.clone()), (Some(3), ours));
}
