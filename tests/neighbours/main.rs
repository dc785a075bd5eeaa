//! Promise 11 under attack: clients that send, or leave unread, as much as they can, and
//! neighbours that must not be affected. The real binary with a low memory limit; each
//! scenario has affected an older build.
//!
//! Every scenario runs on a [`stage`]: a pair of clients ([`common::pair`]; QoS 1, 100
//! messages per second) without the [`attack`], with it, and after it, while `/healthz` and the memory of
//! the process are [`watch`]ed. It prints a row of its [`outcome`]: the attacker's cost,
//! memory, the neighbours' latency in milliseconds, and what they lost. It asserts memory,
//! that nothing is lost and that all clients are answered; latency has only a generous bound:
//! whether it is within 100 ms (`/healthz`: 200 ms) is printed as `ok` or `over`.
//!
//! `BROKER_BINARY=target/release/ferrymq` tests a release build. `NEIGHBOUR_SECONDS=N` attacks
//! for longer than 4 s, from 10 s on with more of everything; `NEIGHBOUR_REPORT=1` asserts
//! nothing; `NEIGHBOUR_JSON=FILE` appends each outcome as a line of JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stdout)] // As in tests/common.
#![allow(clippy::cast_precision_loss)] // Figures are only printed.

#[path = "../common/mod.rs"]
mod common;

mod attack;
mod crowd;
mod outcome;
mod stage;
mod watch;
mod wire;

mod fan_out;
mod handshakes;
mod large;
mod passwords;
mod retained;
mod sessions;
mod slow;
mod subscriptions;
