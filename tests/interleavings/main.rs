//! The file keeps the order of decisions under a lock: connections, timers and commits act
//! between the beginning and the end of another connection's step; then `kill -9`; then the
//! file is checked.
//!
//! `step.rs` makes long steps, `crowd.rs` drives many clients; each other file holds scenarios
//! of one kind. Each prints its counts, and fails if nothing interleaved.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stdout)] // As in tests/common.

#[path = "../common/mod.rs"]
mod common;

mod crowd;
mod step;

mod exactly_once;
mod retained;
mod subscriptions;
mod wills;
