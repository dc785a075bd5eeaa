//! What was decided first under a lock is never overtaken in the file: connections,
//! timers and commits that come between the beginning and the end of another one's turn,
//! then `kill -9`, then what the file has kept.
//!
//! `step.rs` makes steps that take long, `crowd.rs` is many clients on one thread; each
//! other file holds scenarios of one kind. Each prints lines with what it counted, and fails
//! if nothing came in between.

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
