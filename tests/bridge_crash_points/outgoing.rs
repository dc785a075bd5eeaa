//! From the edge broker to the remote one: what the remote broker has acknowledged when the edge
//! broker crashes.

use crate::common::raw::{PUBACK, PUBCOMP, PUBREC, Packet, Publish};
use crate::stand_in::{
    Case, PID, ack, for_each_version, forwarded, message, nothing_is_left, release, until_dead,
};

// Before PUBLISH: the message and its place in the queue.

fn published(when: &str) {
    for_each_version(|case| {
        case.client("pub");
        case.armed(when, "publish");
        let mut bridge = case.dialled();
        let mut publisher = case.client("pub");
        publisher.send(&message("out", "x", 2, false, 5)).unwrap();
        assert_eq!(until_dead(&mut bridge), [], "PUBLISH before the commit was known");
        assert_eq!(until_dead(&mut publisher), [], "PUBREC before the commit was known");
        case.crashed();

        let mut publisher = case.client("pub");
        publisher.send(&message("out", "x", 2, true, 5)).unwrap();
        assert_eq!(publisher.recv().unwrap(), Packet::PubRec(PID, 0));
        release(&mut publisher);
        let mut bridge = case.dialled();
        let sent = forwarded(&mut bridge);
        assert_eq!((sent.payload.as_slice(), sent.qos), (b"x".as_slice(), 2));
        bridge.send(&ack(PUBREC, sent.pid)).unwrap();
        assert_eq!(bridge.recv().unwrap(), Packet::PubRel(sent.pid));
        bridge.send(&ack(PUBCOMP, sent.pid)).unwrap();
        nothing_is_left(case, &mut bridge);
    });
}

#[test]
fn dying_before_the_message_is_committed_forwards_it_once() {
    published("before-commit");
}

#[test]
fn dying_after_the_message_is_committed_forwards_it_once() {
    published("after-commit");
}

#[test]
fn what_was_sent_is_sent_again_under_its_packet_id_after_every_restart() {
    for_each_version(|case| {
        case.publish("x", 2);
        let first = forwarded(&mut case.dialled());
        for _ in 0..3 {
            case.restarted();
            let again = forwarded(&mut case.dialled());
            assert_eq!(again, Publish { dup: true, ..first.clone() });
        }
    });
}

// Between PUBREC and PUBREL: "received".

/// The remote broker has the message and sends PUBREC, at which the edge broker crashes.
fn received(case: &mut Case, when: &str) -> Publish {
    case.publish("x", 2);
    case.armed(when, "received");
    let mut bridge = case.dialled();
    let sent = forwarded(&mut bridge);
    bridge.send(&ack(PUBREC, sent.pid)).unwrap();
    assert_eq!(until_dead(&mut bridge), [], "PUBREL before the commit was known");
    case.crashed();
    sent
}

#[test]
fn dying_before_received_is_committed_repeats_publish_under_its_packet_id() {
    for_each_version(|case| {
        let first = received(case, "before-commit");
        let mut bridge = case.dialled();
        // The remote broker still holds the id, and so recognises the repeat.
        assert_eq!(forwarded(&mut bridge), Publish { dup: true, ..first.clone() });
        bridge.send(&ack(PUBREC, first.pid)).unwrap();
        assert_eq!(bridge.recv().unwrap(), Packet::PubRel(first.pid));
        bridge.send(&ack(PUBCOMP, first.pid)).unwrap();
        nothing_is_left(case, &mut bridge);
    });
}

#[test]
fn dying_after_received_is_committed_goes_on_with_pubrel() {
    for_each_version(|case| {
        let first = received(case, "after-commit");
        let mut bridge = case.dialled();
        assert_eq!(bridge.recv().unwrap(), Packet::PubRel(first.pid), "and no PUBLISH");
        bridge.send(&ack(PUBCOMP, first.pid)).unwrap();
        nothing_is_left(case, &mut bridge);
    });
}

// After the last acknowledgement: the row is deleted, which may be late.

/// The remote broker sends PUBCOMP, at which the edge broker crashes.
fn completed(case: &mut Case, when: &str) -> Publish {
    case.publish("x", 2);
    case.armed(when, "delete");
    let mut bridge = case.dialled();
    let sent = forwarded(&mut bridge);
    bridge.send(&ack(PUBREC, sent.pid)).unwrap();
    assert_eq!(bridge.recv().unwrap(), Packet::PubRel(sent.pid));
    bridge.send(&ack(PUBCOMP, sent.pid)).unwrap();
    case.crashed();
    sent
}

#[test]
fn a_deletion_that_is_lost_in_a_crash_repeats_only_pubrel() {
    for_each_version(|case| {
        let sent = completed(case, "before-commit");
        let mut bridge = case.dialled();
        assert_eq!(bridge.recv().unwrap(), Packet::PubRel(sent.pid), "and no PUBLISH");
        bridge.send(&ack(PUBCOMP, sent.pid)).unwrap();
        nothing_is_left(case, &mut bridge);
    });
}

#[test]
fn a_deletion_that_was_committed_leaves_nothing() {
    for_each_version(|case| {
        completed(case, "after-commit");
        let mut bridge = case.dialled();
        nothing_is_left(case, &mut bridge);
    });
}

// At QoS 1 the row is all there is: it goes after PUBACK, and what was not deleted is repeated.

fn acknowledged(case: &mut Case, when: &str) -> Publish {
    case.publish("x", 1);
    case.armed(when, "delete");
    let mut bridge = case.dialled();
    let sent = forwarded(&mut bridge);
    bridge.send(&ack(PUBACK, sent.pid)).unwrap();
    case.crashed();
    sent
}

#[test]
fn at_qos_1_a_deletion_that_is_lost_in_a_crash_repeats_the_message() {
    for_each_version(|case| {
        let sent = acknowledged(case, "before-commit");
        let mut bridge = case.dialled();
        assert_eq!(forwarded(&mut bridge), Publish { dup: true, ..sent.clone() });
        bridge.send(&ack(PUBACK, sent.pid)).unwrap();
        nothing_is_left(case, &mut bridge);
    });
}

#[test]
fn at_qos_1_a_deletion_that_was_committed_leaves_nothing() {
    for_each_version(|case| {
        acknowledged(case, "after-commit");
        let mut bridge = case.dialled();
        nothing_is_left(case, &mut bridge);
    });
}
