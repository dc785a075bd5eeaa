//! A session belongs to its user.

use super::world::{User, World, publish, request};
use crate::auth::Identity;
use crate::broker::client::Close;
use crate::config::Config;
use crate::protocol::{Connect, Packet, QoS, ReasonCode, Version};

fn named(user: &str) -> Identity {
    // Of no method, which a reload could take away.
    Identity { username: Some(user.into()), ..Identity::default() }
}

fn world_with(binds: bool) -> World {
    let mut config = Config::default();
    config.auth.bind_client_id = binds;
    World::with(config)
}

fn world() -> World {
    world_with(true)
}

fn durable(client_id: &str) -> Connect {
    request(Version::V5, client_id, false)
}

fn connect(world: &World, connect: &Connect, identity: Identity) -> User {
    let mut user = world.try_log_in(connect, identity).unwrap_or_else(|it| panic!("{it:?}"));
    world.commit();
    assert_eq!(user.received().len(), 1, "CONNACK");
    user
}

fn refusal(world: &World, connect: &Connect, identity: Identity) -> Option<ReasonCode> {
    world.try_log_in(connect, identity).err()
}

const REFUSED: Option<ReasonCode> = Some(ReasonCode::NotAuthorized);

#[test]
fn another_user_gets_neither_the_session_nor_the_connection_nor_its_end() {
    let world = world();
    let mut alice = connect(&world, &durable("device"), named("alice"));
    alice.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    assert_eq!(alice.received(), ["SUBACK"]);
    for clean_start in [false, true] {
        let takes = Connect { clean_start, ..durable("device") };
        assert_eq!(refusal(&world, &takes, named("mallory")), REFUSED);
        assert_eq!(refusal(&world, &takes, Identity::default()), REFUSED, "anonymous");
    }
    let old = request(Version::V311, "device", true);
    assert_eq!(refusal(&world, &old, named("mallory")), REFUSED);
    assert!(!alice.client.is_revoked(), "her connection was not disturbed");
    alice.publish(QoS::AtLeastOnce, 1, "mine");
    world.commit();
    assert_eq!(alice.received(), ["PUBACK 1", "PUBLISH 1 mine"]);
    assert_eq!(world.broker.metrics.sessions.take_overs.get(), 0);
    alice.vanish();
    world.commit();
    assert_eq!(refusal(&world, &durable("device"), named("mallory")), REFUSED, "nor offline");
    let mut alice = world.try_log_in(&durable("device"), named("alice")).unwrap();
    world.commit();
    assert_eq!(alice.received(), ["CONNACK true", "PUBLISH 1 mine again"]);
}

#[test]
fn a_session_that_ends_with_its_connection_has_an_owner_too() {
    let world = world();
    let alice = connect(&world, &request(Version::V5, "device", true), named("alice"));
    let takes = request(Version::V5, "device", true);
    assert_eq!(refusal(&world, &takes, named("mallory")), REFUSED);
    assert!(!alice.client.is_revoked());
    alice.leave();
    connect(&world, &takes, named("mallory"));
}

#[test]
fn the_session_of_nobody_is_taken_by_the_first_user_who_asks() {
    let world = world();
    connect(&world, &durable("device"), Identity::default()).vanish();
    connect(&world, &durable("device"), Identity::default()).vanish();
    connect(&world, &durable("device"), named("alice")).vanish();
    assert_eq!(refusal(&world, &durable("device"), Identity::default()), REFUSED);
    assert_eq!(refusal(&world, &durable("device"), named("mallory")), REFUSED);
    connect(&world, &durable("device"), named("alice"));
}

#[test]
fn the_owner_of_a_durable_session_survives_a_crash() {
    let world = world();
    let alice = connect(&world, &durable("device"), named("alice"));
    let nobody = connect(&world, &durable("free"), Identity::default());
    let world = world.crash([alice, nobody]);
    assert_eq!(refusal(&world, &durable("device"), named("mallory")), REFUSED);
    assert_eq!(refusal(&world, &durable("device"), Identity::default()), REFUSED);
    let alice = connect(&world, &durable("device"), named("alice"));
    // It was the session of nobody and gets an owner, in the file as well.
    let mallory = connect(&world, &durable("free"), named("mallory"));
    let world = world.crash([alice, mallory]);
    assert_eq!(refusal(&world, &durable("free"), named("alice")), REFUSED);
}

#[test]
fn a_session_that_has_expired_is_nobodys_even_before_its_timer_has_run() {
    let (world, hand) = World::timed(Config::default());
    connect(&world, &durable("device"), named("alice")).vanish();
    assert_eq!(refusal(&world, &durable("device"), named("bob")), REFUSED);
    hand.advance(std::time::Duration::from_secs(1001));
    let mut bob = world.try_log_in(&durable("device"), named("bob")).unwrap();
    world.commit();
    assert_eq!(bob.received(), ["CONNACK false"]);
    assert_eq!(refusal(&world, &durable("device"), named("alice")), REFUSED);
}

#[test]
fn without_binding_whoever_has_the_client_id_gets_the_session() {
    let world = world_with(false);
    let mut alice = connect(&world, &durable("device"), named("alice"));
    connect(&world, &durable("device"), named("bob")).vanish();
    assert_eq!(
        alice.try_send(Packet::Publish(publish(QoS::AtMostOnce, 0, "x"))),
        Err(Close::Error(ReasonCode::SessionTakenOver, "another connection has the session"))
    );
    connect(&world, &durable("device"), Identity::default());
}

#[test]
fn a_user_who_waited_for_a_session_finds_that_another_has_got_it_first() {
    use std::future::Future as _;
    let world = world();
    let nobody = connect(&world, &durable("device"), Identity::default());
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let permit = world.session("device").upgrade().unwrap().try_begin().unwrap();
    let (alice, mallory) = (durable("device"), durable("device"));
    let mut alice =
        std::pin::pin!(world.broker.connect(&alice, super::world::peer(named("alice"))));
    let mut mallory =
        std::pin::pin!(world.broker.connect(&mallory, super::world::peer(named("mallory"))));
    // Both have seen that the session is nobody's, and wait for its permit.
    assert!(alice.as_mut().poll(context).is_pending());
    assert!(mallory.as_mut().poll(context).is_pending());
    drop(permit);
    let std::task::Poll::Ready(Ok(alice)) = alice.as_mut().poll(context) else {
        panic!("alice was first")
    };
    let std::task::Poll::Ready(Err(reason)) = mallory.as_mut().poll(context) else {
        panic!("the session is not nobody's any more")
    };
    assert_eq!(Some(reason), REFUSED);
    assert!(!alice.client.is_revoked(), "her connection was not disturbed");
    drop(nobody);
}
