//! The interface through which the progress of a traced message is reported.
//!
//! Broker and store report events. What the tracer does with them is not known here. For a
//! message that is not traced this costs a check of one pointer.
//!
//! The trace is a pointer in the message and not a table: spans that are still open end with
//! the message, so none can leak. A message that is read back from disk gets a new trace, made
//! from the `traceparent` in its stored properties.

use std::fmt::Debug;
use std::ops::Deref;
use std::time::{Duration, Instant};

use super::{CommitNo, DeliveryId};
use crate::peer::PeerAddr;
use crate::protocol::{QoS, ReasonCode};

/// Traces one message. Called on the threads of connections and of the store, under their
/// locks, so it must be fast and never wait. Spans that are not ended explicitly end when the
/// message is dropped.
pub trait Follow: Debug + Send + Sync {
    /// The message was published by this client, from this address.
    fn came_from(&self, client_id: &str, address: PeerAddr);

    /// The publisher was answered with this reason, or, at QoS 0, needs no answer. `None`: its
    /// connection ended first.
    fn answered(&self, reason: Option<ReasonCode>);

    /// The message was submitted to the store, which writes it unless it is elided.
    fn submitted(&self);

    /// True if it was submitted, and [`Follow::stored`] has not been called.
    fn awaits_commit(&self) -> bool;

    /// The result in the store. Only the first call after [`Follow::submitted`] has an effect.
    fn stored(&self, how: Stored);

    /// A delivery was queued for this client.
    fn queued(&self, delivery: DeliveryId, client_id: &str, qos: QoS);

    /// A delivery has progressed.
    fn progressed(&self, delivery: DeliveryId, step: Step);

    /// A delivery has ended. Only the first call has an effect.
    fn delivered(&self, delivery: DeliveryId, how: End);
}

/// What the store did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was committed.
    Committed {
        /// The identifiers of the transaction's span, if it was recorded.
        mark: Option<CommitMark>,
        /// When COMMIT returned. This report comes later than the acknowledgements that waited
        /// for it.
        at: Instant,
    },
    /// It was complete before it was written (write elision).
    Elided,
    /// The disk had no room for it.
    Refused,
}

/// An event of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// PUBLISH was sent.
    Sent {
        /// The address of the receiver.
        to: PeerAddr,
        /// True if this process had sent it before.
        again: bool,
    },
    /// PUBREC was received.
    Received,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// PUBACK or PUBCOMP was received.
    Acknowledged,
    /// QoS 0: PUBLISH was sent.
    Sent,
    /// It was not delivered, for this reason of the metrics.
    Dropped(&'static str),
}

/// The span of a batch's transaction: a trace id and a span id of W3C Trace Context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitMark {
    /// 16 bytes, not all zero.
    pub trace: [u8; 16],
    /// 8 bytes, not all zero.
    pub span: [u8; 8],
}

/// A transaction that was committed.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    /// The number of its batch.
    pub number: CommitNo,
    /// When the writer began it.
    pub began: Instant,
    /// The time until COMMIT returned.
    pub took: Duration,
    /// Messages that were written.
    pub messages: usize,
    /// Deliveries that were written.
    pub deliveries: usize,
    /// Bytes of topics, properties and payloads of these messages and of retained messages.
    pub bytes: u64,
}

/// Receives reports of transactions with traced messages.
pub trait CommitObserver: Debug + Send + Sync {
    /// Called on the store's thread after the tasks that wait for the commit are woken. It
    /// must be fast and never wait. `None`: nothing was recorded.
    fn committed(&self, commit: &Committed) -> Option<CommitMark>;
}

/// The trace of a message, in one pointer.
#[derive(Debug)]
pub struct Trace(Box<dyn Follow>);

impl Trace {
    /// Wraps a trace for [`super::Message::trace`].
    pub fn new(follower: impl Follow + 'static) -> Box<Self> {
        Box::new(Self(Box::new(follower)))
    }
}

impl Deref for Trace {
    type Target = dyn Follow;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
