//! Bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! Strict: a packet that violates a normative statement is refused with the reason code that
//! the statement requires. Pure: no I/O, no clock, and no allocation larger than the received
//! packet. It does not depend on the broker.
//!
//! [`Decoder`] decodes and [`encode`] encodes, each for either side of a connection.
//!
//! # The role of `mqttbytes`
//! The library accepts invalid packets, so every packet is first validated here (by `reader`,
//! `varint`, `properties` and the checks in `decode`). After that the library
//! - decodes and encodes SUBSCRIBE, SUBACK, UNSUBACK and CONNACK, and encodes UNSUBSCRIBE:
//!   packets that are infrequent and that it handles correctly.
//!
//! Implemented here are
//! - framing, because a malformed frame must never be taken for an incomplete one;
//! - PUBLISH and the four acknowledgements, which are the hot path;
//! - CONNECT: MQTT 3.1, binary passwords, empty user names;
//! - DISCONNECT and AUTH, which the library handles wrongly or not at all;
//! - decoding of UNSUBSCRIBE, for which the library prints to standard error;
//! - topics, because the library's matching can panic.

mod decode;
pub mod encode;
mod error;
pub mod hops;
mod mqttbytes_codec;
mod packet;
mod properties;
mod reader;
mod reason;
mod redacted;
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
pub use redacted::Redacted;
pub use topic::{TopicError, TopicFilter, TopicName, level_count, matches};
pub use types::{AckKind, PacketId, QoS, Version};
