//! Dialling over real sockets, with a broker at the other end or a server that misbehaves, and
//! the handshake in memory.

mod files;
mod handshake;
pub(crate) mod support;
mod transports;
