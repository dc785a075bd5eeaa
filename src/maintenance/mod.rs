//! An operator's work on the database: looking into it, checking, saving, restoring,
//! clearing away. Each function is given a path and answers with numbers; nothing
//! here knows a command line, and nothing is printed.
//!
//! # Layout
//! - `access`: opening to read, beside a running broker or without one. `holder`:
//!   who has it open. `watch`: progress out, the wish to stop in. `error`.
//! - `status`, `queues` with `queue_of`: what is in it; both read in `steps`.
//! - `check`: whether it is sound.
//! - `copy`: a consistent copy, which `backup` and `restore` put in its place with
//!   `place`.
//! - `purge`: sessions that nobody comes back for.
//!
//! # Beside a running broker
//! Reading blocks no commit. It holds up checkpoints, so what may take long is read
//! in many short transactions, unless it has to be one state of the database: `check`
//! and `copy`.

mod access;
mod backup;
mod check;
mod copy;
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
pub use error::MaintenanceError;
pub use holder::{Holder, holder};
pub use purge::{Purge, PurgeOptions, Purged, purge};
pub use queue_of::{QueueDetail, QueuedMessage, SubscriptionLine, queue_of};
pub use queues::{QueueLine, QueueOrder, Queues, queues};
pub use restore::{Restore, RestoreOptions, restore};
pub use status::{LastStop, OldestMessage, Sessions, Status, Volume, age, status};
pub use watch::{Phase, Step, Watch};

pub(crate) use crate::store::follow;
