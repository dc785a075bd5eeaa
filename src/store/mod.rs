//! Durable state: batches of changes, committed by one writer thread, and read back at the
//! start and page by page. It handles messages and rows; what a session does with them is
//! decided elsewhere, and there is no network or protocol code here.
//!
//! # Layout
//! - [`Store`] (`handle`) is what the broker calls. `op`, `record`, `dead_letter`: its input
//!   and output.
//! - `queue`: the open batch. `shared`: state shared by the threads and their callers.
//! - `plan`: a batch sorted into one transaction, and what is refused or parked on a full
//!   disk.
//! - `writer`: commits plans, on its own thread. `pages`: reads queues back, on another.
//! - `room`: pure accounts of the disk space.
//! - `engine`: the interface to a storage engine. `sqlite`: its only implementation.
//!
//! Code above `engine` does not depend on SQLite; code below it does not depend on batches.
//!
//! # A batch
//! `submit` appends to the open batch. The writer swaps the whole batch out, gives it the next
//! commit number, commits it, publishes the number and wakes those who wait. While one batch
//! is being synced the next one fills, so batches grow with the load.

mod batch;
mod checkpoint_request;
mod clock;
mod config;
mod dead_letter;
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
pub use dead_letter::{
    DeadLetter, DeadLetterCount, DeadLetterPage, DeadLetterQuery, DeadLetterReply,
    DeadLetterRequest, StoredDeadLetter,
};
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
