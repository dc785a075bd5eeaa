//! Tests each row of the table in `ARCHITECTURE.md`, "A QoS 2 message": for each row the
//! broker crashes just before and just after the row's commit. Checked are the packets sent by
//! then, and that everything leads to exactly one delivery once both sides have resumed.
//!
//! The binary is built with the feature `failpoints`; `FERRYMQ_FAILPOINT` says where it
//! aborts.

#![allow(clippy::unwrap_used, clippy::panic)] // As inside the crate's tests.

mod common;

use common::broker::{Broker, binary_with_failpoints};
use common::raw::{self, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet, Publish, Raw};

const PID: u16 = 7;
const FAILPOINT: &str = "FERRYMQ_FAILPOINT";

struct Case {
    broker: Broker,
    version: u8,
}

fn release(publisher: &mut Raw) {
    publisher.send(&ack(PUBREL, PID)).unwrap();
    assert_eq!(publisher.recv().unwrap(), Packet::PubComp(PID));
}

impl Case {
    /// A broker with a durable session "sub" that subscribes to "t".
    fn new(version: u8) -> Self {
        let mut broker = Broker::stopped(binary_with_failpoints(), &[]);
        broker.up();
        let case = Self { broker, version };
        case.client("sub").subscribe("t", 2).unwrap();
        case.client("pub");
        case
    }

    fn client(&self, id: &str) -> Raw {
        Raw::connect(self.broker.port, self.version, id, false).unwrap()
    }

    /// Restarts with a failpoint: `when` is before-commit or after-commit.
    fn armed(&mut self, when: &str, what: &str) {
        self.broker.kill();
        self.broker.set(FAILPOINT, &format!("{when}:{what}"));
        self.broker.up();
    }

    /// Waits for the crash at the failpoint and restarts without one.
    fn crashed(&mut self) {
        let status = self.broker.wait_dead();
        assert!(!status.success(), "it ended by itself: {status}");
        self.broker.set(FAILPOINT, "");
        self.broker.up();
    }

    fn publish(&self, payload: &str, dup: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let message = Publish {
            dup,
            qos: 2,
            pid: PID,
            topic: "t".into(),
            payload: payload.as_bytes().into(),
        };
        raw::publish(&mut out, self.version, &message);
        out
    }

    /// The publisher sends its message (again) and completes the exchange.
    fn publish_to_the_end(&self, publisher: &mut Raw, payload: &str, dup: bool) {
        publisher.send(&self.publish(payload, dup)).unwrap();
        assert!(matches!(publisher.recv().unwrap(), Packet::PubRec(PID, 0)));
        release(publisher);
    }

    /// Everything that "sub" receives when it connects, with its side of every exchange
    /// completed. A marker that is queued now comes last.
    fn sent(&self) -> Vec<Packet> {
        let mut marker = Raw::connect(self.broker.port, self.version, "mark", true).unwrap();
        let mut out = Vec::new();
        let mark =
            Publish { dup: false, qos: 1, pid: 1, topic: "t".into(), payload: b"mark".into() };
        raw::publish(&mut out, self.version, &mark);
        marker.send(&out).unwrap();
        assert!(matches!(marker.recv().unwrap(), Packet::PubAck(1, 0)));

        let mut client = self.client("sub");
        assert!(client.session_present);
        let mut sent = Vec::new();
        let mut open = 0;
        loop {
            let packet = client.recv().unwrap();
            match &packet {
                Packet::Publish(message) if message.payload == mark.payload => {
                    client.send(&ack(PUBACK, message.pid)).unwrap();
                    break;
                }
                Packet::Publish(message) => {
                    client.send(&ack(PUBREC, message.pid)).unwrap();
                    open += 1;
                }
                Packet::PubRel(pid) => {
                    client.send(&ack(PUBCOMP, *pid)).unwrap();
                    open -= 1;
                }
                other => panic!("unexpected {other:?}"),
            }
            sent.push(packet);
        }
        while open > 0 {
            let Packet::PubRel(pid) = client.recv().unwrap() else { panic!("no PUBREL") };
            client.send(&ack(PUBCOMP, pid)).unwrap();
            open -= 1;
        }
        client.until_ping().unwrap();
        sent
    }

    /// The messages that "sub" receives.
    fn received(&self) -> Vec<String> {
        let messages = self.sent().into_iter().filter_map(|packet| match packet {
            Packet::Publish(message) => Some(String::from_utf8(message.payload).unwrap()),
            _ => None,
        });
        messages.collect()
    }
}

fn ack(first: u8, pid: u16) -> Vec<u8> {
    let mut out = Vec::new();
    raw::ack(&mut out, first, pid);
    out
}

/// All packets before the connection breaks.
fn until_dead(client: &mut Raw) -> Vec<Packet> {
    std::iter::from_fn(|| client.recv().ok()).collect()
}

fn for_each_version(test: impl Fn(&mut Case)) {
    for version in [4, 5] {
        test(&mut Case::new(version));
    }
}

// Row 1: PUBREC to the publisher, after the message, its deliveries and its packet id.

fn row_1(when: &str) {
    for_each_version(|case| {
        case.armed(when, "publish");
        let mut publisher = case.client("pub");
        publisher.send(&case.publish("x", false)).unwrap();
        assert_eq!(until_dead(&mut publisher), [], "PUBREC before the commit was known");
        case.crashed();

        let mut publisher = case.client("pub");
        assert!(publisher.session_present);
        case.publish_to_the_end(&mut publisher, "x", true);
        assert_eq!(case.received(), ["x"]);
    });
}

#[test]
fn row_1_dying_before_the_message_is_committed_loses_and_repeats_nothing() {
    row_1("before-commit");
}

#[test]
fn row_1_dying_after_the_message_is_committed_takes_the_repeat_for_a_repeat() {
    row_1("after-commit");
}

#[test]
fn row_1_after_the_commit_the_message_is_there_even_if_its_publisher_never_returns() {
    for_each_version(|case| {
        case.armed("after-commit", "publish");
        let mut publisher = case.client("pub");
        publisher.send(&case.publish("x", false)).unwrap();
        until_dead(&mut publisher);
        case.crashed();
        assert_eq!(case.received(), ["x"]);
    });
}

// Row 2: PUBLISH to the receiver, after the delivery with its packet id.

fn row_2(when: &str) {
    for_each_version(|case| {
        case.armed(when, "publish");
        let (mut publisher, mut receiver) = (case.client("pub"), case.client("sub"));
        publisher.send(&case.publish("x", false)).unwrap();
        assert_eq!(until_dead(&mut receiver), [], "PUBLISH before the commit was known");
        case.crashed();

        let mut publisher = case.client("pub");
        case.publish_to_the_end(&mut publisher, "x", true);
        assert_eq!(case.received(), ["x"]);
    });
}

#[test]
fn row_2_dying_before_the_delivery_is_committed_has_shown_it_to_nobody() {
    row_2("before-commit");
}

#[test]
fn row_2_dying_after_the_delivery_is_committed_sends_it_once() {
    row_2("after-commit");
}

#[test]
fn row_2_a_delivery_keeps_its_packet_id_over_every_restart() {
    for_each_version(|case| {
        let mut receiver = case.client("sub");
        case.publish_to_the_end(&mut case.client("pub"), "x", false);
        let Packet::Publish(first) = receiver.recv().unwrap() else { panic!() };
        for _ in 0..3 {
            case.broker.kill();
            case.broker.up();
            let Packet::Publish(again) = case.client("sub").recv().unwrap() else { panic!() };
            assert_eq!(again, Publish { dup: true, ..first.clone() });
        }
        assert_eq!(case.received(), ["x"]);
    });
}

// Row 3: PUBREL to the receiver, after "received" on its delivery.

/// A receiver that has the message and sends PUBREC, at which the broker crashes.
fn row_3(case: &mut Case, when: &str) -> Publish {
    case.publish_to_the_end(&mut case.client("pub"), "x", false);
    case.armed(when, "received");
    let mut receiver = case.client("sub");
    let Packet::Publish(message) = receiver.recv().unwrap() else { panic!() };
    receiver.send(&ack(PUBREC, message.pid)).unwrap();
    assert_eq!(until_dead(&mut receiver), [], "PUBREL before the commit was known");
    case.crashed();
    message
}

#[test]
fn row_3_dying_before_received_is_committed_repeats_publish_under_its_id() {
    for_each_version(|case| {
        let first = row_3(case, "before-commit");
        let mut receiver = case.client("sub");
        let Packet::Publish(again) = receiver.recv().unwrap() else { panic!() };
        // The receiver still holds the id, and so recognises the repeat.
        assert_eq!(again, Publish { dup: true, payload: first.payload.clone(), ..first });
        receiver.send(&ack(PUBREC, first.pid)).unwrap();
        assert_eq!(receiver.recv().unwrap(), Packet::PubRel(first.pid));
        receiver.send(&ack(PUBCOMP, first.pid)).unwrap();
        receiver.until_ping().unwrap();
        assert_eq!(case.sent(), []);
    });
}

#[test]
fn row_3_dying_after_received_is_committed_goes_on_with_pubrel() {
    for_each_version(|case| {
        let first = row_3(case, "after-commit");
        let mut receiver = case.client("sub");
        assert_eq!(receiver.recv().unwrap(), Packet::PubRel(first.pid), "and no PUBLISH");
        receiver.send(&ack(PUBCOMP, first.pid)).unwrap();
        receiver.until_ping().unwrap();
        assert_eq!(case.sent(), []);
    });
}

// Row 4: PUBCOMP to the publisher, after the removal of its packet id.

fn row_4(when: &str) {
    for_each_version(|case| {
        case.armed(when, "release");
        let mut publisher = case.client("pub");
        publisher.send(&case.publish("first", false)).unwrap();
        assert!(matches!(publisher.recv().unwrap(), Packet::PubRec(PID, 0)));
        publisher.send(&ack(PUBREL, PID)).unwrap();
        assert_eq!(until_dead(&mut publisher), [], "PUBCOMP before the commit was known");
        case.crashed();

        let mut publisher = case.client("pub");
        release(&mut publisher);
        // The id is free: the next PUBLISH with it is another message.
        case.publish_to_the_end(&mut publisher, "second", false);
        assert_eq!(case.received(), ["first", "second"]);
    });
}

#[test]
fn row_4_dying_before_the_packet_id_is_removed_answers_pubrel_again() {
    row_4("before-commit");
}

#[test]
fn row_4_dying_after_the_packet_id_is_removed_answers_pubrel_again() {
    row_4("after-commit");
}

// After the table: the deletion after the receiver's PUBCOMP may be late.

fn deletion(when: &str) -> impl Fn(&mut Case) -> Vec<Packet> {
    move |case| {
        case.publish_to_the_end(&mut case.client("pub"), "x", false);
        case.armed(when, "delete");
        let mut receiver = case.client("sub");
        let Packet::Publish(message) = receiver.recv().unwrap() else { panic!() };
        receiver.send(&ack(PUBREC, message.pid)).unwrap();
        assert_eq!(receiver.recv().unwrap(), Packet::PubRel(message.pid));
        receiver.send(&ack(PUBCOMP, message.pid)).unwrap();
        case.crashed();
        let sent = case.sent();
        // The message is never repeated.
        assert!(sent.iter().all(|packet| *packet == Packet::PubRel(message.pid)), "{sent:?}");
        sent
    }
}

#[test]
fn deletion_lost_in_a_crash_repeats_only_pubrel() {
    for_each_version(|case| assert_eq!(deletion("before-commit")(case).len(), 1));
}

#[test]
fn deletion_committed_before_a_crash_leaves_nothing() {
    for_each_version(|case| assert_eq!(deletion("after-commit")(case), []));
}
