//! Dead letters: messages that the other end of a bridge has refused for good, as they are
//! written, read back and counted.
//!
//! A dead letter takes the place of a delivery: its row is inserted in the transaction that
//! deletes the delivery's, so a crash leaves one of the two. Until that commit the delivery
//! keeps its reference on the message, which therefore is neither elided nor deleted.

use std::sync::Arc;

use crate::message::{DeliveryId, Message, WallMillis};
use crate::protocol::QoS;

/// A message that the other end of a bridge has refused for good, to be written.
#[derive(Debug)]
pub struct DeadLetter {
    /// The name of the bridge.
    pub bridge: Arc<str>,
    /// The message, with the topic as it was published here.
    pub message: Arc<Message>,
    /// The row of the delivery that this replaces. It must be neither completed nor
    /// acknowledged by the caller: the store deletes the row, and that of the message if it
    /// was the last delivery. `None`: a delivery without a row.
    pub delivery: Option<DeliveryId>,
    /// The topic as it was sent, if it differs.
    pub remote_topic: Option<Box<str>>,
    /// The QoS as sent.
    pub qos: QoS,
    /// The RETAIN flag as sent.
    pub retain: bool,
    /// When it was refused.
    pub failed_at: WallMillis,
    /// The MQTT 5.0 reason code of the other end; `None` if it gave none.
    pub reason: Option<u8>,
    /// What happened, in words.
    pub detail: Box<str>,
    /// How many dead letters of this bridge are kept, this one included: the oldest ones
    /// beyond are removed with it. With 0 nothing is written, and the delivery is deleted.
    pub keep: u32,
}

impl DeadLetter {
    /// True if it cannot be written yet: its message is neither taken by the store nor refused.
    pub(super) fn awaits_message(&self) -> bool {
        self.delivery.is_some() && self.message.durability.is_undecided()
    }

    /// Approximate number of bytes that its insert takes.
    pub(super) fn bytes(&self) -> u64 {
        /// Bytes of a row and its entry in the index.
        const ROW: usize = 512;
        let texts = self.detail.len() + self.remote_topic.as_ref().map_or(0, |topic| topic.len());
        (ROW + self.bridge.len() + texts + self.message.size()) as u64
    }
}

/// A dead letter that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// Rises with each dead letter, and is never given out again.
    pub id: u64,
    /// See [`DeadLetter::bridge`].
    pub bridge: Box<str>,
    /// See [`DeadLetter::failed_at`].
    pub failed_at: WallMillis,
    /// See [`DeadLetter::reason`].
    pub reason: Option<u8>,
    /// See [`DeadLetter::detail`].
    pub detail: Box<str>,
    /// The topic as it was published here.
    pub topic: Box<str>,
    /// The topic as it was sent, if it differs.
    pub remote_topic: Option<Box<str>>,
    /// The QoS as sent.
    pub qos: QoS,
    /// The RETAIN flag as sent.
    pub retain: bool,
    /// When the message was accepted here.
    pub published_at: WallMillis,
    /// The end of its Message Expiry Interval. A dead letter stays after it.
    pub expires_at: Option<WallMillis>,
    /// Encoded MQTT 5.0 properties, if [`DeadLetterQuery::properties`] requests them.
    pub properties: Vec<u8>,
    /// The beginning of the payload, as long as [`DeadLetterQuery::payload`] requests.
    pub payload: Vec<u8>,
    /// Bytes of the whole payload.
    pub payload_bytes: u64,
}

/// Which dead letters to read: those with larger ids than `after`, in the order of ids.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterQuery {
    /// Of this bridge only.
    pub bridge: Option<Box<str>>,
    /// The id after which to begin; 0 for all.
    pub after: u64,
    /// The most dead letters to return.
    pub limit: usize,
    /// Whether to read properties.
    pub properties: bool,
    /// The most bytes of each payload to read.
    pub payload: usize,
    /// The most bytes of payloads to read in all.
    pub payloads: usize,
}

/// Some dead letters, in the order of ids.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterPage {
    /// At most as many as were requested, and fewer if their texts are long.
    pub letters: Vec<StoredDeadLetter>,
    /// True if there are more after the last one.
    pub more: bool,
}

/// A request for dead letters.
#[derive(Debug)]
pub struct DeadLetterRequest {
    /// What to read.
    pub query: DeadLetterQuery,
    /// Called with the result.
    pub reply: DeadLetterReply,
}

/// Called on the reader's thread; must be quick.
pub struct DeadLetterReply(pub Box<dyn FnOnce(Result<DeadLetterPage, super::PageError>) + Send>);

impl std::fmt::Debug for DeadLetterReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeadLetterReply")
    }
}

/// The number of a bridge's dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterCount {
    /// In the file.
    pub kept: u64,
    /// Removed since the start because there were more than the bridge keeps.
    pub dropped: u64,
}
