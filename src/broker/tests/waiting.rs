//! Publishers that wait for room in a queue are woken by whatever lets their message pass.

use std::task::{Context, Waker};

use super::world::{User, World};
use crate::auth::Identity;
use crate::auth::acl::{LogInRules, Rules, from_emqx};
use crate::broker::client::BlockReason;
use crate::config::{AclRule, Config, OnFull};
use crate::message::WakeCause;
use crate::protocol::{QoS, Version};

const QOS1: QoS = QoS::AtLeastOnce;
const GROUP: &str = "$share/g/t";

fn config() -> Config {
    let mut config = Config::default();
    config.mqtt.on_full = OnFull::Stall;
    config.session.max_queued_messages = 1;
    config
}

/// A durable session that is away and subscribes to `filter`.
fn away(world: &World, client_id: &str, filter: &str) {
    let mut user = world.durable(client_id);
    user.subscribe(filter, QOS1);
    world.commit();
    assert_eq!(user.received(), ["SUBACK"]);
    user.vanish();
}

/// A client that has published until it waits, after `room` messages.
fn waiting(world: &World, room: u16) -> User {
    let mut publisher = world.connect_as(Version::V311, "publisher", true);
    for packet in 1..=room {
        publisher.publish(QOS1, packet, "x");
        assert_eq!(publisher.client.block(), None);
    }
    world.commit();
    assert_eq!(publisher.received().len(), 1 + usize::from(room));
    publisher.publish(QOS1, room + 1, "x");
    assert_eq!(publisher.client.block(), Some(BlockReason::Queue));
    is_woken(&publisher);
    assert!(!is_woken(&publisher), "it waits");
    publisher
}

fn is_woken(user: &User) -> bool {
    user.client.wake().poll(&Context::from_waker(Waker::noop())) == Some(WakeCause::Direct)
}

/// The held message passes now.
fn passes(publisher: &mut User, packet: u16) {
    publisher.publish(QOS1, packet, "x");
    assert_eq!(publisher.client.block(), None);
}

/// Publishers that wait at a session.
fn waiting_at(world: &World, client_id: &str) -> usize {
    world.session(client_id).upgrade().unwrap().waiting()
}

#[test]
fn room_at_any_member_of_a_group_wakes_a_publisher_that_waits_for_it() {
    for comes in ["one", "two", "three"] {
        let world = World::with(config());
        for client_id in ["one", "two", "three"] {
            away(&world, client_id, GROUP);
        }
        let mut publisher = waiting(&world, 3);
        let mut member = world.connect(comes, false);
        world.commit();
        assert_eq!(member.received(), ["CONNACK true", "PUBLISH 1 x"]);
        assert!(is_woken(&publisher), "{comes} has room");
        passes(&mut publisher, 4);
        world.commit();
        assert_eq!(member.received(), ["PUBLISH 2 x"]);
        publisher.vanish();
        assert_eq!(["one", "two", "three"].map(|id| waiting_at(&world, id)), [0, 0, 0]);
    }
}

#[test]
fn a_publisher_leaves_the_lines_of_all_members() {
    let world = World::with(config());
    away(&world, "one", GROUP);
    away(&world, "two", GROUP);
    let publisher = waiting(&world, 2);
    assert_eq!(["one", "two"].map(|id| waiting_at(&world, id)), [1, 1]);
    publisher.vanish();
    assert_eq!(["one", "two"].map(|id| waiting_at(&world, id)), [0, 0]);
}

#[test]
fn rules_that_take_the_receiver_away_wake_a_publisher_that_waits_for_it() {
    let world = World::with(config());
    away(&world, "one", "t");
    let mut publisher = waiting(&world, 1);
    let mut config = config();
    config.acl.rules = rules(
        r#"[
        {"effect": "deny", "action": "subscribe", "topics": ["t"], "client_ids": ["one"]},
        {"effect": "allow", "topics": ["t"]}
    ]"#,
    );
    assert!(world.broker.replace_rules(Rules::load(&config).unwrap()));
    assert!(is_woken(&publisher));
    passes(&mut publisher, 2);
}

#[test]
fn a_member_that_may_receive_more_wakes_a_publisher_that_waits_for_another() {
    let mut config = config();
    config.acl.rules = rules(
        r#"[
        {"effect": "allow", "topics": ["t"], "client_ids": ["full", "publisher"]},
        {"effect": "allow", "topics": ["t"], "users": ["alice"]}
    ]"#,
    );
    let world = World::with(config);
    away(&world, "full", GROUP);
    let alice = || Identity { username: Some("alice".into()), ..Identity::default() };
    let connect = super::world::request(Version::V5, "other", false);
    let mut other = world.try_log_in(&connect, alice()).unwrap();
    other.subscribe(GROUP, QOS1);
    world.commit();
    other.vanish();
    let nothing = LogInRules::new(
        from_emqx(&serde_json::json!([
            {"permission": "deny", "action": "all", "topic": "#"}
        ]))
        .unwrap(),
    );
    let denied = Identity { rules: Some(nothing), ..alice() };
    world.try_log_in(&connect, denied).unwrap().vanish();
    let mut publisher = waiting(&world, 1);
    let _other = world.try_log_in(&connect, alice()).unwrap();
    assert!(is_woken(&publisher));
    passes(&mut publisher, 2);
}

fn rules(json: &str) -> Vec<AclRule> {
    serde_json::from_str(json).unwrap()
}
