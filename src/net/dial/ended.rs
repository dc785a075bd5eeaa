//! How a connection that was dialled has ended.

use std::fmt;
use std::time::Duration;

use crate::broker::client::Close;
use crate::net::other_end::CLOSED;
use crate::protocol::{Disconnect, ReasonCode};

/// The end of a connection on which CONNACK was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// By whom, and why.
    pub end: End,
    /// The time from CONNACK to the end.
    pub lasted: Duration,
}

/// Who has ended a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The caller has asked for it. The server was sent a DISCONNECT.
    Stopped,
    /// The server sent DISCONNECT.
    ByServer {
        /// Its reason code.
        reason: ReasonCode,
        /// Its reason string.
        text: Option<String>,
        /// The server that it names instead (v5, 4.13).
        server_reference: Option<String>,
    },
    /// The transport has closed or broken, or the server did not answer.
    Lost(&'static str),
    /// This broker has ended it: the server broke a rule or was silent, the session was taken
    /// over, or the broker shuts down.
    ByBroker(ReasonCode, &'static str),
}

impl End {
    /// From how the task of the connection ended; `farewell` is the server's DISCONNECT.
    pub(in crate::net) fn of(close: &Close, farewell: Option<Disconnect>) -> Self {
        if let Some(Disconnect { reason, reason_string, server_reference, .. }) = farewell {
            return Self::ByServer { reason, text: reason_string, server_reference };
        }
        match close {
            Close::Lost(CLOSED) => Self::Lost("the server closed the connection"),
            Close::Lost(why) => Self::Lost(why),
            Close::Error(reason, why) => Self::ByBroker(*reason, why),
            Close::Left(_) => Self::Lost("the server sent DISCONNECT"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the connection was to end"),
            Self::ByServer { reason, text, server_reference } => {
                let (name, code) = (reason.description(), *reason as u8);
                write!(f, "the server sent DISCONNECT: {name} (0x{code:02x})")?;
                if let Some(text) = text {
                    write!(f, ", \"{text}\"")?;
                }
                match server_reference {
                    Some(other) => write!(f, "; it names another server: {other}"),
                    None => Ok(()),
                }
            }
            Self::Lost(why) => f.write_str(why),
            Self::ByBroker(reason, why) => {
                write!(f, "this broker ended it: {why} (0x{:02x})", *reason as u8)
            }
        }
    }
}
