//! One trace covers a message from its publisher over the disk to each receiver.

use super::spans::{
    SPAN, Spans, TRACE, events, failed, publish_traced, publishers_span, subscribed, text,
};
use super::world::{World, ack};
use crate::protocol::{Packet, QoS};

#[test]
fn one_trace_leads_from_the_publisher_over_the_disk_to_the_subscriber() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut receiver = subscribed(&world, "sub", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "hello");
    assert_eq!(receiver.received(), ["PUBLISH 1 hello"]);
    assert!(spans.all().is_empty(), "nothing has ended");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1"]);
    receiver.send(Packet::PubAck(ack(1)));
    assert_eq!(spans.names(), ["commit", "persist", "receive", "deliver"]);

    let [receive, persist, deliver] = ["receive", "persist", "deliver"].map(|name| spans.one(name));
    for span in [&receive, &persist, &deliver] {
        assert_eq!(span.span_context.trace_id().to_string(), TRACE, "{}", span.name);
        assert!(span.end_time >= span.start_time);
    }
    assert_eq!(receive.parent_span_id.to_string(), SPAN);
    assert!(receive.parent_span_is_remote && !persist.parent_span_is_remote);
    assert_eq!(persist.parent_span_id, receive.span_context.span_id());
    assert_eq!(deliver.parent_span_id, receive.span_context.span_id());
    assert_eq!(events(&deliver), ["sent"]);

    let commit = spans.one("commit");
    assert_eq!(commit.parent_span_id.to_string(), "0000000000000000", "a root of its own");
    assert_ne!(commit.span_context.trace_id().to_string(), TRACE);
    let linked = &persist.links[0].span_context;
    assert_eq!(linked.trace_id(), commit.span_context.trace_id());
    assert_eq!(linked.span_id(), commit.span_context.span_id());
    assert_eq!(spans.tracing.open_spans(), 0);
}

#[test]
fn attributes_follow_the_semantic_conventions() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut receiver = subscribed(&world, "sub", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "hello");
    world.commit();
    publisher.received();
    receiver.received();
    receiver.send(Packet::PubAck(ack(1)));
    let check = |name: &str, expected: &[(&str, &str)]| {
        let span = spans.one(name);
        for (key, value) in expected {
            assert_eq!(text(&span, key), *value, "{key} of {name}");
        }
        assert!(!failed(&span), "{name}");
    };
    let common = [
        ("messaging.system", "mqtt"),
        ("messaging.destination.name", "t"),
        ("messaging.message.id", "1"),
        ("mqtt.qos", "1"),
        ("network.peer.address", "127.0.0.1"),
    ];
    check("receive", &common);
    check("deliver", &common);
    check(
        "receive",
        &[
            ("messaging.operation.name", "receive"),
            ("messaging.operation.type", "receive"),
            ("messaging.client.id", "pub"),
            ("messaging.message.body.size", "5"),
            ("mqtt.retain", "false"),
            ("mqtt.reason_code", "0"),
        ],
    );
    check(
        "deliver",
        &[
            ("messaging.operation.name", "deliver"),
            ("messaging.operation.type", "send"),
            ("messaging.client.id", "sub"),
            ("ferrymq.outcome", "acknowledged"),
        ],
    );
    check("persist", &[("ferrymq.elided", "false"), ("ferrymq.outcome", "committed")]);
    check(
        "commit",
        &[
            ("db.system.name", "sqlite"),
            ("db.operation.name", "COMMIT"),
            ("db.operation.batch.size", "2"),
            ("ferrymq.batch.messages", "1"),
            // Topic, `traceparent` with its name and lengths, and payload.
            ("ferrymq.batch.bytes", "77"),
        ],
    );
}

#[test]
fn the_scrape_names_the_commit_that_a_duration_was_measured_in() {
    let world = World::new();
    let spans = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    world.commit();
    let metrics = world.store.metrics();
    let exemplars = || {
        let histograms = [&metrics.commit_duration, &metrics.queue_wait];
        histograms.map(|histogram| histogram.exemplars().into_iter().flatten().next())
    };
    assert_eq!(exemplars(), [None, None], "nothing was traced");
    publish_traced(&mut world.passing("pub"), QoS::AtLeastOnce, 1, "x");
    world.commit();
    let commit = spans.one("commit").span_context;
    for exemplar in exemplars() {
        let exemplar = exemplar.unwrap();
        assert_eq!(exemplar.trace_id, commit.trace_id().to_bytes());
        assert_eq!(exemplar.span_id, commit.span_id().to_bytes());
    }
}

#[test]
fn a_message_that_is_elided_has_no_commit() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut receiver = subscribed(&world, "sub", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    receiver.received();
    receiver.send(Packet::PubAck(ack(1)));
    assert_eq!(publisher.received(), ["PUBACK 1"]);
    world.commit();
    assert_eq!(spans.names(), ["deliver", "persist", "receive"]);
    let persist = spans.one("persist");
    assert_eq!(text(&persist, "ferrymq.elided"), "true");
    assert!(persist.links.is_empty() && !failed(&persist));
}

#[test]
fn a_qos_0_message_is_received_and_sent() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut receiver = subscribed(&world, "sub", QoS::AtLeastOnce);
    publish_traced(&mut world.passing("pub"), QoS::AtMostOnce, 0, "x");
    assert_eq!(spans.names(), ["receive"]);
    assert_eq!(receiver.received(), ["PUBLISH 0 x"]);
    world.commit();
    assert_eq!(spans.names(), ["receive", "deliver"]);
    let deliver = spans.one("deliver");
    assert_eq!(text(&deliver, "ferrymq.outcome"), "sent");
    assert_eq!(events(&deliver), ["sent"]);
}

#[test]
fn a_qos_2_delivery_lasts_from_the_queue_to_pubcomp() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut receiver = subscribed(&world, "sub", QoS::ExactlyOnce);
    let mut publisher = world.durable("pub");
    publish_traced(&mut publisher, QoS::ExactlyOnce, 9, "x");
    world.commit();
    assert_eq!(publisher.received(), ["PUBREC 9"]);
    assert_eq!(spans.names(), ["commit", "persist", "receive"], "PUBREC answers the publish");
    assert_eq!(receiver.received(), ["PUBLISH 1 x"]);
    receiver.send(Packet::PubRec(ack(1)));
    world.commit();
    receiver.received();
    assert!(spans.named("deliver").is_empty());
    receiver.send(Packet::PubComp(ack(1)));
    let deliver = spans.one("deliver");
    assert_eq!(events(&deliver), ["sent", "pubrec"]);
    assert_eq!(text(&deliver, "ferrymq.outcome"), "acknowledged");
    world.commit();
    assert_eq!(spans.named("commit").len(), 1, "later batches hold no message that is traced");
}

#[test]
fn what_waited_on_disk_is_delivered_within_its_publishers_trace() {
    let world = World::new();
    let spans = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    world.commit();
    assert_eq!(publisher.received(), ["PUBACK 1"]);
    assert!(spans.named("deliver").is_empty());
    world.broker.evict_offline();
    let paged_out = spans.one("deliver");
    assert_eq!(text(&paged_out, "ferrymq.outcome"), "left_memory");
    assert_eq!(spans.tracing.open_spans(), 0, "a queue on disk costs none");

    let mut receiver = world.connect("sub", false);
    world.commit();
    receiver.received();
    assert_eq!(receiver.received(), ["PUBLISH 1 x"]);
    receiver.send(Packet::PubAck(ack(1)));
    let delivered = &spans.to("sub")[1];
    assert_eq!(text(delivered, "ferrymq.outcome"), "acknowledged");
    assert!(text(delivered, "ferrymq.waited_seconds").parse::<f64>().unwrap() >= 0.0);
    assert_eq!(delivered.span_context.trace_id().to_string(), TRACE);
    assert_eq!(delivered.parent_span_id, publishers_span());
    assert_eq!(spans.named("receive").len(), 1);
}

#[test]
fn a_trace_goes_on_after_a_crash() {
    let world = World::new();
    let before = Spans::of(&world);
    subscribed(&world, "sub", QoS::AtLeastOnce).leave();
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    world.commit();
    let world = world.crash([publisher]);
    assert!(failed(&before.one("receive")), "its publisher was never answered");

    let after = Spans::of(&world);
    let mut receiver = world.connect("sub", false);
    world.commit();
    receiver.received();
    assert_eq!(receiver.received(), ["PUBLISH 1 x"]);
    receiver.send(Packet::PubAck(ack(1)));
    let deliver = after.one("deliver");
    assert_eq!(after.names(), ["deliver"]);
    assert_eq!(deliver.span_context.trace_id().to_string(), TRACE);
    assert_eq!(deliver.parent_span_id, publishers_span());
}

#[test]
fn each_receiver_has_its_own_delivery() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut users = ["a", "b"].map(|name| subscribed(&world, name, QoS::AtLeastOnce));
    subscribed(&world, "away", QoS::AtLeastOnce).leave();
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    world.commit();
    publisher.received();
    for user in &mut users {
        user.received();
        user.send(Packet::PubAck(ack(1)));
    }
    let receive = spans.one("receive").span_context.span_id();
    for name in ["a", "b"] {
        assert_eq!(spans.to(name).len(), 1);
        assert_eq!(spans.to(name)[0].parent_span_id, receive);
    }
    assert!(spans.to("away").is_empty(), "it waits");
}

#[test]
fn one_member_of_a_shared_subscription_has_the_delivery() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut users = ["a", "b"].map(|name| {
        let mut user = world.passing(name);
        user.subscribe("$share/g/t", QoS::AtLeastOnce);
        user.received();
        user
    });
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    publisher.received();
    for user in &mut users {
        if !user.received().is_empty() {
            user.send(Packet::PubAck(ack(1)));
        }
    }
    assert_eq!(spans.one("deliver").parent_span_id, spans.one("receive").span_context.span_id());
}

#[test]
fn a_delivery_outlasts_the_take_over_of_its_receiver() {
    let world = World::new();
    let spans = Spans::of(&world);
    let mut older = subscribed(&world, "sub", QoS::AtLeastOnce);
    let mut publisher = world.passing("pub");
    publish_traced(&mut publisher, QoS::AtLeastOnce, 1, "x");
    world.commit();
    publisher.received();
    assert_eq!(older.received(), ["PUBLISH 1 x"]);
    let mut newer = world.connect("sub", false);
    world.commit();
    older.vanish();
    assert_eq!(newer.received(), ["CONNACK true", "PUBLISH 1 x again"]);
    newer.send(Packet::PubAck(ack(1)));
    let deliver = spans.one("deliver");
    assert_eq!(events(&deliver), ["sent", "resent"]);
    assert_eq!(text(&deliver, "ferrymq.outcome"), "acknowledged");
}
