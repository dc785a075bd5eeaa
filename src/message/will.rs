//! The will message of a session.

use crate::protocol::QoS;

/// A will that was not published yet.
#[derive(Debug, Clone, PartialEq)]
pub struct WillRecord {
    /// The topic name.
    pub topic: Box<str>,
    /// Encoded v5 properties, as in [`super::Message::properties`].
    pub properties: Vec<u8>,
    /// The application payload.
    pub payload: Vec<u8>,
    /// The QoS of the will message.
    pub qos: QoS,
    /// Whether the message is retained.
    pub retain: bool,
    /// Will Delay Interval: seconds after the end of the connection.
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
