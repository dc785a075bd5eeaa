#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! What must be on disk before what leaves, with commits stepped by hand.

mod elision;
mod exactly_once;
mod full;
mod gates;
mod pass_through;
mod spans;
mod tracing;
mod tracing_rules;
mod in_flight;
mod world;
