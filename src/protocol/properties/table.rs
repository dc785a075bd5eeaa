//! The table of section 2.2.2.2: identifier, type and packets.

/// Property identifiers, section 2.2.2.2.
#[allow(missing_docs)]
pub mod id {
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_ID: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const MAXIMUM_QOS: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub const WILDCARD_AVAILABLE: u8 = 0x28;
    pub const SUBSCRIPTION_ID_AVAILABLE: u8 = 0x29;
    pub const SHARED_AVAILABLE: u8 = 0x2A;
}

/// Packets with properties, one bit each.
pub mod of {
    #![allow(missing_docs)]
    pub const CONNECT: u16 = 1;
    pub const WILL: u16 = 1 << 1;
    pub const CONNACK: u16 = 1 << 2;
    pub const PUBLISH: u16 = 1 << 3;
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK have the same two properties.
    pub const ACK: u16 = 1 << 4;
    pub const SUBSCRIBE: u16 = 1 << 5;
    pub const UNSUBSCRIBE: u16 = 1 << 6;
    pub const DISCONNECT: u16 = 1 << 7;
    pub const AUTH: u16 = 1 << 8;
    pub const ANY: u16 = u16::MAX;
}

/// The type and range of a property's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A byte that is 0 or 1.
    Flag,
    U16,
    U16NonZero,
    U32,
    U32NonZero,
    /// A variable byte integer that is not 0.
    VarintNonZero,
    Alias,
    Text,
    /// A string that is a topic name [MQTT-3.3.2-14].
    Topic,
    Binary,
    Pair,
}

/// Identifier, type and packets.
const TABLE: [(u8, Kind, u16); 27] = [
    (id::PAYLOAD_FORMAT, Kind::Flag, of::PUBLISH | of::WILL),
    (id::MESSAGE_EXPIRY, Kind::U32, of::PUBLISH | of::WILL),
    (id::CONTENT_TYPE, Kind::Text, of::PUBLISH | of::WILL),
    (id::RESPONSE_TOPIC, Kind::Topic, of::PUBLISH | of::WILL),
    (id::CORRELATION_DATA, Kind::Binary, of::PUBLISH | of::WILL),
    (id::SUBSCRIPTION_ID, Kind::VarintNonZero, of::PUBLISH | of::SUBSCRIBE),
    (id::SESSION_EXPIRY, Kind::U32, of::CONNECT | of::CONNACK | of::DISCONNECT),
    (id::ASSIGNED_CLIENT_ID, Kind::Text, of::CONNACK),
    (id::SERVER_KEEP_ALIVE, Kind::U16, of::CONNACK),
    (id::AUTHENTICATION_METHOD, Kind::Text, of::CONNECT | of::CONNACK | of::AUTH),
    (id::AUTHENTICATION_DATA, Kind::Binary, of::CONNECT | of::CONNACK | of::AUTH),
    (id::REQUEST_PROBLEM_INFORMATION, Kind::Flag, of::CONNECT),
    (id::WILL_DELAY, Kind::U32, of::WILL),
    (id::REQUEST_RESPONSE_INFORMATION, Kind::Flag, of::CONNECT),
    (id::RESPONSE_INFORMATION, Kind::Text, of::CONNACK),
    (id::SERVER_REFERENCE, Kind::Text, of::CONNACK | of::DISCONNECT),
    (id::REASON_STRING, Kind::Text, of::CONNACK | of::ACK | of::DISCONNECT | of::AUTH),
    (id::RECEIVE_MAXIMUM, Kind::U16NonZero, of::CONNECT | of::CONNACK),
    (id::TOPIC_ALIAS_MAXIMUM, Kind::U16, of::CONNECT | of::CONNACK),
    (id::TOPIC_ALIAS, Kind::Alias, of::PUBLISH),
    (id::MAXIMUM_QOS, Kind::Flag, of::CONNACK),
    (id::RETAIN_AVAILABLE, Kind::Flag, of::CONNACK),
    (id::USER_PROPERTY, Kind::Pair, of::ANY),
    (id::MAXIMUM_PACKET_SIZE, Kind::U32NonZero, of::CONNECT | of::CONNACK),
    (id::WILDCARD_AVAILABLE, Kind::Flag, of::CONNACK),
    (id::SUBSCRIPTION_ID_AVAILABLE, Kind::Flag, of::CONNACK),
    (id::SHARED_AVAILABLE, Kind::Flag, of::CONNACK),
];

/// The same table, indexed by identifier.
const BY_ID: [Option<(Kind, u16)>; 64] = by_id();

#[allow(clippy::indexing_slicing)] // Evaluated at compile time: an invalid index does not compile.
const fn by_id() -> [Option<(Kind, u16)>; 64] {
    let mut found = [None; 64];
    let mut at = 0;
    while at < TABLE.len() {
        let (id, kind, packets) = TABLE[at];
        found[id as usize] = Some((kind, packets));
        at += 1;
    }
    found
}

/// The type of a property, and the packets in which it is valid.
#[inline]
pub fn find(id: u8) -> Option<(Kind, u16)> {
    BY_ID.get(usize::from(id)).copied().flatten()
}
