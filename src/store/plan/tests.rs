//! Which changes of a batch apply: the last one to each key, and runs of ids.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::message::RowCommit;

#[test]
fn consecutive_ids_become_one_run() {
    let found: Vec<_> = runs(&[1, 2, 3, 7, 9, 10]).collect();
    assert_eq!(found, [(1, 3), (7, 7), (9, 10)]);
    assert_eq!(runs(&[]).count(), 0);
}

#[test]
fn of_one_delivery_the_last_packet_id_to_come_stays() {
    let mut plan = Plan::default();
    let id = |value| PacketId::new(value).unwrap();
    let change: Arc<RowCommit> = Arc::default();
    let op = |delivery, packet_id| Op::PacketId {
        delivery: DeliveryId(delivery),
        packet_id: id(packet_id),
        change: Arc::clone(&change),
    };
    let ops = vec![op(2, 9), op(1, 5), op(2, 3), op(2, 4)];
    plan.add(&mut Batch { number: 7, ops, ..Batch::default() });
    assert_eq!(plan.packet_ids, [(DeliveryId(1), id(5)), (DeliveryId(2), id(4))]);
    assert!(change.is_committed(7) && !change.is_committed(6));
    plan.without_deletes();
    assert!(plan.packet_ids.is_empty());
}

fn retain(no: u64, topic: &str) -> Op {
    retain_with(no, topic, None)
}

fn retain_with(no: u64, topic: &str, message: Option<MessageId>) -> Op {
    let record = crate::store::RetainedRecord {
        topic: topic.into(),
        properties: Vec::new(),
        payload: vec![1],
        qos: crate::protocol::QoS::AtLeastOnce,
        published_at: crate::message::WallMillis(1),
        expires_at: None,
    };
    Op::State(ChangeNo(no), Change::Retain(Arc::new(record), message))
}

fn unretain(no: u64, topic: &str) -> Op {
    Op::State(ChangeNo(no), Change::Unretain(topic.into()))
}

fn plan(ops: Vec<Op>) -> Plan {
    let mut plan = Plan::default();
    plan.add(&mut Batch { ops, ..Batch::default() });
    plan
}

#[test]
fn of_one_retained_topic_the_highest_number_stays() {
    for (retained, ops) in [
        (true, vec![unretain(3, "b"), unretain(1, "a"), retain(2, "a")]),
        (true, vec![retain(2, "a"), unretain(1, "a"), unretain(3, "b")]),
        (false, vec![unretain(2, "a"), retain(1, "a"), unretain(3, "b")]),
    ] {
        let plan = plan(ops);
        assert_eq!(plan.last_retained().count(), 2);
        let of_a = plan
            .last_retained()
            .any(|change| matches!(change, Change::Retain(record, _) if &*record.topic == "a"));
        assert_eq!(of_a, retained);
    }
}

#[test]
fn what_was_decided_first_and_comes_in_a_later_batch_is_left_out() {
    let mut plan = plan(vec![unretain(2, "a")]);
    plan.reset();
    plan.add(&mut Batch { ops: vec![retain(1, "a")], ..Batch::default() });
    assert!(plan.retained.is_empty());
}

#[test]
fn what_a_refused_message_would_have_replaced_is_retained() {
    let refused = MessageId(9);
    let mut plan = plan(vec![retain(1, "a"), retain_with(2, "a", Some(refused))]);
    plan.retained.retain(|(_, change)| !matches!(change, Change::Retain(_, Some(_))));
    assert_eq!(plan.last_retained().count(), 1, "in the same batch");
    plan.reset();
    plan.add(&mut Batch { ops: vec![retain_with(4, "b", Some(refused))], ..Batch::default() });
    plan.without_messages();
    plan.reset();
    plan.add(&mut Batch { ops: vec![retain(3, "b")], ..Batch::default() });
    assert_eq!(plan.last_retained().count(), 1, "in a batch before it");
}
