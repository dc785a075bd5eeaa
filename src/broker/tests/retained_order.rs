//! What is retained, and what is published of the same topic, for a new subscription.

use super::world::{World, publish};
use crate::protocol::{Publish, QoS};

fn retain(world: &World, payload: &str) {
    let mut publisher = world.passing("pub");
    let packet = Publish { retain: true, ..publish(QoS::AtLeastOnce, 1, payload) };
    publisher.send(crate::protocol::Packet::Publish(packet));
    world.commit();
    assert_eq!(publisher.received().len(), 1);
    publisher.leave();
}

#[test]
fn mqtt_4_6_0_6_what_is_replaced_while_a_subscribe_goes_on_is_not_sent_after_it() {
    let world = World::new();
    retain(&world, "old");
    let old = world.broker.retained.get("t").unwrap();
    let is_sent = || world.broker.retained.is_current(&old);
    assert!(is_sent());
    retain(&world, "new");
    assert!(!is_sent(), "the subscription has the new one as a message of its own");
    retain(&world, "");
    assert!(!is_sent(), "nothing is retained any more");
}
