//! Which messages are traced, and the spans of messages that are not delivered.

use super::spans::{
    SPAN, Spans, failed, publish_traced, publish_with, subscribed, text, traceparent,
};
use super::world::{World, ack, user_property};
use crate::config::{ByteSize, Config};
use crate::protocol::{Packet, QoS};
use crate::telemetry::Sampling;

#[test]
fn a_publisher_that_is_gone_before_its_answer_leaves_a_receive_that_says_so() {
    let world = World::new();
    let spans = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    publisher.vanish();
    assert!(failed(&spans.one("receive")));
}

#[test]
fn a_delivery_that_is_given_up_says_why() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut receiver = world.passing("sub");
    receiver.subscribe("t", QoS::AtLeastOnce);
    receiver.received();
    let mut publisher = world.passing("pub");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        publish_traced(&mut publisher, qos, 1, "x");
    }
    receiver.vanish();
    for deliver in spans.named("deliver") {
        assert_eq!(text(&deliver, "ferrymq.outcome"), "session_ended");
        assert!(failed(&deliver));
    }
    assert_eq!(spans.named("deliver").len(), 2);
}

#[test]
fn a_publish_for_a_full_queue_says_that_it_was_refused() {
    let mut config = Config::default();
    config.session.max_queued_messages = 1;
    let world = World::with(config);
    let spans = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    let mut publisher = world.passing("pub");
    for packet in 1..=2 {
        publish_traced(&mut publisher, QoS::AtLeastOnce, packet, "x");
        world.commit();
    }
    assert_eq!(publisher.received(), ["PUBACK 1", "PUBACK 2 refused"]);
    let refused: Vec<_> = spans.named("receive").into_iter().filter(failed).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(text(&refused[0], "mqtt.reason_code"), 0x97.to_string());
    assert_eq!(text(&refused[0], "messaging.client.id"), "pub");
}

#[test]
fn a_message_that_the_disk_has_no_room_for_says_so_in_each_of_its_spans() {
    let mut config = Config::default();
    config.persistence.max_size = ByteSize::mib(1);
    let world = World::with(config);
    let spans = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    let mut publisher = world.passing("pub");
    let large = "x".repeat(60_000);
    for packet in 1..=40 {
        publish_traced(&mut publisher, QoS::AtLeastOnce, packet, &large);
        world.commit();
        if publisher.received()[0].ends_with("refused") {
            break;
        }
    }
    world.broker.evict_offline();
    let refused = |name: &str| spans.named(name).into_iter().find(failed).unwrap();
    assert_eq!(text(&refused("persist"), "ferrymq.outcome"), "refused");
    assert_eq!(text(&refused("receive"), "mqtt.reason_code"), 0x97.to_string());
    assert_eq!(text(&refused("deliver"), "ferrymq.outcome"), "disk_full");
}

#[test]
fn messages_of_one_batch_are_linked_to_one_commit() {
    let world = World::new();
    let spans = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    let mut publisher = world.passing("pub");
    for packet in 1..=3 {
        publish_traced(&mut publisher, QoS::AtLeastOnce, packet, "x");
    }
    publisher.publish(QoS::AtLeastOnce, 4, "not traced");
    world.commit();
    let commit = spans.one("commit");
    assert_eq!(text(&commit, "ferrymq.batch.messages"), "4");
    let persisted = spans.named("persist");
    assert_eq!(persisted.len(), 3);
    for persist in persisted {
        assert_eq!(persist.links[0].span_context.span_id(), commit.span_context.span_id());
    }
    publisher.publish(QoS::AtLeastOnce, 5, "not traced");
    world.commit();
    assert_eq!(spans.named("commit").len(), 1, "a batch without traced messages leaves none");
}

#[test]
fn what_is_not_sampled_or_not_understood_leaves_no_span() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut receiver = subscribed(&world, "sub", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    let values = [
        traceparent().replace("-01", "-00"),
        traceparent().to_uppercase(),
        "nonsense".to_owned(),
        format!("00-{:032}-{SPAN}-01", 0),
    ];
    for (packet, value) in (1..).zip(&values) {
        let properties = user_property("traceparent", value);
        publish_with(&mut publisher, &properties, QoS::AtLeastOnce, packet, "x");
        assert_eq!(receiver.received_properties(), [properties], "and passes untouched");
        receiver.send(Packet::PubAck(ack(packet)));
    }
    publisher.publish(QoS::AtLeastOnce, 9, "x");
    world.commit();
    publisher.received();
    assert!(spans.all().is_empty(), "{:?}", spans.names());
}

#[test]
fn a_share_of_the_messages_without_a_parent_begins_traces() {
    let world = World::new();
    let spans = Spans::sampled(&world, Sampling { ratio: 1.0, parent: true });
    let mut publisher = world.passing("pub");
    publisher.publish(QoS::AtLeastOnce, 1, "x");
    publisher.received();
    let receive = spans.one("receive");
    assert_eq!(receive.parent_span_id.to_string(), "0000000000000000");
    let properties = user_property("traceparent", &traceparent().replace("-01", "-00"));
    publish_with(&mut publisher, &properties, QoS::AtLeastOnce, 2, "not sampled");
    publisher.received();
    assert_eq!(spans.named("receive").len(), 1, "whoever began the trace has decided");
}

#[test]
fn parents_can_be_left_unheard() {
    let world = World::new();
    let spans = Spans::sampled(&world, Sampling { ratio: 0.0, parent: false });
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    publisher.received();
    assert!(spans.all().is_empty());
}

#[test]
fn open_spans_are_bounded_and_what_finds_no_place_is_counted() {
    let world = World::new();
    let spans = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    let mut publishers = ["a", "b", "c", "d"].map(|name| world.passing(name));
    // Each message has three open spans at first: receive, persist, deliver.
    for publisher in &mut publishers {
        for packet in 1..=1_000 {
            publish_traced(publisher, QoS::AtLeastOnce, packet, "x");
        }
    }
    assert_eq!(spans.tracing.open_spans(), 10_000);
    assert!(spans.tracing.skipped_spans() >= 4_000 - 3_334);
    world.commit();
    for publisher in &mut publishers {
        assert_eq!(publisher.received().len(), 1_000, "which changes nothing for publishers");
    }
    world.broker.evict_offline();
    assert_eq!(spans.tracing.open_spans(), 0);
    publish_traced(&mut publishers[0], QoS::AtLeastOnce, 1, "x");
    assert_eq!(spans.tracing.open_spans(), 3, "and there is room again");
}
