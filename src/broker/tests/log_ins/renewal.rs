//! Renewals by AUTH on the open connection (MQTT 5.0, 4.12.1).

use std::task::Context;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::auth::acl::{LogInRules, from_emqx};
use crate::auth::{Claimed, EnhancedMethod, Exchange, NextStep, Others, Step, Verification};
use crate::message::WakeCause;
use crate::protocol::{Auth, Packet, QoS};
use crate::telemetry::{AuthMethod, AuthResult, RejectReason};

fn auth(reason: ReasonCode, method: &str, data: &str) -> Packet<'static> {
    Packet::Auth(Box::new(Auth {
        reason,
        method: Some(method.to_owned()),
        data: Some(data.into()),
        ..Auth::default()
    }))
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
