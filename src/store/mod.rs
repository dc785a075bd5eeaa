//! The SQLite file: schema, migrations, the writer thread, pages, checkpoints and
//! quota. It knows messages and rows; what a session does with them is decided
//! elsewhere, and no network or protocol exchange happens here.

mod op;
mod record;

pub use op::{Op, PageReply, PageRequest, Submission};
pub use record::{PagedDelivery, Recovered, RecoveredSession, RetainedRecord, SessionRecord, SubscriptionRecord};
