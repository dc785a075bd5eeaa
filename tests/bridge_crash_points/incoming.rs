//! From the remote broker to the edge one: what the edge broker has acknowledged when it crashes.

use crate::common::raw::{PUBREL, Packet, Raw};
use crate::stand_in::{Case, PID, ack, for_each_version, message, release, until_dead};

/// A durable session that subscribes to what comes through the bridge.
const SUB: &str = "sub";

fn subscribed(case: &Case) {
    case.client(SUB).subscribe("in", 2).unwrap();
}

/// The remote broker's message, sent for the first time or again, and its PUBREC.
fn sent(bridge: &mut Raw, payload: &str, dup: bool, version: u8) {
    bridge.send(&message("in", payload, 2, dup, version)).unwrap();
    assert_eq!(bridge.recv().unwrap(), Packet::PubRec(PID, 0));
}

// Before PUBREC: the message, its deliveries and its packet id.

fn published(when: &str) {
    for_each_version(|case| {
        subscribed(case);
        case.armed(when, "publish");
        let mut bridge = case.dialled();
        bridge.send(&message("in", "x", 2, false, case.version)).unwrap();
        assert_eq!(until_dead(&mut bridge), [], "PUBREC before the commit was known");
        case.crashed();

        let mut bridge = case.dialled();
        sent(&mut bridge, "x", true, case.version);
        release(&mut bridge);
        assert_eq!(case.received(SUB), ["x"]);
    });
}

#[test]
fn dying_before_the_message_is_committed_loses_and_repeats_nothing() {
    published("before-commit");
}

#[test]
fn dying_after_the_message_is_committed_takes_the_repeat_for_a_repeat() {
    published("after-commit");
}

#[test]
fn a_message_that_was_answered_is_recognised_after_every_restart() {
    for_each_version(|case| {
        subscribed(case);
        sent(&mut case.dialled(), "x", false, case.version);
        for _ in 0..2 {
            case.restarted();
            sent(&mut case.dialled(), "x", true, case.version);
        }
        case.restarted();
        release(&mut case.dialled());
        assert_eq!(case.received(SUB), ["x"]);
    });
}

// Before PUBCOMP: the removal of the packet id.

fn released(when: &str) {
    for_each_version(|case| {
        subscribed(case);
        sent(&mut case.dialled(), "first", false, case.version);
        case.armed(when, "release");
        let mut bridge = case.dialled();
        bridge.send(&ack(PUBREL, PID)).unwrap();
        assert_eq!(until_dead(&mut bridge), [], "PUBCOMP before the commit was known");
        case.crashed();

        let mut bridge = case.dialled();
        release(&mut bridge);
        // The id is free: the next PUBLISH with it is another message.
        sent(&mut bridge, "second", false, case.version);
        release(&mut bridge);
        assert_eq!(case.received(SUB), ["first", "second"]);
    });
}

#[test]
fn dying_before_the_packet_id_is_removed_answers_pubrel_again() {
    released("before-commit");
}

#[test]
fn dying_after_the_packet_id_is_removed_answers_pubrel_again() {
    released("after-commit");
}
