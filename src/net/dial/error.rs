//! Why a connection was not established: what, where, and what to do. Keys of the
//! configuration are named as they are in the caller's table, such as `tls.ca_file` in
//! `[bridges.NAME]`.

use std::fmt::{self, Write as _};
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::tls::TlsFault;
use crate::net::tls::FileProblem;
use crate::net::websocket::ConnectError as WebSocketError;
use crate::outbound::{AuthoritiesError, ConnectError};
use crate::protocol::{DecodeError, ReasonCode};

/// What a time limit has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// TLS.
    Tls,
    /// The opening handshake of a WebSocket.
    WebSocket,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS handshake",
            Self::WebSocket => "WebSocket handshake",
        })
    }
}

/// Why there is no stream on which MQTT can begin.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No TCP connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// There are no authorities to verify the server with.
    #[error("tls.ca_file: {0}")]
    Authorities(#[from] AuthoritiesError),
    /// The client certificate or its key cannot be used.
    #[error("{key}: {}: {problem}", path.display())]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// Of a client certificate and its key, one is missing.
    #[error("{0} is not set: a client certificate needs both files")]
    Unset(&'static str),
    /// The host cannot be in a certificate.
    #[error("\"{0}\" is no name that a certificate can have; set tls.server_name")]
    ServerName(String),
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(#[from] TlsFault),
    /// The server did not accept a WebSocket.
    #[error("{0}")]
    WebSocket(#[from] WebSocketError),
    /// The deadline passed.
    #[error("the {0} was not complete within mqtt.connect_timeout")]
    TimedOut(Step),
}

/// Why a connection was not established on an open stream.
#[derive(Debug, Error)]
pub enum DialError {
    /// The stream broke before CONNACK.
    #[error("the connection broke before CONNACK: {0}")]
    Lost(io::Error),
    /// The stream ended, or was reset, before a byte of CONNACK. Many servers refuse in this
    /// way what they could name with a reason code.
    #[error("the server closed the connection instead of sending CONNACK")]
    Closed,
    /// The server does not accept the client's certificate, which TLS 1.3 tells only after the
    /// handshake.
    #[error("{0}")]
    Tls(#[from] TlsFault),
    /// `mqtt.connect_timeout` has passed.
    #[error("the server sent no CONNACK within mqtt.connect_timeout")]
    Timeout,
    /// The server refused the connection.
    #[error("the server refused the connection: {}", refusal(.0))]
    Refused(Box<Refused>),
    /// The answer is not a valid packet.
    #[error("the server's answer cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// A packet other than CONNACK came first [MQTT-3.2.0-1].
    #[error("the server sent another packet before CONNACK")]
    Unexpected,
    /// This broker refused the session.
    #[error("this broker has no session for the connection: {} (0x{:02x})", .0.description(), *.0 as u8)]
    NoSession(ReasonCode),
}

/// What a CONNACK says that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason code. Return codes of 3.1.1 are shown as their counterparts.
    pub reason: ReasonCode,
    /// The reason string.
    pub text: Option<String>,
    /// The server that it names instead (v5, 4.13).
    pub server_reference: Option<String>,
}

fn refusal(refused: &Refused) -> String {
    let Refused { reason, text, server_reference } = refused;
    let mut line = format!("{} (0x{:02x})", reason.description(), *reason as u8);
    if let Some(text) = text {
        let _ = write!(line, ", \"{text}\"");
    }
    if let Some(other) = server_reference {
        let _ = write!(line, "; it names another server: {other}");
    }
    line
}

impl DialError {
    /// From an error of the stream before CONNACK.
    pub(super) fn from_io(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        if let Some(fault) = TlsFault::of(&error) {
            return Self::Tls(fault);
        }
        match error.kind() {
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe => Self::Closed,
            _ => Self::Lost(error),
        }
    }
}
