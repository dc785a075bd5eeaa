//! The packets themselves, free of encoding. What only v5 has is absent or empty
//! for the older versions.

use super::topic::{TopicFilter, TopicName};
use super::{PacketId, QoS, ReasonCode, Version};

/// A name and value pair; order and repeats are kept [MQTT-3.1.3-10].
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
#[derive(Debug, Clone, PartialEq)]
pub struct Connect {
    /// From protocol name and level.
    pub version: Version,
    /// Clean Start (v5) or Clean Session (3.1.1).
    pub clean_start: bool,
    /// Seconds; 0 is off.
    pub keep_alive: u16,
    /// May be empty: the server then assigns one.
    pub client_id: String,
    /// What to publish if the client is gone.
    pub will: Option<LastWill>,
    /// UTF-8 string of the protocol.
    pub username: Option<String>,
    /// Binary: any bytes.
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
    /// Only with a method.
    pub authentication_data: Option<Vec<u8>>,
}

/// The will in a CONNECT.
#[derive(Debug, Clone, PartialEq)]
pub struct LastWill {
    /// Where to.
    pub topic: TopicName,
    /// What.
    pub payload: Vec<u8>,
    /// How.
    pub qos: QoS,
    /// Kept for later subscribers.
    pub retain: bool,
    /// v5 Will Delay Interval in seconds.
    pub delay: u32,
    /// v5 Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
    /// v5 properties that go on to receivers, encoded as in
    /// [`Publish::properties`].
    pub properties: Vec<u8>,
}

/// CONNACK.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnAck {
    /// The server has state of this client.
    pub session_present: bool,
    /// For the older versions the encoder maps it to their return codes 1 to 5.
    pub reason: ReasonCode,
    /// v5, only if it differs from what was asked.
    pub session_expiry: Option<u32>,
    /// v5, absent means 65,535.
    pub receive_maximum: Option<u16>,
    /// v5, absent means 2. Only 0 or 1 may stand here.
    pub maximum_qos: Option<QoS>,
    /// v5, absent means true.
    pub retain_available: Option<bool>,
    /// v5, absent means no limit but the protocol's.
    pub maximum_packet_size: Option<u32>,
    /// v5, for a client that came without an id.
    pub assigned_client_id: Option<String>,
    /// v5, absent means 0.
    pub topic_alias_maximum: Option<u16>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
    /// v5, absent means true.
    pub wildcard_subscription_available: Option<bool>,
    /// v5, absent means true.
    pub subscription_identifiers_available: Option<bool>,
    /// v5, absent means true.
    pub shared_subscription_available: Option<bool>,
    /// v5, seconds, overrides what the client asked for.
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

/// PUBLISH as received; borrows from the frame, so that the hot path allocates
/// nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish<'a> {
    /// A repeat of an earlier attempt.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// To be retained, or (to a client) was retained.
    pub retain: bool,
    /// Present exactly if QoS > 0.
    pub packet_id: Option<PacketId>,
    /// Checked as a topic name (no wildcard, no U+0000, at most 65,535 bytes);
    /// empty only in v5 together with an alias.
    pub topic: &'a str,
    /// v5 Topic Alias; never 0.
    pub topic_alias: Option<u16>,
    /// v5 Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
    /// v5 properties that go on to receivers unchanged (payload format indicator,
    /// content type, response topic, correlation data, user properties), encoded,
    /// without the length in front.
    pub properties: std::borrow::Cow<'a, [u8]>,
    /// v5 Subscription Identifiers: only in the client role.
    pub subscription_ids: Vec<u32>,
    /// Application payload.
    pub payload: &'a [u8],
}

/// PUBLISH to be sent. Borrowed, so that each receiver's copy is made in one go in
/// its write buffer.
#[derive(Debug, Clone, Copy)]
pub struct PublishOut<'a> {
    /// A repeat.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// As the receiver is to see it.
    pub retain: bool,
    /// Present exactly if QoS > 0.
    pub packet_id: Option<PacketId>,
    /// Empty if the alias alone names it.
    pub topic: &'a str,
    /// v5.
    pub topic_alias: Option<u16>,
    /// v5, seconds that are left.
    pub expiry: Option<u32>,
    /// v5.
    pub subscription_ids: &'a [u32],
    /// v5, see [`Publish::properties`].
    pub properties: &'a [u8],
    /// Application payload.
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack {
    /// Which PUBLISH it is about.
    pub packet_id: PacketId,
    /// Success for the older versions.
    pub reason: ReasonCode,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// What a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscriptionOptions {
    /// The most that it wants.
    pub qos: QoS,
    /// v5: do not send me my own.
    pub no_local: bool,
    /// v5: keep the RETAIN flag as published.
    pub retain_as_published: bool,
    /// v5.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a new subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// At each subscribe.
    #[default]
    Always = 0,
    /// Only if the subscription did not exist.
    IfNew = 1,
    /// Never.
    Never = 2,
}

/// One line of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribeFilter {
    /// Validated, shared or not.
    pub filter: TopicFilter,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// SUBSCRIBE. Never without a filter [MQTT-3.8.3-2].
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// To be repeated in the SUBACK.
    pub packet_id: PacketId,
    /// v5, 1..=268,435,455.
    pub subscription_id: Option<u32>,
    /// In the order received. A filter that is no valid topic filter is a
    /// malformed or protocol error for the whole packet.
    pub filters: Vec<SubscribeFilter>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// SUBACK.
#[derive(Debug, Clone, PartialEq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter; for the older versions failures become 0x80.
    pub reasons: Vec<ReasonCode>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// UNSUBSCRIBE. Never without a filter [MQTT-3.10.3-2].
#[derive(Debug, Clone, PartialEq)]
pub struct Unsubscribe {
    /// To be repeated in the UNSUBACK.
    pub packet_id: PacketId,
    /// In the order received.
    pub filters: Vec<TopicFilter>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// UNSUBACK.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// v5: one for each filter. Not encoded for the older versions.
    pub reasons: Vec<ReasonCode>,
    /// v5.
    pub reason_string: Option<String>,
    /// v5.
    pub user_properties: Vec<UserProperty>,
}

/// DISCONNECT. Without any field for the older versions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Disconnect {
    /// 0x00 normal, 0x04 with will, or why.
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
#[derive(Debug, Clone, PartialEq, Default)]
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
