//! Promise 10 where somebody does not wish well: clients that send or leave unread as much
//! as they can, and neighbours who must not notice. The real binary, with little memory
//! allowed; each scenario was seen on an older build.
//!
//! Every scenario is played on a [`stage`]: a pair of neighbours ([`common::pair`]; QoS 1, 100 messages a
//! second) without the [`attack`], with it, and after it, while `/healthz` and the memory
//! of the process are [`watch`]ed. It prints a row of its [`outcome`]: what the attacker
//! spent, memory, the neighbours' latency in milliseconds, what they lost. Asserted are
//! memory, that nothing is lost and that everybody is answered; latency only generously:
//! whether it is within 100 ms (`/healthz`: 200 ms) is printed, as `ok` or `over`.
//!
//! `FERRYMQ_BIN=target/release/ferrymq` tries a release build. `NEIGHBOUR_SECONDS=N` attacks
//! for longer than 4 s, from 10 s on with more of everything; `NEIGHBOUR_REPORT=1` asserts
//! nothing; `NEIGHBOUR_JSON=FILE` appends each outcome as a line of JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stdout)] // As in tests/common.
#![allow(clippy::cast_precision_loss)] // Figures for people.

#[path = "../common/mod.rs"]
mod common;

mod attack;
mod crowd;
mod outcome;
mod stage;
mod watch;
mod wire;

mod fan_out;
mod large;
mod retained;
mod sessions;
mod subscriptions;
