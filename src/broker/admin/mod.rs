//! Operator functions of a running broker: sessions, their queues and subscriptions, retained
//! messages, and publishing.
//!
//! - `walk`: iterates over sessions in short steps. `page_limit`: the size of a page.
//! - `sessions`, `queue`, `subscriptions`, `retained`: read.
//! - `dead_letters`: what bridges could not deliver. `bans`: banned addresses. `end`: ends
//!   connections and sessions. `publish`. `until_committed`: waits for the disk.
//!
//! These are plain functions and plain data. Routes and access are in `http::api`. Locks are
//! taken in the broker's order: registry, session, router. A list takes each lock for a few
//! hundred entries at a time and yields in between, so it is not a snapshot: what changes
//! meanwhile may be missing, but each entry that does not change is listed exactly once.

mod bans;
mod dead_letters;
mod end;
mod page_limit;
mod publish;
mod queue;
mod retained;
mod sessions;
mod subscriptions;
mod until_committed;
mod walk;

pub use bans::{BanInfo, Unbanned};
pub use end::{Ended, NotConnected};
pub use publish::{Announced, Announcement, Unannounced};
pub use queue::{QueuePage, QueuedDelivery, Stage};
pub use retained::{RetainedPage, Unretained};
pub use sessions::{Order, Place, SessionFilter, SessionInfo};
pub use subscriptions::{SubscriptionFilter, SubscriptionInfo};
pub use until_committed::NotCommitted;
