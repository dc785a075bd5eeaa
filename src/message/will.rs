//! The will message of a session.

use crate::protocol::QoS;

/// A will that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct WillRecord {
    /// Where to.
    pub topic: Box<str>,
    /// Encoded v5 properties, as in [`super::Message::properties`].
    pub properties: Vec<u8>,
    /// What.
    pub payload: Vec<u8>,
    /// How.
    pub qos: QoS,
    /// Kept for later subscribers.
    pub retain: bool,
    /// Seconds after the end of the connection.
    pub delay: u32,
    /// Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
}

impl WillRecord {
    /// Bytes that it takes in memory.
    pub fn size(&self) -> u64 {
        let parts = self.topic.len() + self.properties.capacity() + self.payload.capacity();
        (size_of::<Self>() + parts) as u64
    }
}
