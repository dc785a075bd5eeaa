//! Errors in received bytes, and the reason code for the peer.

use super::{ReasonCode, Version};

/// A frame was refused; the connection has to be closed [MQTT-4.13.1-1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({})", reason.description())]
pub struct DecodeError {
    /// The reason code that the specification asks for.
    pub reason: ReasonCode,
    /// Which rule was broken, for the log.
    pub what: &'static str,
    /// What may be sent before closing.
    pub reply: Reply,
}

/// What a server or client may send before it closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reply {
    /// Nothing: 3.x has no packet for it, or the version is not known yet.
    #[default]
    Close,
    /// A CONNACK in this version, carrying the error's reason.
    ConnAck(Version),
    /// A DISCONNECT with the error's reason: v5, after CONNECT.
    Disconnect,
}

impl DecodeError {
    pub(super) const fn new(reason: ReasonCode, what: &'static str) -> Self {
        Self { reason, what, reply: Reply::Close }
    }

    /// Bytes that cannot be parsed according to the specification.
    pub(super) const fn malformed(what: &'static str) -> Self {
        Self::new(ReasonCode::MalformedPacket, what)
    }

    /// Well-formed, but not allowed there or then.
    pub(super) const fn protocol(what: &'static str) -> Self {
        Self::new(ReasonCode::ProtocolError, what)
    }

    pub(super) const fn with_reply(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }
}
