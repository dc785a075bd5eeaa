//! `traceparent`, `tracestate` and all other user properties reach receivers unchanged, on
//! every path of a message, traced or not.

use super::spans::{Spans, publish_with, traceparent};
use super::world::{World, ack, publish, user_property};
use crate::protocol::{LastWill, Packet, QoS, TopicName, Version};

/// Unusual on purpose: order, capitals, spaces, repeated names, an empty value, a content type
/// in between, and a `tracestate` that is invalid.
fn properties() -> Vec<u8> {
    let mut all = user_property("tracestate", " congo=t61rcWkgMzE , not a list,,");
    all.extend(user_property("TraceParent", "x"));
    all.extend([0x03, 0, 1, b'j']);
    all.extend(user_property("traceparent", &traceparent()));
    all.extend(user_property("tracestate", ""));
    all
}

fn traced_and_not() -> [World; 2] {
    [true, false].map(|traced| {
        let world = World::new();
        if traced {
            Spans::of(&world);
        }
        world
    })
}

#[test]
fn to_receivers_of_every_qos() {
    for world in traced_and_not() {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut receiver = world.passing("sub");
            receiver.subscribe("t", qos);
            receiver.received();
            let mut publisher = world.passing("pub");
            publish_with(&mut publisher, &properties(), qos, 1, "x");
            assert_eq!(receiver.received_properties(), [properties()], "{qos:?}");
        }
    }
}

#[test]
fn to_a_member_of_a_shared_subscription() {
    for world in traced_and_not() {
        let mut receiver = world.passing("sub");
        receiver.subscribe("$share/g/t", QoS::AtLeastOnce);
        receiver.received();
        publish_with(&mut world.passing("pub"), &properties(), QoS::AtLeastOnce, 1, "x");
        assert_eq!(receiver.received_properties(), [properties()]);
    }
}

#[test]
fn from_disk_after_a_crash_and_again_with_dup() {
    for world in traced_and_not() {
        let mut receiver = world.durable("sub");
        receiver.subscribe("t", QoS::AtLeastOnce);
        world.commit();
        receiver.leave();
        let mut publisher = world.passing("pub");
        publish_with(&mut publisher, &properties(), QoS::AtLeastOnce, 1, "x");
        world.commit();
        let world = world.crash([publisher]);
        Spans::of(&world);
        for _ in 0..2 {
            let mut receiver = world.connect("sub", false);
            world.commit();
            // The page of the queue arrives after the first call.
            let mut seen = receiver.received_properties();
            seen.extend(receiver.received_properties());
            assert_eq!(seen, [properties()]);
            receiver.vanish();
        }
    }
}

#[test]
fn of_a_retained_message_also_after_a_crash() {
    for world in traced_and_not() {
        let mut publisher = world.passing("pub");
        let bytes = properties();
        let mut retained = publish(QoS::AtLeastOnce, 1, "x");
        retained.retain = true;
        retained.properties = (&bytes).into();
        publisher.send(Packet::Publish(retained));
        world.commit();
        let world = world.crash([publisher]);
        Spans::of(&world);
        let mut receiver = world.passing("sub");
        receiver.subscribe("t", QoS::AtLeastOnce);
        assert_eq!(receiver.received_properties(), [bytes]);
    }
}

#[test]
fn of_a_will() {
    for world in traced_and_not() {
        let mut receiver = world.passing("sub");
        receiver.subscribe("t", QoS::AtLeastOnce);
        receiver.received();
        let will = LastWill {
            topic: TopicName::new("t").unwrap(),
            payload: b"gone".to_vec(),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay: 0,
            expiry: None,
            properties: properties(),
        };
        world.connect_with_will(Version::V5, "pub", true, Some(will)).vanish();
        assert_eq!(receiver.received_properties(), [properties()]);
        receiver.send(Packet::PubAck(ack(1)));
    }
}
