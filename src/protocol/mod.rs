//! Bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! Strict: whatever a normative statement forbids in a packet is refused here with
//! the reason code that it asks for. Pure: no I/O, no clock, no allocation larger
//! than the packet that was received. Nothing here knows what a broker is.

mod packet;
mod reason;
mod types;

pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, LastWill, Packet, Publish, PublishOut, RetainHandling,
    SubAck, Subscribe, SubscribeFilter, SubscriptionOptions, UnsubAck, Unsubscribe, UserProperty,
};
pub use reason::ReasonCode;
pub use types::{PacketId, QoS, Version};
