//! TLS of listeners: certificates, client certificates, revocation, and the encrypted stream.
//! Sockets, PROXY headers and WebSocket are the callers'; which user a certificate stands for
//! is decided in [`crate::auth`].
//!
//! - [`TlsContext`]: the files of one listener, loaded and replaced as a whole.
//! - [`TlsStream`]: a stream after the handshake, with the [`ClientIdentity`].
//! - [`TlsRefusal`]: why a handshake failed, for a counter and a log line.
//!
//! The dialling end has its TLS in `net/dial/tls.rs`, which shares the reading of files, the
//! turns of a handshake and the buffer limit.
//!
//! TLS 1.2 and 1.3 by rustls and ring. No renegotiation, no compression and no early data,
//! which could be replayed (RFC 8446, 8).

mod charged;
mod client_verifier;
mod context;
mod error;
pub(in crate::net) mod handshake;
mod hello;
mod identity;
mod material;
mod open_clients;
pub(in crate::net) mod pem;
mod refusal;
mod server_config;
pub(in crate::net) mod stream;
mod subject;
#[cfg(test)]
pub(crate) mod tests;
pub(in crate::net) mod validity;

pub use context::{PreparedTls, TlsContext, TlsReload};
pub use error::{FileProblem, TlsError};
pub use identity::ClientIdentity;
pub use material::TlsExpiry;
pub use open_clients::OpenClient;
pub use refusal::{RefusalReason, TlsRefusal};
pub use stream::TlsStream;
