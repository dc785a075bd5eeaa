//! Durable state: batches of changes, committed by one writer thread, and read back at
//! the start and page by page. It knows messages and rows; what a session does with them is
//! decided elsewhere, and no network or protocol exchange happens here.
//!
//! # Layout
//! - [`Store`] (`handle`) is what the broker calls. `op`, `record`: what goes in and comes out.
//! - `queue`: the open batch. `shared`: what the threads and their callers tell each other.
//! - `plan`: a batch, sorted into one transaction; what is refused or waits on a full disk.
//! - `writer`: commits plans, on a thread of its own. `pages`: reads queues back, on another.
//! - `room`: pure accounts of the room on the disk.
//! - `engine`: what all of this needs of a storage engine. `sqlite`: the one there is.
//!
//! Above `engine` nothing knows of SQLite, and below it nothing knows of batches.
//!
//! # A batch
//! `submit` appends to the open batch; the writer swaps it out whole, gives it the
//! next commit number, commits, publishes the number and rings those who wait.
//! While one batch is being synced the next one fills, so the busier the broker,
//! the larger its batches.

mod batch;
mod checkpoint_request;
mod clock;
mod config;
mod engine;
mod error;
mod failpoint;
mod handle;
mod metrics;
mod op;
mod pages;
mod plan;
mod queue;
mod record;
mod references;
mod room;
mod shared;
mod sqlite;
mod writer;

pub use checkpoint_request::{CheckpointReply, Checkpointed};
pub use clock::{ClockMark, ClockReading, TOLERANCE as CLOCK_TOLERANCE};
pub use config::{Checkpoints, DurabilityMode, StoreConfig};
pub use error::{OpenError, PageError, SubmitError};
pub use handle::Store;
pub use metrics::StoreMetrics;
pub use op::{Change, Op, PageReply, PageRequest, Submission};
pub use record::{
    PagedDelivery, Recovered, RecoveredSession, RetainedRecord, SessionRecord, SubscriptionRecord,
};
pub use references::References;
pub use room::allowance::{Claimant, Promise};
pub use shared::{PoisonHook, StoreState};
pub(crate) use sqlite::{
    APPLICATION_ID, LockFile, beside, directory_of, follow, give_to_owner_of, identify, is_clean,
    locked_by, new_in_memory, open_to_lock, pragma,
};

#[cfg(test)]
mod tests;
