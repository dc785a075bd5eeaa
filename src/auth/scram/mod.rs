//! SCRAM-SHA-256 (RFC 5802, RFC 7677) for the enhanced authentication of MQTT 5.0: the file of
//! stored keys, and the server's side of an exchange.
//!
//! Nothing here knows packets or connections. A client proves that it has the password without
//! sending it, and the broker proves that it has the stored keys:
//!
//! | Packet | Authentication data | Made or read by |
//! | --- | --- | --- |
//! | CONNECT | client-first-message | [`Exchange::begin`] |
//! | AUTH 0x18 | server-first-message | [`Exchange::begin`] |
//! | AUTH 0x18 | client-final-message | [`Exchange::finish`] |
//! | CONNACK, or AUTH 0x00 | server-final-message | [`Exchange::finish`] |
//!
//! The client derives keys from the password, which is the costly part. The broker computes a
//! few HMACs, so an exchange may run on a thread that serves connections and needs no slot.
//!
//! SASLprep (RFC 4013) is limited to ASCII, which it leaves unchanged. Names and passwords with
//! control characters, which it prohibits, are refused. Names of other characters are compared
//! as they are sent. `ferrymq passwd --scram` takes no other passwords, because some clients
//! normalise them and others do not.
//!
//! Channel binding (`SCRAM-SHA-256-PLUS`) is not offered.

mod exchange;
mod file;
mod keys;
mod message;
mod users;

#[cfg(test)]
pub(crate) mod client;
#[cfg(test)]
mod tests;

pub use exchange::{Exchange, Nonce, Success};
pub use file::{ScramError, ScramFile};
pub use keys::{DEFAULT_ITERATIONS, ITERATIONS, KeysError, ScramKeys};
pub use message::Refusal;
pub use users::ScramUsers;

/// The name of the mechanism, as it is the Authentication Method of MQTT 5.0.
pub const MECHANISM: &str = "SCRAM-SHA-256";
