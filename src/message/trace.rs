//! The interface through which the progress of a traced message is reported.
//!
//! Broker and store report what happens; who listens, and what becomes of it, is not
//! known here. A message that is not traced costs its holders a look at one pointer.
//!
//! A pointer in the message and not a table beside it: spans that nobody ends end with the
//! message, so no way out of a queue can leak one. A message read back from disk has a new
//! follower, made from the `traceparent` among its stored properties.

use std::fmt::Debug;
use std::ops::Deref;
use std::time::{Duration, Instant};

use super::{CommitNo, DeliveryId};
use crate::peer::PeerAddr;
use crate::protocol::{QoS, ReasonCode};

/// Follows one message. Called on the threads that serve connections and on the
/// store's, under their locks: it must be quick and never wait. Whatever has begun and
/// is not reported as ended ends when the message is dropped.
pub trait Follow: Debug + Send + Sync {
    /// Which client published it, and from where.
    fn came_from(&self, client_id: &str, address: PeerAddr);

    /// The publisher has been answered with this reason, or, for QoS 0, there is
    /// nothing left to do for it. `None`: its connection ended first.
    fn answered(&self, reason: Option<ReasonCode>);

    /// It was handed to the store, to be written unless it is elided.
    fn submitted(&self);

    /// It was submitted, and what became of it has not been reported.
    fn awaits_commit(&self) -> bool;

    /// What became of it in the store. Only the first report after
    /// [`Follow::submitted`] counts.
    fn stored(&self, how: Stored);

    /// It stands in the queue of this client.
    fn queued(&self, delivery: DeliveryId, client_id: &str, qos: QoS);

    /// Something happened to a delivery that is under way.
    fn progressed(&self, delivery: DeliveryId, step: Step);

    /// A delivery is over. Only the first report counts.
    fn delivered(&self, delivery: DeliveryId, how: End);
}

/// What the store did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was committed.
    Committed {
        /// What the transaction is known under.
        mark: Option<CommitMark>,
        /// When COMMIT had returned: this report comes later than the acknowledgements
        /// that waited for it.
        at: Instant,
    },
    /// It was settled before it was written (write elision).
    Elided,
    /// The disk had no room for it.
    Refused,
}

/// A step of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// PUBLISH went out, to this address.
    Sent {
        /// Where to.
        to: PeerAddr,
        /// This process had sent it before.
        again: bool,
    },
    /// PUBREC has come.
    Received,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// PUBACK or PUBCOMP has come.
    Acknowledged,
    /// QoS 0: PUBLISH went out.
    Sent,
    /// It did not arrive: the reason, as in the metrics.
    Dropped(&'static str),
}

/// What a tracer calls the transaction of a batch: a trace id and a span id of W3C
/// Trace Context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitMark {
    /// 16 bytes, not all zero.
    pub trace: [u8; 16],
    /// 8 bytes, not all zero.
    pub span: [u8; 8],
}

/// One transaction that was committed.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    /// The number of its batch.
    pub number: CommitNo,
    /// When the writer began with it.
    pub began: Instant,
    /// Until COMMIT had returned.
    pub took: Duration,
    /// Messages that were written.
    pub messages: usize,
    /// Their deliveries.
    pub deliveries: usize,
    /// Topics, properties and payloads of these messages, and of what is retained.
    pub bytes: u64,
}

/// Who wants to know of transactions that hold a message that is traced.
pub trait CommitObserver: Debug + Send + Sync {
    /// Called on the store's thread when those who wait for the commit have been told:
    /// it must be quick and never wait. `None`: nothing was noted.
    fn committed(&self, commit: &Committed) -> Option<CommitMark>;
}

/// Whoever follows a message, in one pointer.
#[derive(Debug)]
pub struct Trace(Box<dyn Follow>);

impl Trace {
    /// For [`super::Message::trace`].
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
