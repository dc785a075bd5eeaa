//! Access rules: what is refused, filtered and handed to others, and what a reload changes.

mod shared;
mod wills;

use super::world::{User, World, ack, id, publish, subscribe};
use crate::auth::acl::Rules;
use crate::broker::client::Close;
use crate::config::{AclRule, Config, OnDenied};
use crate::protocol::{Packet, Publish, QoS, ReasonCode, RetainHandling, Version};
use crate::telemetry::{AclAction, DropReason, RefuseReason};

const QOS1: QoS = QoS::AtLeastOnce;

/// Rules as they are written: `allow read a/#`, `deny write %c`, `allow all #`; a client id
/// before it concerns this client only.
fn rules(lines: &[&str]) -> Vec<AclRule> {
    let rule = |line: &&str| {
        let words: Vec<_> = line.split(' ').collect();
        let (who, words) = match words[..] {
            [effect, action, topic] => (vec![], [effect, action, topic]),
            [client_id, effect, action, topic] => (vec![client_id], [effect, action, topic]),
            _ => panic!("{line}"),
        };
        let action = match words[1] {
            "read" => "subscribe",
            "write" => "publish",
            _ => "both",
        };
        serde_json::from_value(serde_json::json!({
            "effect": words[0], "action": action, "topics": [words[2]], "client_ids": who,
        }))
        .unwrap()
    };
    lines.iter().map(rule).collect()
}

fn config(lines: &[&str]) -> Config {
    let mut config = Config::default();
    config.acl.rules = rules(lines);
    config
}

fn world(lines: &[&str]) -> World {
    World::with(config(lines))
}

fn reload(world: &World, lines: &[&str]) {
    assert!(world.broker.rules.replace(Rules::load(&config(lines)).unwrap()));
}

fn to<'a>(topic: &'a str, qos: QoS, packet: u16, payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish { topic, ..publish(qos, packet, payload) })
}

fn retained<'a>(topic: &'a str, payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish { topic, retain: true, ..publish(QoS::AtMostOnce, 0, payload) })
}

fn refused(world: &World) -> u64 {
    world.broker.metrics.messages.refused.get(RefuseReason::NotAuthorized)
}

fn dropped(world: &World) -> u64 {
    world.broker.metrics.messages.dropped.get(DropReason::NotAuthorized)
}

fn reasons(user: &mut User) -> Vec<ReasonCode> {
    user.suback_reasons()
}

#[test]
fn a_denied_publish_is_refused_in_v5_and_dropped_and_counted_at_qos_0() {
    let world = world(&["allow write a/#", "allow read #"]);
    let mut receiver = world.passing("receiver");
    receiver.subscribe("#", QOS1);
    receiver.received();
    let mut publisher = world.passing("publisher");
    publisher.send(to("b", QoS::AtMostOnce, 0, "x"));
    publisher.send(to("b", QOS1, 1, "x"));
    publisher.send(to("b", QoS::ExactlyOnce, 2, "x"));
    assert_eq!(publisher.received(), ["PUBACK 1 refused", "PUBREC 2 refused"]);
    assert_eq!(refused(&world), 3);
    publisher.send(to("a/b", QoS::AtMostOnce, 0, "y"));
    assert_eq!(receiver.received(), ["PUBLISH 0 y"]);
    // Counts are added up when a connection writes.
    assert!(publisher.received().is_empty());
    let access = &world.broker.metrics.access;
    assert_eq!(access.denied.get(AclAction::Publish), 3);
    assert_eq!(access.allowed.get(AclAction::Publish), 1);
    assert_eq!(access.allowed.get(AclAction::Deliver), 1);
    assert_eq!(access.allowed.get(AclAction::Subscribe), 1);
}

#[test]
fn without_rules_nothing_is_counted() {
    let world = World::new();
    let mut user = world.passing("user");
    user.subscribe("t", QOS1);
    user.publish(QOS1, 1, "x");
    user.received();
    let access = &world.broker.metrics.access;
    assert_eq!(access.allowed.iter().chain(access.denied.iter()).map(|(_, n)| n).sum::<u64>(), 0);
}

#[test]
fn mqtt_3_3_5_2_an_older_publisher_is_acknowledged_or_disconnected() {
    let mut config = config(&["allow write a"]);
    for (on_denied, expected) in [
        (OnDenied::Acknowledge, Ok(vec!["PUBACK 1".to_owned(), "PUBREC 2".to_owned()])),
        (OnDenied::Disconnect, Err(ReasonCode::NotAuthorized)),
    ] {
        config.mqtt.on_denied = on_denied;
        let world = World::with(config.clone());
        let mut publisher = world.connect_as(Version::V311, "publisher", true);
        publisher.received();
        publisher.send(to("b", QoS::AtMostOnce, 0, "x"));
        assert!(publisher.received().is_empty(), "QoS 0 is dropped");
        let sent = publisher.try_send(to("b", QOS1, 1, "x"));
        let sent = sent.and_then(|()| publisher.try_send(to("b", QoS::ExactlyOnce, 2, "x")));
        let found = sent.and_then(|()| publisher.try_received());
        let found = found.map_err(|close| match close {
            Close::Error(reason, why) => {
                assert!(why.contains("mqtt.on_denied"), "{why}");
                reason
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected, "{on_denied:?}");
        assert!(refused(&world) >= 2);
    }
}

#[test]
fn a_qos_2_publish_that_was_accepted_is_acknowledged_again_when_the_rules_have_changed() {
    let world = world(&["allow write t"]);
    let mut publisher = world.durable("publisher");
    publisher.publish(QoS::ExactlyOnce, 1, "x");
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 1"]);
    reload(&world, &["allow write other"]);
    publisher.send(Packet::Publish(Publish { dup: true, ..publish(QoS::ExactlyOnce, 1, "x") }));
    assert_eq!(publisher.received(), ["PUBREC 1"]);
    publisher.send(Packet::PubRel(ack(1)));
    publisher.publish(QoS::ExactlyOnce, 2, "y");
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 2 refused", "PUBCOMP 1"]);
}

#[test]
fn suback_tells_what_is_granted() {
    let mut config = config(&["deny read a/no/#", "allow read a/#"]);
    config.acl.rules.push(
        serde_json::from_str(r#"{"effect": "allow", "topics": ["b/#"], "max_qos": 1}"#).unwrap(),
    );
    let world = World::with(config);
    for version in [Version::V5, Version::V311] {
        let mut user = world.connect_as(version, "user", true);
        user.received();
        let denied = if version == Version::V5 {
            ReasonCode::NotAuthorized
        } else {
            ReasonCode::UnspecifiedError
        };
        for (filter, expected) in [
            ("a/#", ReasonCode::GrantedQoS2),
            ("a/no/x", denied),
            ("b/x", ReasonCode::GrantedQoS1),
            ("c", denied),
            ("#", ReasonCode::GrantedQoS2),
            ("$share/g/b/#", ReasonCode::GrantedQoS1),
            ("$share/g/a/no/#", denied),
        ] {
            user.subscribe(filter, QoS::ExactlyOnce);
            assert_eq!(reasons(&mut user), [expected], "{filter} {version:?}");
        }
    }
    assert_eq!(world.broker.metrics.access.denied.get(AclAction::Subscribe), 6);
}

#[test]
fn a_capped_subscription_delivers_at_its_granted_qos_also_what_is_retained() {
    let mut config = config(&["allow write #"]);
    config.acl.rules.push(
        serde_json::from_str(r##"{"effect": "allow", "topics": ["#"], "max_qos": 0}"##).unwrap(),
    );
    let world = World::with(config);
    let mut publisher = world.passing("publisher");
    publisher.send(Packet::Publish(Publish { retain: true, ..publish(QOS1, 1, "kept") }));
    world.commit();
    let mut user = world.passing("user");
    user.subscribe("t", QoS::ExactlyOnce);
    publisher.publish(QOS1, 2, "x");
    assert_eq!(user.received(), ["SUBACK", "PUBLISH 0 kept", "PUBLISH 0 x"]);
}

#[test]
fn deliveries_are_filtered_and_take_no_room_in_the_queue() {
    let world = world(&["deny read b/#", "allow all #"]);
    let mut user = world.durable("user");
    user.subscribe("#", QOS1);
    world.commit();
    user.received();
    user.vanish();
    let mut publisher = world.passing("publisher");
    for (packet, topic) in [(1, "a"), (2, "b/x"), (3, "b/x"), (4, "a")] {
        publisher.send(to(topic, QOS1, packet, topic));
    }
    world.commit();
    assert_eq!(publisher.received().len(), 4);
    assert_eq!((world.rows("delivery"), dropped(&world)), (2, 2));
    let mut user = world.connect("user", false);
    world.commit();
    assert_eq!(user.received(), ["CONNACK true", "PUBLISH 1 a", "PUBLISH 2 a"]);
    assert_eq!(world.broker.metrics.access.denied.get(AclAction::Deliver), 2);
}

#[test]
fn retained_messages_are_filtered() {
    let world = world(&["deny read b/#", "allow all #"]);
    let mut publisher = world.passing("publisher");
    publisher.send(retained("a", "a"));
    publisher.send(retained("b/x", "b"));
    let mut user = world.passing("user");
    user.subscribe("#", QOS1);
    assert_eq!(user.received(), ["SUBACK", "PUBLISH 0 a"]);
}

#[test]
fn messages_wait_for_a_session_whose_client_a_restart_does_not_know() {
    let world = world(&["deny read b", "allow all #"]);
    let mut user = world.durable("user");
    user.subscribe("#", QOS1);
    world.commit();
    let world = world.crash([user]);
    let mut publisher = world.passing("publisher");
    publisher.send(to("a", QOS1, 1, "a"));
    publisher.send(to("b", QOS1, 2, "b"));
    world.commit();
    let mut user = world.connect("user", false);
    world.commit();
    assert_eq!(user.received(), ["CONNACK true", "PUBLISH 1 a"]);
    assert_eq!(dropped(&world), 1);
    world.commit();
}

#[test]
fn a_reload_takes_away_and_gives() {
    let world = world(&["allow all #"]);
    let mut user = world.passing("user");
    user.subscribe("t", QOS1);
    user.received();
    let mut publisher = world.passing("publisher");
    publisher.publish(QOS1, 1, "waits");
    reload(&world, &["user deny read t", "allow all #"]);
    assert!(user.received().is_empty(), "what waits is asked about when it is delivered");
    publisher.publish(QOS1, 2, "not queued");
    assert!(user.received().is_empty());
    user.subscribe("t", QOS1);
    assert_eq!(reasons(&mut user), [ReasonCode::NotAuthorized]);
    reload(&world, &["publisher deny write t", "allow all #"]);
    publisher.publish(QOS1, 3, "denied");
    assert!(publisher.received().contains(&"PUBACK 3 refused".to_owned()));
    reload(&world, &["allow all #"]);
    publisher.publish(QOS1, 4, "back");
    assert_eq!(user.received(), ["PUBLISH 2 back"]);
    assert_eq!(dropped(&world), 2);
}

#[test]
fn a_refused_subscribe_of_one_filter_leaves_the_others() {
    let world = world(&["allow all a/#"]);
    let mut user = world.passing("user");
    let mut packet = subscribe("a/x", QOS1);
    packet.filters.extend(subscribe("b", QOS1).filters);
    packet.filters[0].options.retain_handling = RetainHandling::Never;
    packet.packet_id = id(7);
    user.send(Packet::Subscribe(Box::new(packet)));
    assert_eq!(reasons(&mut user), [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized]);
}
