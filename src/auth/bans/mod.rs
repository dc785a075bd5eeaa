//! Addresses that may not connect for a while, and limits per address: `[bans]`,
//! `limits.max_connections_per_address` and `limits.connection_rate_per_address`.
//!
//! - [`Admission`]: the decisions. Pure: no clock, no sockets; time is passed in.
//!   `ban_list` and `recent` are its tables.
//! - [`AdmissionControl`]: the same behind a lock, shared by all listeners. [`Admitted`] counts
//!   an open connection for as long as it lives.
//!
//! Addresses are [`Source`](crate::peer::Source)s: one IPv4 address, or one IPv6 /64. Clients of
//! a Unix socket and addresses in `bans.exempt` are neither limited nor banned, nor counted.
//!
//! # What counts as a failed log-in
//! A CONNECT that is refused with 0x86 or 0x87 ([`is_failure`]), also without credentials:
//! trying a broker without a password is the first thing that a scanner does. A re-authentication
//! by AUTH that is refused with these. A handshake that
//! failed for the client's certificate. Not: a broker that is busy or cannot verify (0x88,
//! 0x89), which is no fault of the client, and a client without a CONNECT, which may be a probe.
//! Failures are counted from the first one on, for `bans.window`; a log-in that succeeds does not
//! clear them, or whoever knows one password could guess others without end.
//!
//! # Bounds
//! A flood from 2^64 sources must not grow the tables, nor clear what they hold against others.
//!
//! | Table | Bound | What gives way |
//! | --- | --- | --- |
//! | open connections by source | the number of open connections | nothing: it is exact |
//! | rates and failures of recent sources | [`RECENT`] | those that nothing was heard of for longest, which are expired first |
//! | bans | [`BANNED`], and [`BANNED_BY_OPERATOR`] of an operator's | the ban that ends first, never an operator's |
//!
//! To evict his own ban, an attacker needs `bans.max_failures` failures from each of [`BANNED`]
//! other sources within its time; who has so many sources is not stopped by one ban either.

mod admission;
mod ban_list;
mod limits;
mod recent;
mod shared;

#[cfg(test)]
mod tests;

pub use crate::telemetry::BanReason;
pub use admission::{Admission, Refused};
pub use ban_list::{Ban, BanPlace, TooManyBans};
pub use limits::AdmissionLimits;
pub use shared::{AdmissionControl, Admitted};

use crate::protocol::ReasonCode;

/// Sources whose rate and failures are remembered: 48 bytes each, and as many again unused in
/// hash tables. Ten megabytes at most.
pub const RECENT: usize = 100_000;
/// Bans for failed log-ins: 100 bytes each.
pub const BANNED: usize = 100_000;
/// Bans by operators: more than anyone writes by hand.
pub const BANNED_BY_OPERATOR: usize = 10_000;

/// True if a CONNECT that authentication refused with `reason` counts as a failed log-in.
pub fn is_failure(reason: ReasonCode) -> bool {
    matches!(reason, ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized)
}
