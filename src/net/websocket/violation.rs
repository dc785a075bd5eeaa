//! What a peer may do wrong on an open WebSocket, and the status that it is told.

use thiserror::Error;

/// A fault of the peer, for which the connection is closed. It is the source of the
/// [`std::io::ErrorKind::InvalidData`] that reading returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// MQTT is in binary messages only [MQTT-6.0.0-1].
    #[error("a text message: MQTT over WebSocket is binary; let the client send binary messages")]
    Text,
    /// A client has to mask (RFC 6455, section 5.1).
    #[error("a frame without a mask: a WebSocket client has to mask what it sends")]
    Unmasked,
    /// A server must not mask (RFC 6455, section 5.1).
    #[error("a masked frame: a WebSocket server must not mask what it sends")]
    Masked,
    /// No extension was agreed upon (RFC 6455, section 5.2).
    #[error("a frame with reserved bits: no WebSocket extension was negotiated")]
    ReservedBits,
    /// An opcode that is not defined (RFC 6455, section 5.2).
    #[error("a frame with a reserved opcode")]
    Opcode,
    /// A continuation without a beginning (RFC 6455, section 5.4).
    #[error("a continuation frame without a message")]
    Continuation,
    /// A message within a message (RFC 6455, section 5.4).
    #[error("a message began before the one before was complete")]
    Interleaved,
    /// A control frame in fragments, or of more than 125 bytes (RFC 6455, section 5.5).
    #[error("a control frame in fragments or of more than 125 bytes")]
    ControlFrame,
    /// A close frame with a status that must not be sent, or half of one (section 7.4).
    #[error("a close frame with an invalid status")]
    CloseStatus,
    /// A close frame whose reason is not UTF-8 (section 5.5.1).
    #[error("a close frame whose reason is not UTF-8")]
    CloseReason,
    /// More than the limit in one message.
    #[error("a message of more than {max} bytes: the limit follows mqtt.max_packet_size")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
}

impl Violation {
    /// The status of the close frame (RFC 6455, section 7.4.1).
    pub fn status(self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::CloseReason => 1007,
            Self::TooLarge { .. } => 1009,
            _ => 1002,
        }
    }
}
