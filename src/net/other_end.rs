//! Who is at the other end of a connection, and how its end is told.

use std::io;

use crate::broker::client::Client;
use crate::protocol::{Decoder, Disconnect, Packet};

/// The other end has closed the connection, in the way of one that was not lost.
pub(super) const CLOSED: &str = "the client closed without DISCONNECT";

/// Who is at the other end.
#[derive(Debug)]
pub(super) enum OtherEnd {
    /// It has sent CONNECT.
    Client,
    /// It was sent CONNECT, and may have sent this DISCONNECT.
    Server(Option<Box<Disconnect>>),
}

impl OtherEnd {
    /// Why reading failed. What a layer above TCP has to say about it is logged.
    pub(super) fn failed(&self, client: &Client, error: &io::Error) -> &'static str {
        match (error.kind(), self) {
            (io::ErrorKind::InvalidData, _) => {}
            // TLS without its `close_notify`.
            (io::ErrorKind::UnexpectedEof, Self::Server(_)) => return CLOSED,
            _ => return "the connection was reset",
        }
        let (client_id, detail) = (&**client.client_id(), error.to_string());
        tracing::info!(client_id, detail, "invalid TLS record or WebSocket frame");
        match self {
            Self::Client => "what the client sent is no valid TLS or WebSocket",
            Self::Server(_) => "what the server sent is no valid TLS or WebSocket",
        }
    }

    /// Keeps the DISCONNECT of a server after which the connection has to end. It is decoded
    /// once more, so that other packets are not looked at twice.
    pub(super) fn keep_farewell(&mut self, decoder: &Decoder, frame: &[u8]) {
        if let Self::Server(farewell) = self
            && let Ok(Packet::Disconnect(disconnect)) = decoder.decode(frame)
        {
            *farewell = Some(disconnect);
        }
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// The DISCONNECT that was kept.
    pub(super) fn take_farewell(&mut self) -> Option<Disconnect> {
        match self {
            Self::Client => None,
            Self::Server(farewell) => farewell.take().map(|it| *it),
        }
    }
}
