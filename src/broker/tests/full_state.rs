//! A full disk, and rows that grow the file and are not messages: wills, subscriptions, new
//! sessions. Queues can be drained whatever clients request.

use super::world::{User, World, at_once, id, publish, request, user_property};
use crate::auth::Identity;
use crate::broker::Accepted;
use crate::broker::client::Peer;
use crate::config::{ByteSize, Config};
use crate::protocol::{
    Connect, LastWill, Packet, QoS, ReasonCode, Subscribe, SubscribeFilter, SubscriptionOptions,
    TopicFilter, TopicName, Unsubscribe, Version,
};
use crate::store::StoreState;

const LARGE: usize = 50_000;
const FILTER: usize = 60_000;

fn small() -> World {
    let mut config = Config::default();
    // 1 MiB of content, and a page for each table that is empty here.
    config.persistence.max_size = ByteSize((1 << 20) + 4 * 8192);
    World::with(config)
}

/// A will of this many bytes, most of them in properties.
fn will(bytes: usize) -> LastWill {
    let value = "w".repeat(bytes.min(60_000));
    let properties = (0..bytes.div_ceil(60_000)).flat_map(|_| user_property("", &value));
    LastWill {
        topic: TopicName::new("wills").unwrap(),
        payload: b"gone".to_vec(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay: 0,
        expiry: None,
        properties: properties.collect(),
    }
}

fn connect(world: &World, connect: &Connect) -> Result<User, ReasonCode> {
    let peer = Peer {
        certificate: None,
        address: ([127, 0, 0, 1], 1).into(),
        listener: "tcp".into(),
        identity: Identity::default(),
    };
    let Accepted { client, connack, gate } = at_once(world.broker.connect(connect, peer))?;
    let mut client = Box::new(client);
    client.open(connack, gate);
    Ok(User::of(client, connect.version))
}

fn back(world: &World, client_id: &str, bytes: usize) -> Result<User, ReasonCode> {
    let will = (bytes > 0).then(|| will(bytes));
    connect(world, &Connect { will, ..request(Version::V5, client_id, false) })
}

/// Fills the queue of `away` until a message is refused. Returns how many were accepted.
fn fill(world: &World) -> usize {
    let mut receiver = world.durable("away");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.leave();
    refill(world)
}

fn refill(world: &World) -> usize {
    let mut publisher = world.passing("filler");
    let payload = "x".repeat(LARGE);
    for packet in 1..1000 {
        publisher.publish(QoS::AtLeastOnce, packet, &payload);
        world.commit();
        if publisher.received() == [format!("PUBACK {packet} refused")] {
            publisher.leave();
            return usize::from(packet) - 1;
        }
    }
    panic!("max_size does not hold");
}

/// Receives and acknowledges the queue of `away`, which has this many messages.
fn drain(world: &World, messages: usize) {
    drain_to(world, messages, StoreState::Running);
    let mut fits = world.passing("pub");
    fits.send(Packet::Publish(publish(QoS::AtLeastOnce, 1, "fits")));
    world.commit();
    assert_eq!(fits.received(), ["PUBACK 1"]);
}

fn drain_to(world: &World, messages: usize, state: StoreState) {
    let mut user = back(world, "away", 0).expect("a session that is known comes in");
    let mut seen = 0;
    for _ in 0..50 {
        world.commit();
        for packet in user.received() {
            if packet.starts_with("PUBLISH") {
                seen += 1;
                let packet_id = packet.split(' ').nth(1).unwrap().parse().unwrap();
                user.send(Packet::PubAck(super::world::ack(packet_id)));
            }
        }
    }
    assert_eq!(seen, messages, "drained");
    user.leave();
    world.commit();
    world.commit();
    assert_eq!(world.store.state(), state);
}

fn subscriptions(world: &World, client_id: &str) -> usize {
    let handle = world.broker.registry.get(client_id).unwrap();
    handle.look().subscriptions.len()
}

fn known(world: &World, sessions: usize) {
    for no in 0..sessions {
        world.durable(&format!("known{no}")).leave();
        world.commit();
    }
}

#[test]
fn sessions_that_come_back_with_large_wills_leave_room_to_drain() {
    let world = small();
    known(&world, 8);
    let kept = fill(&world);
    for no in 0..8 {
        let refused = back(&world, &format!("known{no}"), 900_000);
        assert_eq!(refused.err(), Some(ReasonCode::QuotaExceeded));
    }
    world.commit();
    let mut modest = back(&world, "known0", 500).expect("a small will");
    world.commit();
    assert_eq!(modest.received(), ["CONNACK true"]);
    drain(&world, kept);
    modest.leave();
    world.commit();
    let mut large = back(&world, "known1", 300_000).expect("there is room again");
    world.commit();
    assert_eq!(large.received(), ["CONNACK true"]);
}

#[test]
fn what_is_asked_for_before_the_disk_is_found_full_is_refused_beyond_its_room() {
    let world = small();
    known(&world, 8);
    let mut receiver = world.durable("away");
    receiver.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    receiver.leave();
    // Nothing is committed yet, and the disk has refused nothing.
    let users: Vec<_> = (0..8).map(|no| back(&world, &format!("known{no}"), 900_000)).collect();
    let accepted = users.iter().filter(|user| user.is_ok()).count();
    assert!((1..8).contains(&accepted), "{accepted}");
    let kept = refill(&world);
    for user in users.into_iter().flatten() {
        let mut user = user;
        assert_eq!(user.received(), ["CONNACK true"]);
        user.leave();
    }
    drain(&world, kept);
}

#[test]
fn subscriptions_beyond_the_room_are_refused_and_are_not_in_memory_either() {
    let world = small();
    let mut receiver = world.durable("away");
    receiver.subscribe("t", QoS::AtLeastOnce);
    let mut user = world.durable("subscriber");
    let filters: Vec<_> = (0..100).map(|no| format!("{no}/{}", "f".repeat(FILTER))).collect();
    for filter in &filters {
        user.send(Packet::Subscribe(Box::new(Subscribe {
            packet_id: id(1),
            subscription_id: None,
            filters: vec![SubscribeFilter {
                filter: TopicFilter::new(filter).unwrap(),
                options: SubscriptionOptions::default(),
            }],
            user_properties: Vec::new(),
        })));
    }
    receiver.leave();
    world.commit();
    let answers = user.received();
    assert_eq!(answers.len(), filters.len(), "each is answered: {answers:?}");
    let in_memory = subscriptions(&world, "subscriber");
    assert!(in_memory > 0 && in_memory < filters.len(), "{in_memory}");
    assert_eq!(world.rows("subscription"), i64::try_from(in_memory).unwrap() + 1);
    let kept = refill(&world);
    drain_to(&world, kept, StoreState::Full);
    let filters = filters.iter().take(in_memory / 2);
    user.send(Packet::Unsubscribe(Box::new(Unsubscribe {
        packet_id: id(2),
        filters: filters.map(|filter| TopicFilter::new(filter).unwrap()).collect(),
        user_properties: Vec::new(),
    })));
    world.commit();
    assert_eq!(user.received().len(), 1, "UNSUBACK");
    user.leave();
    let in_memory = in_memory - in_memory / 2;
    drain(&world, 0);
    let world = world.crash([]);
    assert_eq!(subscriptions(&world, "subscriber"), in_memory);
}

#[test]
fn a_clean_start_that_is_refused_has_dropped_the_queue() {
    let world = small();
    fill(&world);
    let clean = Connect { session_expiry: Some(1000), ..request(Version::V5, "away", true) };
    assert_eq!(connect(&world, &clean).err(), Some(ReasonCode::QuotaExceeded));
    at_once(world.broker.background_once());
    world.commit();
    world.commit();
    assert_eq!(world.rows("message"), 0);
    assert_eq!(world.store.state(), StoreState::Running);
    let mut user = connect(&world, &clean).expect("there is room again");
    world.commit();
    assert_eq!(user.received(), ["CONNACK false"]);
}
