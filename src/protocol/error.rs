//! Errors in received bytes, with the reason code for the peer.

use super::{ReasonCode, Version};

/// A frame was refused; the connection has to be closed [MQTT-4.13.1-1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({})", reason.description())]
pub struct DecodeError {
    /// The reason code that the specification requires.
    pub reason: ReasonCode,
    /// The rule that was violated, for the log.
    pub what: &'static str,
    /// What may be sent before the connection is closed.
    pub reply: Reply,
}

/// What a server or client may send before it closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reply {
    /// Nothing: 3.x has no packet for it, or the version is not known yet.
    #[default]
    Close,
    /// A CONNACK in this version, with the error's reason code.
    ConnAck(Version),
    /// A DISCONNECT with the error's reason code: v5, after CONNECT.
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

    /// Well-formed, but not permitted there or then.
    pub(super) const fn protocol(what: &'static str) -> Self {
        Self::new(ReasonCode::ProtocolError, what)
    }

    pub(super) const fn with_reply(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }
}
