#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! Sessions without a broker: entries go in, packets come out.

mod blocks;
mod delivery;
mod queue_model;
mod window;

use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::message::SubscriptionIds;
use crate::message::{Message, MessageHead, MessageId, RowCommit, SlotState, WallMillis};
use crate::protocol::QoS;

pub const LIMITS: Limits = Limits {
    inflight_window: 10,
    max_queued_messages: 1000,
    max_queued_bytes: 1_000_000,
    overflow: Overflow::Refuse,
    memory_window: 4,
    queue_qos0: false,
};

pub fn session(limits: Limits) -> Session {
    let mut session = Session::new(SessionId(1), "client".into(), Version::V5, limits);
    session.durable = true;
    session
}

pub fn attach(session: &mut Session, receive_maximum: usize) {
    let epoch = session.life.next_epoch();
    let info = Arc::new(ConnectionInfo {
        remote: ([127, 0, 0, 1], 1).into(),
        listener: "tcp".into(),
        user: None,
        method: None,
        credential: 0,
        certificate: None,
        connected_at: WallMillis(0),
        keep_alive: 0,
        clean_start: false,
    });
    session.attach(Connected {
        epoch,
        wake: Arc::default(),
        receive_maximum,
        one_at_a_time: false,
        max_qos: QoS::ExactlyOnce,
        info,
    });
}

/// Queues message number `id` as the broker does; returns the shared message.
pub fn enqueue(session: &mut Session, id: u64, qos: QoS, committed: u64) -> Arc<Message> {
    let head = MessageHead {
        id: MessageId(id),
        qos,
        retain: false,
        published_at: WallMillis(0),
        expires_at: None,
    };
    let kept = qos > QoS::AtMostOnce;
    let message = Arc::new(Message::new(head, "t", &[], b"payload", usize::from(kept), None));
    let packet_id = kept.then(|| session.draw_packet_id());
    if let Some(packet_id) = packet_id {
        message.slots[0].fill(SlotState {
            session: session.id,
            delivery: DeliveryId(id),
            packet_id,
            qos,
            retain: false,
        });
    }
    let entry = Entry {
        message: Arc::clone(&message),
        delivery: DeliveryId(id),
        packet_id,
        qos,
        retain: false,
        dup: false,
        state: if qos == QoS::ExactlyOnce {
            DeliveryState::AwaitingCommit
        } else {
            DeliveryState::Ready
        },
        home: if kept { Home::Slot(0) } else { Home::Memory },
        row_change: None,
        share: None,
        identifiers: SubscriptionIds::default(),
    };
    session.enqueue(entry, committed, false);
    message
}

/// The next thing to send to a client that accepts every message.
pub fn next(session: &mut Session, committed: u64) -> Result<Outgoing, DeliveryBlock> {
    session.next_outgoing(committed, (WallMillis(0), Instant::now()), |_| Fit::Sendable)
}

/// Everything that may be sent now, as (message, packet id, dup).
pub fn sent(session: &mut Session, committed: u64) -> Vec<(u64, u16, bool)> {
    let mut sent = Vec::new();
    while let Ok(next) = next(session, committed) {
        match next {
            Outgoing::Publish(entry) => {
                let packet_id = entry.packet_id.map_or(0, PacketId::get);
                sent.push((entry.message.id.0, packet_id, entry.dup));
            }
            other => panic!("{other:?}"),
        }
    }
    sent
}

pub fn packet_id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}
