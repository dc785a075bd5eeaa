//! Bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! Strict: whatever a normative statement forbids in a packet is refused here with
//! the reason code that it asks for. Pure: no I/O, no clock, no allocation larger
//! than the packet that was received. Nothing here knows what a broker is.
//!
//! [`Decoder`] reads, [`encode`] writes, each for either side of a connection.
//!
//! # What is `mqttbytes` and what is ours
//! `mqttbytes` reads whatever it can make sense of, so a strict walk of ours (here:
//! `reader`, `varint`, `properties` and the checks in `decode`) goes over every
//! packet before anything else does. Behind it the library
//! - reads and writes SUBSCRIBE, SUBACK, UNSUBACK and CONNACK, and writes
//!   UNSUBSCRIBE: what is rare and right.
//!
//! Ours are
//! - framing, since a malformed frame must never look like an unfinished one;
//! - PUBLISH and the four acknowledgements, which are hot;
//! - CONNECT: MQTT 3.1, binary passwords, empty user names;
//! - DISCONNECT and AUTH, where the library is wrong or has nothing;
//! - reading UNSUBSCRIBE, which it comments on standard error;
//! - topics, whose matching can make it panic.

mod decode;
pub mod encode;
mod error;
mod mqttbytes_codec;
mod packet;
mod properties;
mod reader;
mod reason;
mod topic;
mod types;
mod varint;

#[cfg(test)]
mod tests;

pub use decode::{Decoder, Frame};
pub use error::{DecodeError, Reply};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, LastWill, Packet, Publish, PublishOut, RetainHandling,
    SubAck, Subscribe, SubscribeFilter, SubscriptionOptions, UnsubAck, Unsubscribe, UserProperty,
};
pub use properties::{MessageProperties, check_publish_properties, user_properties};
pub use reason::{ReasonCode, ReasonContext};
pub use topic::{TopicError, TopicFilter, TopicName, level_count, matches};
pub use types::{AckKind, PacketId, QoS, Version};
