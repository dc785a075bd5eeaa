//! The packets, independent of their encoding. Fields that exist in v5 only are absent or
//! empty for older versions.

use super::hops::Hops;
use super::topic::{TopicFilter, TopicName};
use super::{PacketId, QoS, ReasonCode, Version};

/// A name and value pair. Order and duplicates are kept [MQTT-3.1.3-10].
pub type UserProperty = (String, String);

/// Any packet, as decoded from one whole frame `'a`.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet<'a> {
    /// Client to server.
    Connect(Box<Connect>),
    /// Server to client.
    ConnAck(Box<ConnAck>),
    /// Both ways.
    Publish(Publish<'a>),
    /// Both ways.
    PubAck(Ack),
    /// Both ways.
    PubRec(Ack),
    /// Both ways.
    PubRel(Ack),
    /// Both ways.
    PubComp(Ack),
    /// Client to server.
    Subscribe(Box<Subscribe>),
    /// Server to client.
    SubAck(Box<SubAck>),
    /// Client to server.
    Unsubscribe(Box<Unsubscribe>),
    /// Server to client.
    UnsubAck(Box<UnsubAck>),
    /// Client to server.
    PingReq,
    /// Server to client.
    PingResp,
    /// Both ways in v5, client to server before.
    Disconnect(Box<Disconnect>),
    /// v5 only, both ways.
    Auth(Box<Auth>),
}

/// CONNECT.
#[allow(clippy::struct_excessive_bools)] // One for each flag of the packet.
#[derive(Clone, PartialEq)]
pub struct Connect {
    /// From protocol name and level.
    pub version: Version,
    /// Before v5: the highest bit of the level, with which bridges of Mosquitto and others say
    /// that they are one. The server sends them nothing of their own, and RETAIN as it was
    /// published.
    pub is_bridge: bool,
    /// Clean Start (v5) or Clean Session (3.1.1).
    pub clean_start: bool,
    /// Seconds; 0 is off.
    pub keep_alive: u16,
    /// If it is empty, the server assigns one.
    pub client_id: String,
    /// The message to publish after the connection has ended abnormally.
    pub will: Option<LastWill>,
    /// Any UTF-8 string of the protocol.
    pub username: Option<String>,
    /// Any bytes.
    pub password: Option<Vec<u8>>,
    /// v5 Session Expiry Interval in seconds, as sent.
    pub session_expiry: Option<u32>,
    /// v5 Receive Maximum; absent means 65,535. Never 0.
    pub receive_maximum: Option<u16>,
    /// v5 Maximum Packet Size in bytes. Never 0.
    pub maximum_packet_size: Option<u32>,
    /// v5 Topic Alias Maximum; 0 if absent.
    pub topic_alias_maximum: u16,
    /// v5 Request Response Information.
    pub request_response_information: bool,
    /// v5 Request Problem Information; true if absent.
    pub request_problem_information: bool,
    /// v5.
    pub user_properties: Vec<UserProperty>,
    /// v5 enhanced authentication.
    pub authentication_method: Option<String>,
    /// Present only with a method.
    pub authentication_data: Option<Vec<u8>>,
}

impl Connect {
    /// A CONNECT that asks for nothing: a new session that ends with the connection, without
    /// keep alive.
    pub fn new(version: Version, client_id: impl Into<String>) -> Self {
        Self {
            version,
            is_bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: client_id.into(),
            will: None,
            username: None,
            password: None,
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}

/// The will in a CONNECT.
#[derive(Debug, Clone, PartialEq)]
pub struct LastWill {
    /// The topic name.
    pub topic: TopicName,
    /// The application payload.
    pub payload: Vec<u8>,
    /// The QoS of the will message.
    pub qos: QoS,
    /// Whether the message is retained.
    pub retain: bool,
    /// v5 Will Delay Interval in seconds.
    pub delay: u32,
    /// v5 Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
    /// v5 properties that receivers get, encoded as in [`Publish::properties`].
    pub properties: Vec<u8>,
}

/// CONNACK.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnAck {
    /// True if the server has a session of this client.
    pub session_present: bool,
    /// Before v5 it is encoded as one of the return codes 1 to 5.
    pub reason: ReasonCode,
    /// v5; present only if it differs from the requested one.
    pub session_expiry: Option<u32>,
    /// v5; absent means 65,535.
    pub receive_maximum: Option<u16>,
    /// v5; absent means 2. Only 0 and 1 are valid.
    pub maximum_qos: Option<QoS>,
    /// v5; absent means true.
    pub retain_available: Option<bool>,
    /// v5; absent means no limit below the protocol's.
    pub maximum_packet_size: Option<u32>,
    /// v5; for a client without a client id.
    pub assigned_client_id: Option<String>,
    /// v5; absent means 0.
    pub topic_alias_maximum: Option<u16>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
    /// v5; absent means true.
    pub wildcard_subscription_available: Option<bool>,
    /// v5; absent means true.
    pub subscription_identifiers_available: Option<bool>,
    /// v5; absent means true.
    pub shared_subscription_available: Option<bool>,
    /// v5, in seconds; replaces the value that the client requested.
    pub server_keep_alive: Option<u16>,
    /// v5.
    pub response_information: Option<String>,
    /// v5.
    pub server_reference: Option<String>,
    /// v5.
    pub authentication_method: Option<String>,
    /// v5.
    pub authentication_data: Option<Vec<u8>>,
}

/// PUBLISH as received. It borrows from the frame, so that the hot path does not allocate.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish<'a> {
    /// True if this may be a repeat.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// From a client: retain the message. To a client: the message was retained.
    pub retain: bool,
    /// Present if and only if QoS > 0.
    pub packet_id: Option<PacketId>,
    /// A valid topic name (no wildcard, no U+0000, at most 65,535 bytes). Empty only in v5,
    /// together with an alias.
    pub topic: &'a str,
    /// v5 Topic Alias; never 0.
    pub topic_alias: Option<u16>,
    /// v5 Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
    /// v5 properties that receivers get unchanged (payload format indicator, content type,
    /// response topic, correlation data, user properties), encoded, without the length in
    /// front.
    pub properties: std::borrow::Cow<'a, [u8]>,
    /// v5 Subscription Identifiers, received in the client role only.
    pub subscription_ids: Vec<u32>,
    /// Application payload.
    pub payload: &'a [u8],
}

/// PUBLISH to be sent. It borrows, so that each receiver's copy is made only in its write
/// buffer.
#[derive(Debug, Clone, Copy)]
pub struct PublishOut<'a> {
    /// True if this may be a repeat.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// As the receiver sees it.
    pub retain: bool,
    /// Present if and only if QoS > 0.
    pub packet_id: Option<PacketId>,
    /// What a bridge puts in front of the topic; empty for others.
    pub topic_prefix: &'a str,
    /// Empty, like its prefix, if the alias replaces it.
    pub topic: &'a str,
    /// v5.
    pub topic_alias: Option<u16>,
    /// v5; the remaining seconds.
    pub expiry: Option<u32>,
    /// v5.
    pub subscription_ids: &'a [u32],
    /// v5, to other brokers only.
    pub hops: Option<Hops<'a>>,
    /// v5, see [`Publish::properties`].
    pub properties: &'a [u8],
    /// Application payload.
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack {
    /// The identifier of the exchange.
    pub packet_id: PacketId,
    /// Always success before v5.
    pub reason: ReasonCode,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// The options of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscriptionOptions {
    /// The maximum QoS of deliveries.
    pub qos: QoS,
    /// v5: the client does not get its own messages.
    pub no_local: bool,
    /// v5: deliveries keep the RETAIN flag as published.
    pub retain_as_published: bool,
    /// v5.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a new subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// At each SUBSCRIBE.
    #[default]
    Always = 0,
    /// Only if the subscription did not exist.
    IfNew = 1,
    /// Never.
    Never = 2,
}

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribeFilter {
    /// Valid; may be a shared subscription.
    pub filter: TopicFilter,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// SUBSCRIBE. Never without a filter [MQTT-3.8.3-2].
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// Repeated in the SUBACK.
    pub packet_id: PacketId,
    /// v5; 1..=268,435,455.
    pub subscription_id: Option<u32>,
    /// In the order received. An invalid filter is a malformed packet or a protocol error of
    /// the whole packet.
    pub filters: Vec<SubscribeFilter>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// SUBACK.
#[derive(Debug, Clone, PartialEq)]
pub struct SubAck {
    /// From the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter. Before v5 failures are encoded as 0x80.
    pub reasons: Vec<ReasonCode>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// UNSUBSCRIBE. Never without a filter [MQTT-3.10.3-2].
#[derive(Debug, Clone, PartialEq)]
pub struct Unsubscribe {
    /// Repeated in the UNSUBACK.
    pub packet_id: PacketId,
    /// In the order received.
    pub filters: Vec<TopicFilter>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// UNSUBACK.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsubAck {
    /// From the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// v5; one for each filter. Not encoded before v5.
    pub reasons: Vec<ReasonCode>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// DISCONNECT. It has no fields before v5.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Disconnect {
    /// 0x00 for normal, 0x04 with will, or an error.
    pub reason: ReasonCode,
    /// v5, client to server.
    pub session_expiry: Option<u32>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5, server to client.
    pub server_reference: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// AUTH.
#[derive(Clone, PartialEq, Default)]
pub struct Auth {
    /// 0x00, 0x18 or 0x19.
    pub reason: ReasonCode,
    /// Required unless the reason is 0x00 and there are no properties.
    pub method: Option<String>,
    /// Binary.
    pub data: Option<Vec<u8>>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}
