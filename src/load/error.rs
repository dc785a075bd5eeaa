//! Errors of a client's connection to a broker.

use std::io;
use std::net::SocketAddr;

use crate::protocol::{DecodeError, ReasonCode, TopicError};

/// Why a client failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The connection could not be established.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The broker's address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// An established connection has broken.
    #[error("the broker's connection broke: {0}")]
    Broken(#[from] io::Error),
    /// CONNECT, SUBSCRIBE or PUBLISH was answered with a refusal.
    #[error("the broker refused {what}: {}", reason.description())]
    Refused {
        /// The refused packet.
        what: &'static str,
        /// The broker's reason code.
        reason: ReasonCode,
    },
    /// The broker sent bytes that are not MQTT.
    #[error("the broker sent a packet that is not allowed: {0}")]
    Malformed(#[from] DecodeError),
    /// The broker sent a packet that does not match the client's requests.
    #[error("protocol violation by the broker: {0}")]
    Unexpected(&'static str),
    /// A stop was requested.
    #[error("interrupted")]
    Interrupted,
    /// A topic or filter of the caller is invalid.
    #[error("not a topic: {0}")]
    Topic(#[from] TopicError),
}

impl LoadError {
    /// True if a new connection may succeed.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Connect { .. })
    }
}
