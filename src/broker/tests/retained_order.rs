//! The order of retained and new messages of a topic for a new subscription.

#[cfg(feature = "failpoints")]
use std::cell::RefCell;
#[cfg(feature = "failpoints")]
use std::rc::Rc;

use super::world::{World, publish};
use crate::protocol::{Publish, QoS};
#[cfg(feature = "failpoints")]
use crate::schedule::{Point, set_hook};

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

/// The SUBSCRIBE comes after the receivers of "new" are found and before it is retained.
#[cfg(feature = "failpoints")]
#[test]
fn mqtt_3_3_1_9_who_subscribes_while_a_message_is_being_retained_gets_it() {
    let world = Rc::new(World::new());
    retain(&world, "old");
    let subscriber = Rc::new(RefCell::new(world.durable("late")));
    let (broker, late) = (Rc::clone(&world), Rc::clone(&subscriber));
    set_hook(Some(Box::new(move |point| {
        if point == Point::Retain {
            let mut late = late.borrow_mut();
            late.subscribe("t", QoS::AtLeastOnce);
            broker.commit();
            assert_eq!(late.received(), ["SUBACK", "PUBLISH 1 old"]);
        }
    })));
    retain(&world, "new");
    set_hook(None);
    assert_eq!(subscriber.borrow_mut().received(), ["PUBLISH 2 new"]);
}
