#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! What must be on disk before a packet is sent, with commits stepped by hand.

mod access;
mod admin;
mod admission;
mod bridge_refusals;
mod bridges;
mod dead_letters;
mod disk_room;
mod elision;
mod exactly_once;
mod full;
mod full_state;
mod gates;
mod in_flight;
mod kept_in_flight;
mod log_ins;
mod memory;
mod ownership;
mod pass_through;
mod publish_rate;
mod resumed_briefly;
mod retained_order;
mod shared_members;
mod spans;
mod stored_wills;
mod too_large;
mod tracing;
mod tracing_rules;
mod unread;
mod waiting;
mod world;
