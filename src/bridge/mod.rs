//! Bridges: durable sessions whose client is another broker, which this one dials.
//!
//! [`Bridges`] has all of them and follows the configuration; [`link`] is the task of one, whose
//! attempts `opening.rs` makes, with what `files.rs` reads. How long to wait ([`backoff`]), which
//! version to speak ([`dialect`]), what the configuration means ([`terms`]), and what another
//! broker's configuration means here ([`import`]) are decided without I/O, clocks or randomness.
//!
//! What happens on a connection is not decided here but by the broker, for both roles in one
//! place: `broker/client/`, with `broker/bridge/` for what only bridges have. How a connection
//! is established is in `net/dial/`.

pub mod backoff;
mod bridges;
pub mod dialect;
mod failed;
mod files;
pub mod import;
pub mod link;
mod opening;
pub mod status;
pub mod terms;

#[cfg(test)]
mod tests;

pub use bridges::{BridgeView, Bridges};
pub use files::warnings as file_warnings;
