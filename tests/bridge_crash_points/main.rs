//! QoS 2 through a bridge while the edge broker crashes just before and just after each commit
//! of an exchange with the remote broker, as `tests/qos2_crash_points.rs` does for clients:
//! exactly once at both ends. The remote broker is played packet by packet.
//!
//! The binary is built with the feature `failpoints`; `FERRYMQ_FAILPOINT` says where it aborts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod incoming;
mod outgoing;
mod refused;
mod stand_in;
