//! The method `password`, and clients without any.

use super::*;

#[tokio::test]
async fn the_right_password_opens_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = with_users(&directory, &[("alice", "wonderland")]);
    config.auth.allow_anonymous = Anonymous::Always;
    let auth = Authenticator::load(&config).unwrap();
    let alice = (Some("alice".to_owned()), Some(Method::Password));
    assert_eq!(accepted(auth.connect(with_password("alice", "wonderland")).await), alice);
    let bad = refusal(BAD, Some(Method::Password));
    for wrong in ["Wonderland", "", "wonderland\0"] {
        assert_eq!(auth.connect(with_password("alice", wrong)).await, bad, "{wrong:?}");
    }
    let oversized = "w".repeat(65_535);
    assert_eq!(auth.connect(with_password("alice", &oversized)).await, bad);
    assert_eq!(auth.connect(with_password(&oversized, "wonderland")).await, bad);
    let absent = Request { username: Some("alice"), ..request() };
    assert_eq!(auth.connect(absent).await, bad);
    let local = Request { loopback: true, ..with_password("bob", "wonderland") };
    assert_eq!(auth.connect(local).await, bad);
    assert_eq!(auth.connect(with_password("", "wonderland")).await, bad);
    let nameless = Request { password: Some(b"wonderland"), ..request() };
    assert_eq!(auth.connect(nameless).await, bad);
}

#[tokio::test]
async fn anonymous_clients_are_welcome_where_the_configuration_says() {
    let welcome = Decision::Allow(Identity::default());
    let not_authorized = refusal(NOT_AUTHORIZED, None);
    let directory = tempfile::tempdir().unwrap();
    let mut guarded = with_users(&directory, &[("alice", "wonderland")]);
    for (policy, loopback, expected) in [
        (Anonymous::Loopback, true, &welcome),
        (Anonymous::Loopback, false, &not_authorized),
        (Anonymous::Always, false, &welcome),
        (Anonymous::Never, true, &not_authorized),
    ] {
        let mut config = Config::default();
        config.auth.allow_anonymous = policy;
        let auth = Authenticator::load(&config).unwrap();
        let decision = auth.connect(Request { loopback, ..request() }).await;
        assert_eq!(decision, *expected, "{policy:?}");
        // A password file also excludes anonymous clients on loopback, unless configured
        // otherwise.
        let expected = if policy == Anonymous::Always { &welcome } else { &not_authorized };
        guarded.auth.allow_anonymous = policy;
        let auth = Authenticator::load(&guarded).unwrap();
        let decision = auth.connect(Request { loopback, ..request() }).await;
        assert_eq!(decision, *expected, "{policy:?} with a password file");
    }
}

#[tokio::test]
async fn a_name_that_nothing_can_verify_is_not_believed() {
    let auth = Authenticator::load(&Config::default()).unwrap();
    let local = Request { loopback: true, ..with_password("root", "x") };
    assert_eq!(auth.connect(local).await, Decision::Allow(Identity::default()));
    assert_eq!(auth.connect(with_password("root", "x")).await, refusal(NOT_AUTHORIZED, None));
}

#[tokio::test]
async fn who_waits_too_long_for_a_slot_is_told_that_the_server_is_busy() {
    let directory = tempfile::tempdir().unwrap();
    let auth = Authenticator::load(&with_users(&directory, &[("alice", "wonderland")])).unwrap();
    let policy = auth.current();
    let source = crate::peer::PeerAddr::from(([127, 0, 0, 2], 1)).source();
    let running = [(); 2].map(|()| policy.passwords().unwrap().slots.enter(source).unwrap());
    let until = Instant::now() + Duration::from_millis(20);
    let late = Request { until, ..with_password("alice", "wonderland") };
    let busy = refusal(ReasonCode::ServerBusy, Some(Method::Password));
    assert_eq!(auth.connect(late).await, busy);
    // An unknown user waits for its turn as well.
    let late = Request { until, ..with_password("bob", "wonderland") };
    assert_eq!(auth.connect(late).await, busy);
    drop(running);
    accepted(auth.connect(with_password("alice", "wonderland")).await);
}

/// Written by `mosquitto_passwd` 2.0.11.
#[tokio::test]
async fn users_of_mosquitto_log_in_beside_our_own() {
    let directory = tempfile::tempdir().unwrap();
    let config = with_users(&directory, &[("bob", "builder")]);
    let path = config.auth.password_file.clone().unwrap();
    let mut text = std::fs::read_to_string(&path).unwrap();
    text += "alice:$7$101$fVFDx6sWYSLTf3LJ$N5vP+UTa1z3wOkGLAKKStzykA/sr9VjdamlqUgfpBZkWQeTk+olHoodBpjtgr2tQEDy71DsK8WfJVOWZFIStHQ==\n";
    std::fs::write(&path, text).unwrap();
    let auth = Authenticator::load(&config).unwrap();
    accepted(auth.connect(with_password("alice", "wonderland of alice")).await);
    accepted(auth.connect(with_password("bob", "builder")).await);
    let wrong = with_password("alice", "wonderland of bob");
    assert_eq!(auth.connect(wrong).await, refusal(BAD, Some(Method::Password)));
    assert_eq!(
        auth.connect(with_password("carol", "x")).await,
        refusal(BAD, Some(Method::Password))
    );
}

#[test]
fn a_request_does_not_show_the_password() {
    let shown = format!("{:?}", with_password("alice", "hunter2"));
    let secret = format!("{:?}", b"hunter2");
    assert!(!shown.contains(&secret) && shown.contains("<7 bytes>"), "{shown}");
}
