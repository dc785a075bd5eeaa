//! The SQLite file: schema, migrations, the writer thread, pages, checkpoints and
//! quota. It knows messages and rows; what a session does with them is decided
//! elsewhere, and no network or protocol exchange happens here.
//!
//! # Layout
//! - `handle`: [`Store`], the face. `queue`: the open batch. `shared`: what the
//!   threads and their callers tell each other.
//! - `open`, `lock`, `schema`, `check`, `clock`, `recover`, `ids`: the start.
//! - `writer` with `batch`, `plan`, `statements`: one transaction for each batch.
//!   `thread` is the loop around it, `housekeeping` with `checkpoint` and `space`
//!   what it does between batches, `on_demand` what somebody asks it for, `displaced`
//!   what it does when its files are moved away.
//! - `full`, `fullness`, `parked`, `give_up`: a disk without room. `allowance`: room that is
//!   promised to what grows the file.
//! - `traced`: what is told of messages that are traced.
//! - `reader`: pages of queues. `references`: who still needs a message.
//!
//! # A batch
//! `submit` appends to the open batch; the writer swaps it out whole, gives it the
//! next commit number, commits, publishes the number and rings those who wait.
//! While one batch is being synced the next one fills, so the busier the broker,
//! the larger its batches.

mod allowance;
mod batch;
mod check;
mod checkpoint;
mod clock;
mod config;
mod displaced;
mod error;
mod failpoint;
mod forecast;
mod full;
mod fullness;
mod give_up;
mod handle;
mod housekeeping;
mod ids;
mod latest;
mod lock;
mod metrics;
mod on_demand;
mod op;
mod open;
mod parked;
mod plan;
mod queue;
mod reader;
mod record;
mod recover;
mod references;
mod schema;
mod shared;
mod space;
mod statements;
mod thread;
mod traced;
mod writer;
mod written;

pub use allowance::{Claimant, Promise};
pub use clock::{ClockMark, ClockReading, TOLERANCE as CLOCK_TOLERANCE};
pub use config::{Checkpoints, DurabilityMode, StoreConfig};
pub use error::{OpenError, PageError, SubmitError};
pub use handle::{PoisonHook, Store};
pub(crate) use lock::{LockFile, beside, follow, give_to_owner_of, locked_by, open_to_lock};
pub use metrics::StoreMetrics;
pub use on_demand::{CheckpointReply, Checkpointed};
pub use op::{Change, Op, PageReply, PageRequest, Submission};
pub use record::{
    PagedDelivery, Recovered, RecoveredSession, RetainedRecord, SessionRecord, SubscriptionRecord,
};
pub use references::References;
pub(crate) use schema::{APPLICATION_ID, identify, is_clean, new_in_memory, pragma};
pub use shared::StoreState;
pub(crate) use space::directory_of;

#[cfg(test)]
mod tests;
