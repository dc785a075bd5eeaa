//! Handshakes over memory with rustls as the client, and certificates by rcgen.

mod access;
mod alpn;
mod files;
mod identity;
mod memory;
mod reload;
pub(crate) mod support;
mod turns;
