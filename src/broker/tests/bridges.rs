//! The dialling end of a bridge: its session, topics on their way, and circles. What the other end
//! refuses: `bridge_refusals.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{User, World, ack, at_once, publish, request};
use crate::auth::Identity;
use crate::broker::Accepted;
use crate::broker::bridge::{BridgeTerms, Counts, OnRefused, peer_of, principal_of};
use crate::broker::client::{Close, Dialled};
use crate::config::{BridgeRule, Config};
use crate::peer::PeerAddr;
use crate::protocol::{
    Ack, ConnAck, Connect, Packet, Publish, QoS, ReasonCode, SubscribeFilter, SubscriptionOptions,
    TopicFilter, Version, hops,
};
use crate::router::TopicMap;

pub(super) fn rule(filter: &str, local_prefix: &str, remote_prefix: &str) -> BridgeRule {
    BridgeRule {
        filter: filter.into(),
        local_prefix: local_prefix.into(),
        remote_prefix: remote_prefix.into(),
        ..BridgeRule::default()
    }
}

pub(super) fn terms() -> BridgeTerms {
    BridgeTerms { name: "up".into(), ..BridgeTerms::default() }
}

pub(super) fn line(filter: &str) -> SubscribeFilter {
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        ..SubscriptionOptions::default()
    };
    SubscribeFilter { filter: TopicFilter::new(filter).unwrap(), options }
}

/// A connection of the bridge `up`, which forwards `#`, once it is committed.
pub(super) fn bridge(world: &World, terms: &Arc<BridgeTerms>, connack: &ConnAck) -> User {
    let user = connecting(world, terms, connack);
    world.commit();
    user
}

/// The same, before the commit.
pub(super) fn connecting(world: &World, terms: &Arc<BridgeTerms>, connack: &ConnAck) -> User {
    let maximum_packet_size = connack.maximum_packet_size;
    let connect =
        Connect { maximum_packet_size, ..request(Version::V5, &principal_of("up"), false) };
    let max_qos = connack.maximum_qos.unwrap_or(QoS::ExactlyOnce);
    let peer = peer_of("up", PeerAddr::Local);
    let connected = at_once(world.broker.connect_bridge(&connect, peer, (terms, max_qos)));
    let Accepted { client, gate, .. } = connected.unwrap();
    let mut user = User::of(Box::new(client), Version::V5);
    let dialled =
        Dialled { forward: vec![line("#")], terms: Arc::clone(terms), ..Dialled::default() };
    user.client.dialled(connack, dialled, gate);
    // The first step subscribes here.
    user.client.woken();
    assert!(user.client.begin(crate::broker::Budget::of_long_poll()).unwrap());
    user.client.go_on();
    user.client.end().unwrap();
    user
}

pub(super) fn backlog(world: &World) -> usize {
    world.broker.bridge_backlog("up", &Counts::default()).messages
}

pub(super) fn resumed() -> ConnAck {
    ConnAck { session_present: true, ..ConnAck::default() }
}

pub(super) fn refusal(packet_id: u16, reason: ReasonCode) -> Packet<'static> {
    Packet::PubAck(Ack { reason, ..ack(packet_id) })
}

/// Publishes at QoS 1, commits, and expects PUBACK.
pub(super) fn published(world: &World, user: &mut User, packet: u16, payload: &str) {
    user.publish(QoS::AtLeastOnce, packet, payload);
    world.commit();
    assert_eq!(user.received(), [format!("PUBACK {packet}")]);
}

/// A connection that has sent the message `x` at QoS 2.
pub(super) fn with_one_in_flight(world: &World, terms: &Arc<BridgeTerms>) -> User {
    let mut bridge = bridge(world, terms, &resumed());
    world.passing("pub").publish(QoS::ExactlyOnce, 1, "x");
    world.commit();
    assert_eq!(bridge.received(), ["PUBLISH 1 x"]);
    bridge
}

#[test]
fn a_bridge_queues_from_the_start_and_its_session_never_expires() {
    let world = World::new();
    at_once(world.broker.open_bridge(&terms(), vec![line("t")])).unwrap();
    world.commit();
    let mut publisher = world.passing("pub");
    published(&world, &mut publisher, 1, "x");
    let handle = world.session("bridge:up").upgrade().unwrap();
    assert_eq!(handle.look().life.expires_at(), None);
    assert_eq!(backlog(&world), 1);
    assert_eq!(world.rows("delivery"), 1);
    // Removed from the configuration: what it has stays, and nothing is added.
    at_once(world.broker.open_bridge(&terms(), Vec::new())).unwrap();
    world.commit();
    publisher.publish(QoS::AtLeastOnce, 2, "y");
    world.commit();
    assert_eq!(backlog(&world), 1);
}

#[test]
fn the_age_of_the_oldest_message_is_known_also_after_a_restart_and_while_it_is_on_disk() {
    let (world, hand) = World::timed(Config::default());
    let age = |world: &World, counts: &Counts| {
        world.broker.evict_offline();
        world.broker.bridge_backlog("up", counts).oldest_age
    };
    at_once(world.broker.open_bridge(&terms(), vec![line("t")])).unwrap();
    world.commit();
    let counts = Counts::default();
    assert_eq!(age(&world, &counts), Duration::ZERO);
    let mut publisher = world.passing("pub");
    published(&world, &mut publisher, 1, "x");
    hand.advance(Duration::from_secs(5));
    published(&world, &mut publisher, 2, "y");
    assert_eq!(age(&world, &counts), Duration::from_secs(5));
    let world = world.crash([publisher]);
    let (before, counts) = (counts, Counts::default());
    let since = |counts: &Counts| counts.oldest.load(Ordering::Relaxed);
    // What was known is not forgotten while the queue cannot be seen.
    age(&world, &before);
    assert_ne!(since(&before), 0);
    // Otherwise its beginning is read back first.
    age(&world, &counts);
    assert_eq!(since(&counts), 0);
    world.commit();
    age(&world, &counts);
    assert_eq!(since(&counts), since(&before));
}

#[test]
fn no_client_may_have_the_client_id_or_the_user_name_of_a_bridge() {
    let world = World::new();
    let connect = request(Version::V5, "bridge:up", false);
    let refused = world.broker.check_connect(&connect);
    assert_eq!(refused, Err(ReasonCode::ClientIdentifierNotValid));
    let username = Some("bridge:up".into());
    let named = Identity { username, ..Identity::default() };
    let refused = world.try_log_in(&request(Version::V5, "other", false), named);
    assert_eq!(refused.err(), Some(ReasonCode::BadUserNameOrPassword));
}

#[test]
fn topics_are_mapped_on_both_ways() {
    let world = World::new();
    let terms = Arc::new(BridgeTerms {
        forward: Some(TopicMap::forward(&[rule("#", "", "edge/")]).unwrap()),
        subscribe: Some(TopicMap::subscribe(&[rule("#", "in/", "edge/")]).unwrap()),
        ..terms()
    });
    let mut bridge = bridge(&world, &terms, &resumed());
    let mut receiver = world.passing("receiver");
    receiver.subscribe("in/#", QoS::AtMostOnce);
    assert_eq!(receiver.received(), ["SUBACK"]);
    let mut publisher = world.passing("pub");
    published(&world, &mut publisher, 1, "x");
    assert_eq!(bridge.received_topics(), ["edge/t"]);
    let from_there = Publish { topic: "edge/y", ..publish(QoS::AtMostOnce, 0, "z") };
    bridge.send(Packet::Publish(from_there));
    assert_eq!(receiver.received_topics(), ["in/y"]);
    // A topic that no rule matches does not pass.
    bridge.send(Packet::Publish(Publish { topic: "other", ..publish(QoS::AtMostOnce, 0, "z") }));
    assert!(receiver.received_topics().is_empty());
    let counts = &terms.counts;
    assert_eq!(counts.received.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_bridge_stops_before_a_message_that_it_cannot_send_and_keeps_it() {
    let world = World::new();
    let too_large = ConnAck { maximum_packet_size: Some(30), ..resumed() };
    let topic_gone = TopicMap::forward(&[rule("other", "", "")]).unwrap();
    let cases = [(None, too_large, ReasonCode::PacketTooLarge), {
        (Some(topic_gone), resumed(), ReasonCode::TopicNameInvalid)
    }];
    let mut publisher = world.passing("pub");
    at_once(world.broker.open_bridge(&terms(), vec![line("#")])).unwrap();
    published(&world, &mut publisher, 1, &"x".repeat(100));
    for (forward, connack, reason) in cases {
        let on_refused = OnRefused::Stop;
        let terms = Arc::new(BridgeTerms { forward, on_refused, ..terms() });
        let mut bridge = bridge(&world, &terms, &connack);
        let received = bridge.try_received();
        assert!(received.is_err(), "{reason:?}: {received:?}");
        assert_eq!(terms.refusals.lock().stopped(), Some(reason));
        bridge.vanish();
        world.commit();
        assert_eq!(["delivery", "dead_letter"].map(|table| world.rows(table)), [1, 0]);
    }
    // Told to go on without it, it does.
    let terms = Arc::new(terms());
    let too_large = ConnAck { maximum_packet_size: Some(30), ..resumed() };
    let mut bridge = bridge(&world, &terms, &too_large);
    assert!(bridge.received().is_empty());
    world.commit();
    world.commit();
    assert_eq!(["delivery", "dead_letter"].map(|table| world.rows(table)), [0, 1]);
    assert_eq!(terms.counts.forwarded.load(std::sync::atomic::Ordering::Relaxed), 0);
}

/// After a crash in between, what was sent would be taken for unsent: it would be sent again without
/// DUP, or expire although the other end waits for its PUBREL.
#[test]
fn nothing_is_sent_before_it_is_on_disk_that_the_session_is_connected() {
    let world = World::new();
    let terms = Arc::new(terms());
    at_once(world.broker.open_bridge(&terms, vec![line("#")])).unwrap();
    let mut publisher = world.passing("pub");
    published(&world, &mut publisher, 1, "x");
    let mut bridge = connecting(&world, &terms, &resumed());
    assert!(bridge.received().is_empty());
    world.commit();
    assert_eq!(bridge.received(), ["PUBLISH 1 x"]);
}

#[test]
fn qos_2_is_lowered_for_a_server_that_takes_qos_1() {
    let world = World::new();
    let terms = Arc::new(terms());
    let connack = ConnAck { maximum_qos: Some(QoS::AtLeastOnce), ..resumed() };
    let mut bridge = bridge(&world, &terms, &connack);
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::ExactlyOnce, 1, "x");
    world.commit();
    assert_eq!(bridge.received(), ["PUBLISH 1 x"]);
    bridge.send(Packet::PubAck(ack(1)));
    world.commit();
    world.commit();
    assert_eq!(world.rows("delivery"), 0);
}

/// What the other end was told, not `mqtt.receive_maximum`: otherwise each connection would end
/// in the same way, for ever.
#[test]
fn the_other_end_may_send_as_many_messages_as_the_bridge_has_told_it() {
    let mut config = Config::default();
    config.mqtt.receive_maximum = 1;
    let world = World::with(config);
    let terms = Arc::new(BridgeTerms { receive_maximum: Some(2), ..terms() });
    let mut bridge = bridge(&world, &terms, &resumed());
    for packet_id in 1..=2 {
        bridge.send(Packet::Publish(publish(QoS::AtLeastOnce, packet_id, "x")));
    }
    let third = bridge.try_send(Packet::Publish(publish(QoS::AtLeastOnce, 3, "x")));
    assert!(matches!(third, Err(Close::Error(ReasonCode::ReceiveMaximumExceeded, _))), "{third:?}");
}

#[test]
fn a_message_does_not_go_where_it_has_been() {
    let world = World::new();
    let introduced = vec![(hops::BROKER.to_owned(), "other".to_owned())];
    let connack = ConnAck { user_properties: introduced, ..resumed() };
    let mut bridge = bridge(&world, &Arc::new(terms()), &connack);
    let mut publisher = world.passing("pub");
    let mut client = world.passing("client");
    client.subscribe("t", QoS::AtLeastOnce);
    assert_eq!(client.received(), ["SUBACK"]);
    published(&world, &mut publisher, 1, "x");
    let own = world.broker.identity.to_string();
    let [block] = &bridge.received_properties()[..] else { panic!("one message") };
    assert_eq!(hops::split(block).0, Some(&*own), "this broker is its first hop");
    let [block] = &client.received_properties()[..] else { panic!("one message") };
    assert!(block.is_empty(), "clients do not see it");
    // Back from there: it has been here.
    let mut passed = bytes::BytesMut::new();
    hops::Hops { before: Some(&own), own: "other" }.put(&mut passed);
    let back = Publish { properties: passed.to_vec().into(), ..publish(QoS::AtLeastOnce, 9, "x") };
    bridge.send(Packet::Publish(back));
    world.commit();
    assert_eq!(bridge.received(), ["PUBACK 9"]);
    assert!(client.received().is_empty(), "it is not published again");
}

/// Two brokers that dial each other, each with a full queue for the other one: what the other one
/// sends needs no room there, since it would not be sent back.
#[test]
fn a_full_queue_refuses_nothing_that_would_go_back_to_where_it_comes_from() {
    let mut config = Config::default();
    config.session.max_queued_messages = 2;
    let world = World::with(config);
    let introduced = vec![(hops::BROKER.to_owned(), "other".to_owned())];
    let connack = ConnAck { user_properties: introduced.clone(), ..resumed() };
    let mut bridge = bridge(&world, &Arc::new(terms()), &connack);
    let mut publisher = world.passing("pub");
    for packet_id in 1..=2 {
        published(&world, &mut publisher, packet_id, "x");
    }
    publisher.publish(QoS::AtLeastOnce, 3, "refused");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 3 refused"]);
    let connect = Connect { user_properties: introduced, ..request(Version::V5, "their", false) };
    let mut their = world.connect_by(&connect);
    let mut client = world.passing("client");
    client.subscribe("t", QoS::AtLeastOnce);
    assert_eq!(client.received(), ["SUBACK"]);
    let mut passed = bytes::BytesMut::new();
    hops::Hops { before: None, own: "other" }.put(&mut passed);
    let from_there =
        Publish { properties: passed.to_vec().into(), ..publish(QoS::AtLeastOnce, 9, "theirs") };
    their.send(Packet::Publish(from_there));
    world.commit();
    assert!(their.received().contains(&"PUBACK 9".to_owned()));
    assert_eq!(client.received(), ["PUBLISH 1 theirs"]);
    assert_eq!(backlog(&world), 2);
    assert_eq!(bridge.received(), ["PUBLISH 1 x", "PUBLISH 2 x"]);
}
