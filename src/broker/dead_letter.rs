//! Ends a delivery that the other end of a bridge has refused for good.

use std::sync::Arc;

use super::{Broker, Step, traced};
use crate::message::End;
use crate::protocol::ReasonCode;
use crate::session::{Entry, Home};
use crate::store::{DeadLetter, Op};

/// What a bridge knows of a refusal.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The name of the bridge.
    pub bridge: &'a Arc<str>,
    /// The topic as it was sent.
    pub topic: &'a str,
    /// The reason code of the other end, or the one that says why the message was not sent;
    /// `None` if the other end only closed the connection.
    pub reason: Option<ReasonCode>,
    /// What happened, in words: the Reason String, for example.
    pub detail: &'a str,
    /// How many dead letters the bridge keeps.
    pub keep: u32,
}

impl Broker {
    /// Ends a delivery that has left its session's window or queue, instead of
    /// [`Broker::complete`]: the store replaces its row by a dead letter in one transaction.
    /// Until that commit a crash leaves the delivery, which is then sent again, and its
    /// publisher is acknowledged only once it, or the dead letter, is on disk. Without a
    /// database there is no dead letter.
    pub fn dead_letter(&self, entry: &Entry, refusal: Refusal<'_>, step: &mut Step) {
        if !self.persistence.is_enabled() {
            self.complete(entry, step);
            return;
        }
        traced::ended(entry, End::Dropped("dead_letter"));
        let message = &entry.message;
        step.write(Op::DeadLetter(Box::new(DeadLetter {
            bridge: Arc::clone(refusal.bridge),
            message: Arc::clone(message),
            // Not completed and no slot acknowledged: see `DeadLetter::delivery`.
            delivery: (entry.home != Home::Memory).then_some(entry.delivery),
            remote_topic: (refusal.topic != message.topic()).then(|| refusal.topic.into()),
            qos: entry.qos,
            retain: entry.retain,
            failed_at: step.now.wall,
            reason: refusal.reason.map(|reason| reason as u8),
            detail: refusal.detail.into(),
            keep: refusal.keep,
        })));
    }
}
