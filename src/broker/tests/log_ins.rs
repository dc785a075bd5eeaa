//! Log-ins of connected clients: their end, their renewal, and users who are removed.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::world::{User, World, at_once, request};
use crate::auth::acl::{LogInRules, from_emqx};
use crate::auth::tests::Echo;
use crate::auth::{
    Claimed, EnhancedMethod, Exchange, Identity, NextStep, Others, PasswordFile, Request, Step,
    Verification,
};
use crate::broker::Hand;
use crate::broker::client::Close;
use crate::config::{Config, Method};
use crate::message::{Revoked, WakeCause, WallMillis};
use crate::protocol::{Auth, Connect, LastWill, Packet, QoS, ReasonCode, TopicName, Version};
use crate::telemetry::{AuthMethod, AuthResult, RejectReason};

/// The start of the clock of a timed world.
const START: u64 = 1_780_000_000_000;

fn identity(method: Method, seconds: u64) -> Identity {
    Identity {
        username: Some("alice".into()),
        method: Some(method),
        expires_at: Some(WallMillis(START + seconds * 1000)),
        credential: 1,
        ..Identity::default()
    }
}

/// A world whose policy has the method `ECHO`.
fn world(method: Method) -> (World, Hand) {
    let config = Config::default();
    let (world, hand) = World::timed(config.clone());
    let authenticator = &world.broker.authenticator;
    let policy = authenticator.read(&config).unwrap().with_enhanced(Arc::new(Echo(method)));
    assert!(authenticator.replace(policy));
    (world, hand)
}

fn connect(world: &World, version: Version, identity: Identity) -> User {
    let authentication_method = (version == Version::V5).then(|| "ECHO".to_owned());
    let connect = Connect { authentication_method, ..request(version, "device", false) };
    let mut user = world.try_log_in(&connect, identity).unwrap();
    world.commit();
    assert_eq!(user.received().len(), 1, "CONNACK");
    user
}

fn auth(reason: ReasonCode, method: &str, data: &str) -> Packet<'static> {
    Packet::Auth(Box::new(Auth {
        reason,
        method: Some(method.to_owned()),
        data: Some(data.into()),
        ..Auth::default()
    }))
}

fn reason_of(closed: Result<impl std::fmt::Debug, Close>) -> ReasonCode {
    match closed {
        Err(Close::Error(reason, _)) => reason,
        other => panic!("not ended for a reason: {other:?}"),
    }
}

#[test]
fn a_connection_ends_when_its_log_in_does() {
    for (method, reason) in
        [(Method::Jwt, ReasonCode::MaximumConnectTime), (Method::Scram, ReasonCode::NotAuthorized)]
    {
        for version in [Version::V311, Version::V5] {
            let (world, hand) = world(method);
            let mut user = connect(&world, version, identity(method, 60));
            let now = world.broker.clock.now().instant;
            assert_eq!(user.client.disconnects_at(), Some(now + Duration::from_mins(1)));
            hand.advance(Duration::from_millis(59_999));
            assert!(user.received().is_empty());
            hand.advance(Duration::from_millis(1));
            assert_eq!(reason_of(user.try_received()), reason);
            assert!(user.client.has_log_in_ended());
        }
    }
}

#[test]
fn a_log_in_without_an_end_sets_no_timer_and_one_that_ends_far_away_does_not_overflow() {
    let (world, _hand) = world(Method::Jwt);
    let endless = Identity { expires_at: None, ..identity(Method::Jwt, 0) };
    let mut user = connect(&world, Version::V5, endless);
    assert_eq!(user.client.disconnects_at(), None);
    user.vanish();
    let far = Identity { expires_at: Some(WallMillis(u64::MAX)), ..identity(Method::Jwt, 0) };
    user = connect(&world, Version::V5, far);
    assert!(user.client.disconnects_at().is_some());
}

#[test]
fn a_new_token_on_the_open_connection_renews_the_log_in() {
    let (world, hand) = world(Method::Jwt);
    let mut user = connect(&world, Version::V5, identity(Method::Jwt, 60));
    let later = format!("alice:{}", START + 120_000);
    user.send(auth(ReasonCode::ReAuthenticate, "ECHO", &later));
    let answer = user.received();
    assert_eq!(answer.len(), 1);
    assert!(answer[0].contains("Success") && answer[0].contains("ECHO"), "{answer:?}");
    let counted = &world.broker.metrics.connections.authentications;
    assert_eq!(counted.get(AuthMethod::Jwt, AuthResult::Accepted), 1);
    hand.advance(Duration::from_mins(1));
    assert!(user.received().is_empty());
    hand.advance(Duration::from_mins(1));
    assert_eq!(reason_of(user.try_received()), ReasonCode::MaximumConnectTime);
}

#[test]
fn a_renewal_does_not_shed_the_rules_and_the_end_of_other_required_methods() {
    let (world, _hand) = world(Method::Jwt);
    let rules = LogInRules::new(from_emqx(&json!({"pub": ["a"]})).unwrap());
    let others = Others { expires_at: Some(WallMillis(START + 60_000)), rules: Some(rules) };
    let limited = Identity {
        rules: others.rules.clone(),
        others: Some(Box::new(others)),
        ..identity(Method::Jwt, 30)
    };
    let mut user = connect(&world, Version::V5, limited);
    let later = format!("alice:{}", START + 120_000);
    user.send(auth(ReasonCode::ReAuthenticate, "ECHO", &later));
    user.received();
    let now = world.broker.clock.now().instant;
    assert_eq!(user.client.disconnects_at(), Some(now + Duration::from_mins(1)));
    user.publish(QoS::AtLeastOnce, 1, "x");
    world.commit();
    assert_eq!(user.received(), ["PUBACK 1 refused"]);
}

#[test]
fn a_renewal_costs_a_part_of_a_poll_so_that_many_do_not_hold_up_others() {
    let (world, _hand) = world(Method::Jwt);
    let mut user = connect(&world, Version::V5, identity(Method::Jwt, 60));
    user.client.woken();
    assert!(user.client.begin(crate::broker::Budget::of_short_poll()).unwrap());
    for _ in 0..8 {
        assert!(user.client.may_go_on());
        user.client.handle(auth(ReasonCode::ReAuthenticate, "ECHO", "alice"), 0).unwrap();
    }
    assert!(!user.client.may_go_on() && user.client.has_more_input());
}

/// A method whose verifications end when the test says what they have found.
#[derive(Debug, Default)]
struct Elsewhere(Mutex<Option<oneshot::Sender<Step>>>);

impl EnhancedMethod for Arc<Elsewhere> {
    fn name(&self) -> &'static str {
        "ELSEWHERE"
    }

    fn method(&self) -> Method {
        Method::Jwt
    }

    fn exchange(&self, _: Claimed<'_>) -> Box<dyn Exchange> {
        Box::new(ElsewhereExchange(Arc::clone(self)))
    }

    fn still_has(&self, _: &str, _: u64) -> bool {
        true
    }

    fn fingerprint(&self) -> u64 {
        2
    }
}

#[derive(Debug)]
struct ElsewhereExchange(Arc<Elsewhere>);

impl Exchange for ElsewhereExchange {
    fn begin(&mut self, _: &[u8]) -> NextStep {
        let (found, awaited) = oneshot::channel();
        *self.0.0.lock() = Some(found);
        NextStep::Verifies(Verification::new(async { awaited.await.unwrap() }))
    }

    fn next(&mut self, _: &[u8]) -> NextStep {
        panic!("asked for nothing")
    }
}

#[test]
fn while_a_renewal_is_verified_elsewhere_packets_flow_and_its_end_wakes_the_connection() {
    let config = Config::default();
    let (world, hand) = World::timed(config.clone());
    let authenticator = &world.broker.authenticator;
    let elsewhere = Arc::new(Elsewhere::default());
    let method = Arc::new(Arc::clone(&elsewhere));
    authenticator.replace(authenticator.read(&config).unwrap().with_enhanced(method));
    let connect = Connect {
        authentication_method: Some("ELSEWHERE".to_owned()),
        ..request(Version::V5, "device", false)
    };
    let renew = || auth(ReasonCode::ReAuthenticate, "ELSEWHERE", "x");
    let end = |step| elsewhere.0.lock().take().unwrap().send(step).unwrap();
    let mut user = world.try_log_in(&connect, identity(Method::Jwt, 60)).unwrap();
    world.commit();
    assert_eq!(user.received().len(), 1, "CONNACK");
    user.send(renew());
    user.publish(QoS::AtLeastOnce, 1, "x");
    world.commit();
    assert_eq!(user.received(), ["PUBACK 1"]);
    let wake = user.client.wake().clone();
    let poll = || wake.poll(&Context::from_waker(std::task::Waker::noop()));
    poll();
    assert_eq!(poll(), None);
    end(Step::Done(identity(Method::Jwt, 120), None));
    assert_eq!(poll(), Some(WakeCause::Direct));
    let answer = user.received();
    assert!(answer.len() == 1 && answer[0].contains("Success"), "{answer:?}");
    hand.advance(Duration::from_secs(61));
    assert!(user.received().is_empty(), "renewed");
    user.send(renew());
    assert!(user.received().is_empty());
    end(Step::Refuse(ReasonCode::ServerBusy));
    assert_eq!(reason_of(user.try_received()), ReasonCode::ServerBusy);
    // Neither a second one nor an answer to what was not asked.
    for reason in [ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication] {
        let mut user = world.try_log_in(&connect, identity(Method::Jwt, 120)).unwrap();
        user.send(renew());
        let ended = user.try_send(auth(reason, "ELSEWHERE", "x"));
        assert_eq!(reason_of(ended), ReasonCode::ProtocolError, "{reason:?}");
        user.vanish();
    }
}

#[test]
fn a_renewal_that_fails_counts_as_a_failed_log_in() {
    let mut config = Config::default();
    config.bans.max_failures = 2;
    let (world, _hand) = World::timed(config.clone());
    let authenticator = &world.broker.authenticator;
    let echo = Arc::new(Echo(Method::Scram));
    authenticator.replace(authenticator.read(&config).unwrap().with_enhanced(echo));
    let admit = || world.broker.admit(([127, 0, 0, 1], 2).into(), "tcp");
    for data in ["mallory", "bob"] {
        assert!(admit().is_ok(), "{data}");
        let mut user = connect(&world, Version::V5, identity(Method::Scram, 60));
        user.try_send(auth(ReasonCode::ReAuthenticate, "ECHO", data)).unwrap_err();
        user.vanish();
    }
    assert_eq!(admit().unwrap_err(), RejectReason::Banned);
}

#[test]
fn mqtt_4_12_1_a_renewal_may_take_several_packets_and_others_flow_meanwhile() {
    let (world, _hand) = world(Method::Scram);
    let mut user = connect(&world, Version::V5, identity(Method::Scram, 60));
    user.send(auth(ReasonCode::ReAuthenticate, "ECHO", ""));
    let answer = user.received();
    assert!(answer[0].contains("ContinueAuthentication"), "{answer:?}");
    user.publish(QoS::AtLeastOnce, 1, "x");
    world.commit();
    assert_eq!(user.received(), ["PUBACK 1"]);
    user.send(auth(ReasonCode::ContinueAuthentication, "ECHO", "alice"));
    let answer = user.received();
    assert!(answer[0].contains("Success"), "{answer:?}");
    assert_eq!(user.client.disconnects_at(), None, "the new log-in has no end");
}

#[test]
fn mqtt_4_12_1_2_a_renewal_that_fails_or_is_of_another_user_ends_the_connection() {
    for data in ["mallory", "bob"] {
        let (world, _hand) = world(Method::Jwt);
        let mut user = connect(&world, Version::V5, identity(Method::Jwt, 60));
        let ended = user.try_send(auth(ReasonCode::ReAuthenticate, "ECHO", data));
        assert_eq!(reason_of(ended), ReasonCode::NotAuthorized, "{data}");
    }
    let (world, _hand) = world(Method::Jwt);
    let mut user = connect(&world, Version::V5, identity(Method::Jwt, 60));
    // A token that has already expired.
    let ended = user.try_send(auth(ReasonCode::ReAuthenticate, "ECHO", "alice:1000"));
    assert_eq!(reason_of(ended), ReasonCode::MaximumConnectTime);
}

#[test]
fn auth_packets_that_do_not_fit_are_protocol_errors() {
    let again = || auth(ReasonCode::ReAuthenticate, "ECHO", "");
    for (packets, clause) in [
        (vec![auth(ReasonCode::ReAuthenticate, "SCRAM-SHA-1", "x")], "MQTT-4.12.0-5, 4.12.1-1"),
        (vec![auth(ReasonCode::ContinueAuthentication, "ECHO", "x")], "nothing has begun"),
        (vec![again(), again()], "one has begun"),
    ] {
        let (world, _hand) = world(Method::Jwt);
        let mut user = connect(&world, Version::V5, identity(Method::Jwt, 60));
        let mut packets = packets;
        let last = packets.pop().unwrap();
        for packet in packets {
            user.send(packet);
        }
        assert_eq!(reason_of(user.try_send(last)), ReasonCode::ProtocolError, "{clause}");
    }
    let (world, _hand) = world(Method::Jwt);
    let mut user = world.passing("without a method");
    let ended = user.try_send(again());
    assert_eq!(reason_of(ended), ReasonCode::ProtocolError, "MQTT-4.12.0-7");
}

#[test]
fn a_method_that_a_reload_has_removed_renews_nothing() {
    let (world, _hand) = world(Method::Jwt);
    let mut user = connect(&world, Version::V5, identity(Method::Jwt, 60));
    let authenticator = &world.broker.authenticator;
    authenticator.replace(authenticator.read(&Config::default()).unwrap());
    let ended = user.try_send(auth(ReasonCode::ReAuthenticate, "ECHO", "alice"));
    assert_eq!(reason_of(ended), ReasonCode::BadAuthenticationMethod);
}

#[test]
fn a_client_that_does_not_read_its_auth_packets_is_not_read_either() {
    let (world, _hand) = world(Method::Jwt);
    let mut user = connect(&world, Version::V5, identity(Method::Jwt, 60));
    let most = world.broker.settings.max_unanswered;
    let renew = || auth(ReasonCode::ReAuthenticate, "ECHO", "alice");
    (0..most).for_each(|_| user.send(renew()));
    assert!(user.client.block().is_none());
    user.client.woken();
    assert!(user.client.begin(crate::broker::Budget::of_long_poll()).unwrap());
    let handled = user.client.handle(renew(), 0).unwrap();
    assert_eq!(handled, crate::broker::client::Handled::Held);
}

/// A world with a password file, and its users connected by their names.
struct Users {
    world: World,
    config: Config,
    _directory: tempfile::TempDir,
}

impl Users {
    fn new(users: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.auth.password_file = Some(directory.path().join("passwords"));
        let new = Self { world: World::new(), config, _directory: directory };
        let mut file = PasswordFile::default();
        for user in users {
            file.set(user, b"x").unwrap();
        }
        new.replace(&file);
        new
    }

    fn file(&self) -> PasswordFile {
        PasswordFile::read(self.config.auth.password_file.as_ref().unwrap()).unwrap()
    }

    fn replace(&self, file: &PasswordFile) {
        file.write(self.config.auth.password_file.as_ref().unwrap()).unwrap();
        let authenticator = &self.world.broker.authenticator;
        assert!(authenticator.replace(authenticator.read(&self.config).unwrap()));
    }

    async fn identity(&self, user: &str) -> Identity {
        let request = Request {
            listener: "tcp",
            loopback: false,
            client_id: user,
            username: Some(user),
            password: Some(b"x"),
            certificate: None,
            peer: ([127, 0, 0, 1], 1).into(),
            until: tokio::time::Instant::now() + Duration::from_mins(1),
            now: crate::message::WallMillis(0),
        };
        match self.world.broker.authenticator.connect(request).await {
            crate::auth::Decision::Allow(identity) => identity,
            refused @ crate::auth::Decision::Refuse { .. } => panic!("{refused:?}"),
        }
    }

    async fn connect(&self, user: &str) -> User {
        let will = LastWill {
            topic: TopicName::new("wills").unwrap(),
            payload: user.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            delay: 0,
            expiry: None,
            properties: Vec::new(),
        };
        let connect = Connect { will: Some(will), ..request(Version::V5, user, false) };
        let mut connected = self.world.try_log_in(&connect, self.identity(user).await).unwrap();
        self.world.commit();
        assert_eq!(connected.received().len(), 1, "CONNACK");
        connected
    }
}

#[tokio::test]
async fn removed_users_and_changed_passwords_are_disconnected_and_no_others() {
    let users = Users::new(&["alice", "bob", "carol"]);
    let (mut alice, bob, carol) =
        (users.connect("alice").await, users.connect("bob").await, users.connect("carol").await);
    let mut anonymous = users.world.passing("anonymous");
    anonymous.subscribe("wills", QoS::AtMostOnce);
    users.world.commit();
    anonymous.received();
    let mut file = users.file();
    file.remove("bob");
    file.set("carol", b"y").unwrap();
    users.replace(&file);
    assert_eq!(users.world.broker.disconnect_removed_users().await, 2);
    assert!(alice.received().is_empty() && !alice.client.is_revoked());
    for mut gone in [bob, carol] {
        assert_eq!(reason_of(gone.try_received()), ReasonCode::NotAuthorized);
        gone.vanish();
    }
    assert_eq!(anonymous.received(), ["PUBLISH 0 bob", "PUBLISH 0 carol"], "their wills");
    assert_eq!(users.world.broker.session_counts(), (2, 2), "their sessions are kept");
    assert_eq!(users.world.broker.disconnect_removed_users().await, 0);
}

#[tokio::test]
async fn who_was_verified_before_a_reload_and_connects_after_it_does_not_stay() {
    let users = Users::new(&["alice"]);
    let identity = users.identity("alice").await;
    let mut file = users.file();
    file.set("alice", b"y").unwrap();
    users.replace(&file);
    assert_eq!(users.world.broker.disconnect_removed_users().await, 0);
    let connect = request(Version::V5, "alice", false);
    let mut late = users.world.try_log_in(&connect, identity).unwrap();
    assert_eq!(reason_of(late.try_received()), ReasonCode::NotAuthorized);
}

#[test]
fn clients_are_disconnected_by_any_condition_also_when_they_are_many() {
    let world = World::new();
    // More than one page of the registry.
    let mut clients: Vec<_> = (0..1300).map(|n| world.connect(&format!("{n:04}"), true)).collect();
    let is_gone = |id: &str, _: &crate::session::ConnectionInfo| id.ends_with('0');
    let ended = at_once(world.broker.disconnect_where(Revoked::CertificateRevoked, is_gone));
    assert_eq!(ended, 130);
    for (n, client) in clients.iter_mut().enumerate() {
        if n % 10 == 0 {
            let reason = reason_of(client.try_received());
            assert_eq!(reason, ReasonCode::NotAuthorized);
        } else {
            assert!(!client.client.is_revoked());
        }
    }
}
