//! An operator's work on the database: inspect, check, back up, restore, purge. Each function
//! takes a path and returns numbers; nothing here knows the command line or prints.
//!
//! # Layout
//! - `access`: opening to read, beside a running broker or without one. `holder`: the process
//!   that has it open. `watch`: progress, and the request to stop. `error`.
//! - `status`, `queues` with `queue_of`: the contents, both read in `steps`.
//! - `check`: whether the database is sound.
//! - `copy`: a consistent copy, which `backup` and `restore` put in place with `place`.
//! - `purge`: deletes abandoned sessions. `dead_letters`: lists, exports and deletes what bridges
//!   could not deliver.
//!
//! # Beside a running broker
//! A read blocks no commit, but it delays checkpoints. So long reads use many short
//! transactions, unless they need one state of the database, as `check` and `copy` do.

mod access;
mod backup;
mod check;
mod copy;
mod dead_letters;
mod error;
mod holder;
mod place;
mod purge;
mod queue_of;
mod queues;
mod restore;
mod status;
mod steps;
mod watch;

pub use access::Access;
pub use backup::{Backup, BackupOptions, backup};
pub use check::{Finding, Report, Rows, Severity, check};
pub use dead_letters::{
    DeadLetterExport, DeadLetterLine, DeadLetterPurge, DeadLetterPurgeOptions, DeadLetters,
    PurgedBridge, dead_letters, export_dead_letters, purge_dead_letters,
};
pub use error::MaintenanceError;
pub use holder::{Holder, holder};
pub use purge::{Purge, PurgeOptions, Purged, purge};
pub use queue_of::{QueueDetail, QueuedMessage, SubscriptionLine, queue_of};
pub use queues::{QueueLine, QueueOrder, Queues, queues};
pub use restore::{Restore, RestoreOptions, restore};
pub use status::{LastStop, OldestMessage, Sessions, Status, Volume, age, status};
pub use watch::{Phase, Step, Watch};

pub(crate) use crate::store::follow;
