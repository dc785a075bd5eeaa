//! Connections that this broker dials: from an address to MQTT on a stream, from CONNECT to the
//! end of the connection. When to dial, and what follows from an end, is decided by the caller
//! ([`crate::bridge::link`]).
//!
//! - `endpoint.rs`: look-up, TCP, TLS, WebSocket. `tls.rs`: files and verification.
//! - `handshake.rs`: CONNECT and CONNACK, then the session at this broker.
//! - `ended.rs`, `error.rs`: how it ends, and why it did not begin.

mod ended;
mod endpoint;
mod error;
mod handshake;
mod tls;

#[cfg(test)]
pub(crate) mod tests;

pub use ended::{End, Ended};
pub use endpoint::{Endpoint, open};
pub use error::{DialError, OpenError, Step};
pub use handshake::{Dial, LoggedIn, dial_stream, log_in};
pub use tls::{ClientTls, TlsFault};
