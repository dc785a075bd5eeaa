//! Operator functions of a running broker: sessions, their queues and subscriptions, retained
//! messages, and publishing.
//!
//! - `walk`: the sessions in short steps. `room`: how long a page gets.
//! - `sessions`, `queue`, `subscriptions`, `retained`: looking.
//! - `end`: ending connections and sessions. `publish`. `settled`: waiting for the disk.
//!
//! Here stand plain functions and plain data; how they are reached, and who may, is the
//! business of `http::api`. The order of locks is that of the broker: registry, session,
//! router. A list holds each of them for a few hundred entries at a time and lets other
//! work pass in between, so it is no snapshot: what changes meanwhile may be seen or not,
//! but what does not is in it exactly once.

mod end;
mod page_limit;
mod publish;
mod queue;
mod retained;
mod sessions;
mod subscriptions;
mod until_committed;
mod walk;

pub use end::{Ended, NotConnected};
pub use publish::{Announced, Announcement, Unannounced};
pub use queue::{QueuePage, QueuedDelivery, Stage};
pub use retained::{RetainedPage, Unretained};
pub use sessions::{Order, Place, SessionFilter, SessionInfo};
pub use subscriptions::{SubscriptionFilter, SubscriptionInfo};
pub use until_committed::NotCommitted;
