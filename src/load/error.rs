//! Errors between a client and a broker.

use std::io;
use std::net::SocketAddr;

use crate::protocol::{DecodeError, ReasonCode, TopicError};

/// Why a client could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No connection came about.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The broker's.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// A connection that stood is gone.
    #[error("the broker's connection broke: {0}")]
    Broken(#[from] io::Error),
    /// CONNECT, SUBSCRIBE or PUBLISH was answered with a refusal.
    #[error("the broker refused {what}: {}", reason.description())]
    Refused {
        /// Which packet.
        what: &'static str,
        /// Its answer.
        reason: ReasonCode,
    },
    /// The broker sent bytes that are no MQTT.
    #[error("the broker sent a packet that is not allowed: {0}")]
    Malformed(#[from] DecodeError),
    /// The broker sent what does not fit what was sent to it.
    #[error("the broker sent {0}, which does not fit what it was sent")]
    Unexpected(&'static str),
    /// The end was asked for.
    #[error("interrupted")]
    Interrupted,
    /// A topic of ours is none.
    #[error("not a topic: {0}")]
    Topic(#[from] TopicError),
}

impl LoadError {
    /// True if a new connection may mend it.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Connect { .. })
    }
}
