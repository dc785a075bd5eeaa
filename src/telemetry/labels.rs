//! Label values. Client ids, topics and user names are never among them, since each would add
//! a series to a scrape.

use super::Label;
use crate::protocol::{Packet, QoS, ReasonCode, Version};

macro_rules! label {
    (
        $(#[$doc:meta])*
        $name:ident($label:literal) { $($(#[$value_doc:meta])* $value:ident => $text:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$value_doc])* $value,)+
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
        }
    };
}

pub(super) use label;

label! {
    /// A packet's type.
    PacketType("type") {
        /// CONNECT
        Connect => "connect",
        /// CONNACK
        ConnAck => "connack",
        /// PUBLISH
        Publish => "publish",
        /// PUBACK
        PubAck => "puback",
        /// PUBREC
        PubRec => "pubrec",
        /// PUBREL
        PubRel => "pubrel",
        /// PUBCOMP
        PubComp => "pubcomp",
        /// SUBSCRIBE
        Subscribe => "subscribe",
        /// SUBACK
        SubAck => "suback",
        /// UNSUBSCRIBE
        Unsubscribe => "unsubscribe",
        /// UNSUBACK
        UnsubAck => "unsuback",
        /// PINGREQ
        PingReq => "pingreq",
        /// PINGRESP
        PingResp => "pingresp",
        /// DISCONNECT
        Disconnect => "disconnect",
        /// AUTH
        Auth => "auth",
    }
}

label! {
    /// Why a message did not reach a receiver that subscribed to it.
    DropReason("reason") {
        /// The session's queue was full (`overflow = "drop-..."`, or QoS 0).
        QueueFull => "queue_full",
        /// Its Message Expiry Interval passed while it waited.
        Expired => "expired",
        /// QoS 0, and the client does not read fast enough.
        SlowConsumer => "slow_consumer",
        /// Larger than the receiver's Maximum Packet Size.
        TooLarge => "too_large",
        /// `limits.max_memory` was reached.
        MemoryLimit => "memory_limit",
        /// Its session ended or expired before it was delivered.
        SessionEnded => "session_ended",
        /// The receiver is not authorized to receive it.
        NotAuthorized => "not_authorized",
        /// The database or its volume is full.
        DiskFull => "disk_full",
        /// The limit of retained messages was reached.
        RetainedLimit => "retained_limit",
        /// The other end of a bridge refused it for good.
        Refused => "refused",
    }
}

label! {
    /// Why a message was refused to its publisher.
    RefuseReason("reason") {
        /// A receiver's queue is full and `overflow = "refuse"`.
        QueueFull => "queue_full",
        /// The database or its volume is full.
        DiskFull => "disk_full",
        /// `limits.max_memory` was reached.
        MemoryLimit => "memory_limit",
        /// `mqtt.max_retained_messages` or `mqtt.max_retained_bytes` was reached.
        RetainedLimit => "retained_limit",
        /// The publisher is not authorized to publish to this topic.
        NotAuthorized => "not_authorized",
    }
}

label! {
    /// The method that decided about a client.
    AuthMethod("method") {
        /// None did: the client is anonymous, or nobody knows it.
        Nobody => "none",
        /// Its certificate.
        Certificate => "certificate",
        /// A token.
        Jwt => "jwt",
        /// The password file.
        Password => "password",
        /// An HTTP server.
        Http => "http",
        /// SCRAM-SHA-256.
        Scram => "scram",
    }
}

label! {
    /// The result of an authentication.
    AuthResult("result") {
        /// Accepted under a user name.
        Accepted => "accepted",
        /// Accepted without a user name.
        Anonymous => "anonymous",
        /// Unknown user, wrong password, or invalid token.
        BadCredentials => "bad_credentials",
        /// Anonymous clients are not allowed, or something that is required is missing.
        NotAuthorized => "not_authorized",
        /// Too many log-ins were waiting to be verified, or could not be.
        Busy => "busy",
    }
}

label! {
    /// What an access rule decides about.
    AclAction("action") {
        /// To publish, also by a will.
        Publish => "publish",
        /// To subscribe.
        Subscribe => "subscribe",
        /// To receive a message.
        Deliver => "deliver",
    }
}

label! {
    /// Why a connection was closed before it had a session.
    RejectReason("reason") {
        /// `max_connections` of the listener or of all was reached.
        ConnectionLimit => "connection_limit",
        /// `session.max_sessions` was reached.
        SessionLimit => "session_limit",
        /// No PROXY header that is valid and from a proxy in `trusted_proxies`.
        ProxyProtocol => "proxy_protocol",
        /// The TLS handshake failed.
        Tls => "tls",
        /// The WebSocket upgrade was refused.
        WebSocket => "websocket",
        /// No CONNECT within `mqtt.connect_timeout`, which TLS and WebSocket share.
        ConnectTimeout => "connect_timeout",
        /// Authentication failed.
        Authentication => "authentication",
        /// Too many passwords were waiting to be verified: `auth.max_verifications`.
        Busy => "busy",
        /// The will's topic or its Retain flag is not allowed.
        Will => "will",
        /// The disk has no space for a new durable session.
        DiskFull => "disk_full",
        /// The client id is not allowed.
        ClientId => "client_id",
        /// The broker is starting, shutting down or has lost its database.
        Unavailable => "unavailable",
        /// The address is banned: `[bans]`.
        Banned => "banned",
        /// `limits.max_connections_per_address` was reached.
        AddressLimit => "address_limit",
        /// `limits.connection_rate_per_address` was exceeded.
        AddressRate => "address_rate",
    }
}

label! {
    /// Why an address is banned.
    #[derive(PartialOrd, Ord)]
    BanReason("reason") {
        /// Too many failed log-ins: `bans.max_failures`.
        Failures => "failures",
        /// An operator said so.
        Operator => "operator",
    }
}

label! {
    /// How a client violated the protocol.
    ProtocolErrorKind("reason") {
        /// Bytes that are not a valid packet.
        Malformed => "malformed_packet",
        /// A packet that is not allowed in this state or form.
        Protocol => "protocol_error",
        /// A protocol version other than 3.1, 3.1.1 or 5.0.
        Version => "unsupported_version",
        /// Larger than `mqtt.max_packet_size`.
        PacketTooLarge => "packet_too_large",
        /// More than `mqtt.receive_maximum` unacknowledged messages.
        ReceiveMaximum => "receive_maximum_exceeded",
        /// A topic alias that was never set or is too large.
        TopicAlias => "topic_alias_invalid",
        /// An invalid topic name or filter.
        Topic => "topic_invalid",
        /// Any other reason code.
        Other => "other",
    }
}

impl Label for QoS {
    const NAME: &'static str = "qos";
    const ALL: &'static [Self] = &[Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::AtMostOnce => "0",
            Self::AtLeastOnce => "1",
            Self::ExactlyOnce => "2",
        }
    }
}

impl Label for Version {
    const NAME: &'static str = "version";
    const ALL: &'static [Self] = &[Self::V31, Self::V311, Self::V5];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        }
    }
}

impl From<&Packet<'_>> for PacketType {
    fn from(packet: &Packet<'_>) -> Self {
        match packet {
            Packet::Connect(_) => Self::Connect,
            Packet::ConnAck(_) => Self::ConnAck,
            Packet::Publish(_) => Self::Publish,
            Packet::PubAck(_) => Self::PubAck,
            Packet::PubRec(_) => Self::PubRec,
            Packet::PubRel(_) => Self::PubRel,
            Packet::PubComp(_) => Self::PubComp,
            Packet::Subscribe(_) => Self::Subscribe,
            Packet::SubAck(_) => Self::SubAck,
            Packet::Unsubscribe(_) => Self::Unsubscribe,
            Packet::UnsubAck(_) => Self::UnsubAck,
            Packet::PingReq => Self::PingReq,
            Packet::PingResp => Self::PingResp,
            Packet::Disconnect(_) => Self::Disconnect,
            Packet::Auth(_) => Self::Auth,
        }
    }
}

impl From<ReasonCode> for ProtocolErrorKind {
    fn from(reason: ReasonCode) -> Self {
        match reason {
            ReasonCode::MalformedPacket => Self::Malformed,
            ReasonCode::ProtocolError => Self::Protocol,
            ReasonCode::UnsupportedProtocolVersion => Self::Version,
            ReasonCode::PacketTooLarge => Self::PacketTooLarge,
            ReasonCode::ReceiveMaximumExceeded => Self::ReceiveMaximum,
            ReasonCode::TopicAliasInvalid => Self::TopicAlias,
            ReasonCode::TopicNameInvalid | ReasonCode::TopicFilterInvalid => Self::Topic,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order<L: Label>() -> bool {
        L::ALL.iter().enumerate().all(|(index, label)| label.index() == index)
    }

    #[test]
    fn every_label_value_has_a_place_of_its_own() {
        assert!(in_order::<PacketType>() && in_order::<DropReason>() && in_order::<AuthResult>());
        assert!(in_order::<AuthMethod>());
        assert!(in_order::<RejectReason>() && in_order::<BanReason>());
        assert!(in_order::<QoS>() && in_order::<Version>() && in_order::<ProtocolErrorKind>());
    }
}
