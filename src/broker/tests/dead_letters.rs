//! What a bridge's other end refuses for good: when its publisher is acknowledged, and what a
//! crash leaves.

use std::sync::Arc;

use super::world::{User, World, ack, at_once, id};
use crate::broker::{Refusal, Step};
use crate::protocol::{Packet, QoS, ReasonCode};
use crate::session::Receipt;
use crate::store::DeadLetterQuery;

fn receiver(world: &World, name: &str) -> User {
    let mut user = world.durable(name);
    user.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    assert_eq!(user.received(), ["SUBACK"]);
    user
}

/// Does what a bridge does when the other end refuses what it was sent under this identifier.
fn refuse(world: &World, client_id: &str, packet_id: u16) {
    let handle = world.session(client_id).upgrade().unwrap();
    let mut step = Step::new(&world.broker);
    let Receipt::Done(entry) = handle.lock().puback(id(packet_id), step.now.instant) else {
        panic!("nothing is in flight under {packet_id}");
    };
    let refusal = Refusal {
        bridge: &Arc::from("up"),
        topic: "there/t",
        reason: Some(ReasonCode::NotAuthorized),
        detail: "not for you",
        keep: 100,
    };
    world.broker.dead_letter(&entry, refusal, &mut step);
    step.submit(&world.broker).unwrap();
}

#[test]
fn a_publisher_is_acknowledged_when_the_dead_letter_is_on_disk() {
    let world = World::new();
    let mut bridge = receiver(&world, "bridge");
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    assert_eq!(bridge.received(), ["PUBLISH 1 x"]);
    refuse(&world, "bridge", 1);
    assert!(publisher.received().is_empty(), "an acknowledgement would have been one by now");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1"]);
    let rows = ["message", "delivery", "dead_letter"].map(|table| world.rows(table));
    assert_eq!(rows, [0, 0, 1]);
}

#[test]
fn another_receiver_that_acknowledges_meanwhile_does_not_release_the_publisher() {
    let world = World::new();
    let (mut bridge, mut other) = (receiver(&world, "bridge"), receiver(&world, "other"));
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    assert_eq!(bridge.received(), ["PUBLISH 1 x"]);
    assert_eq!(other.received(), ["PUBLISH 1 x"]);
    refuse(&world, "bridge", 1);
    other.send(Packet::PubAck(ack(1)));
    assert!(publisher.received().is_empty(), "the dead letter is not on disk");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1"]);
    world.commit();
    let rows = ["message", "delivery", "dead_letter"].map(|table| world.rows(table));
    assert_eq!(rows, [0, 0, 1]);
    assert!(world.store.references().is_empty());
}

#[test]
fn a_crash_leaves_the_delivery_or_the_dead_letter() {
    for committed in [false, true] {
        let world = World::new();
        let mut bridge = receiver(&world, "bridge");
        let mut publisher = world.passing("pub");
        publisher.publish(QoS::AtLeastOnce, 1, "x");
        world.commit();
        assert_eq!(publisher.received(), ["PUBACK 1"]);
        assert_eq!(bridge.received(), ["PUBLISH 1 x"]);
        refuse(&world, "bridge", 1);
        if committed {
            world.commit();
        }
        let world = world.crash([bridge, publisher]);
        let mut bridge = world.connect("bridge", false);
        world.commit();
        assert_eq!(bridge.received()[0], "CONNACK true");
        let again = bridge.received();
        if committed {
            assert!(again.is_empty(), "{again:?}");
        } else {
            assert_eq!(again, ["PUBLISH 1 x again"]);
        }
        assert_eq!(world.rows("dead_letter"), i64::from(committed));
    }
}

#[tokio::test]
async fn an_operator_reads_and_removes_dead_letters() {
    let world = World::new();
    let mut bridge = receiver(&world, "bridge");
    let mut publisher = world.passing("pub");
    for n in 1..=3 {
        publisher.publish(QoS::AtLeastOnce, n, &n.to_string());
        assert_eq!(bridge.received(), [format!("PUBLISH {n} {n}")]);
        refuse(&world, "bridge", n);
        world.commit();
        publisher.received();
    }
    let query = DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() };
    let page = world.broker.dead_letters(query).await.unwrap();
    assert_eq!(page.letters.len(), 3);
    let first = world.broker.dead_letter_of(1, 100).await.unwrap().unwrap();
    assert_eq!((&*first.topic, first.remote_topic.as_deref()), ("t", Some("there/t")));
    assert_eq!(
        (first.reason, &*first.detail, &*first.payload),
        (Some(0x87), "not for you", b"1" as &[u8])
    );
    assert!(world.broker.dead_letter_of(0, 100).await.unwrap().is_none());
    assert!(!world.broker.remove_dead_letter(9).await.unwrap());

    let removing = world.broker.remove_dead_letter(2);
    let mut removing = std::pin::pin!(removing);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(removing.as_mut().poll(&mut context).is_pending(), "not on disk yet");
    world.commit();
    assert!(removing.await.unwrap());
    assert_eq!(world.rows("dead_letter"), 2);
    assert_eq!(at_once(world.broker.remove_dead_letters("other")).unwrap(), 0);
    let mut removing = std::pin::pin!(world.broker.remove_dead_letters("up"));
    assert!(removing.as_mut().poll(&mut context).is_pending());
    world.commit();
    assert_eq!(removing.await.unwrap(), 2);
    assert_eq!(world.rows("dead_letter"), 0);
}
