//! Code shared by the integration tests: the broker as a process that can be killed, a client
//! that sends no acknowledgements by itself, publishers and subscribers that count their
//! messages, and a random number generator whose seed is printed.

#![allow(dead_code)] // Each test binary uses a part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stdout)]
#![allow(clippy::cast_precision_loss)] // Figures are only printed.

pub mod broker;
pub mod churn;
pub mod drain;
pub mod files;
pub mod journal;
pub mod mosquitto;
pub mod packets;
pub mod pair;
pub mod prefill;
pub mod publisher;
pub mod raw;
pub mod rng;
pub mod seeds;
pub mod subscriber;
pub mod tls;
pub mod waits;
pub mod websocket;
