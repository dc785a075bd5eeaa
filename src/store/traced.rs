//! What is told of a commit to those who trace messages.

use std::time::{Duration, Instant};

use super::plan::Plan;
use crate::message::{CommitNo, CommitObserver, Committed, Stored};

/// Reports the commit of `plan`, if it holds a message that is traced and was written,
/// to `observer`, and its mark to those who follow such messages.
pub(super) fn tell(
    plan: &Plan,
    observer: &dyn CommitObserver,
    number: CommitNo,
    began: Instant,
    took: Duration,
) {
    let followers = plan.messages.iter().filter_map(|message| message.trace.as_deref());
    // Those that were elided have been told so.
    let mut written = followers.filter(|trace| trace.awaits_commit()).peekable();
    if written.peek().is_none() {
        return;
    }
    let on_disk = plan.messages.iter().filter(|message| message.durability.is_on_disk(number));
    let mark = observer.committed(&Committed {
        number,
        began,
        took,
        messages: plan.written,
        deliveries: plan.deliveries.len(),
        bytes: on_disk.map(|message| message.size() as u64).sum(),
    });
    written.for_each(|trace| trace.stored(Stored::Committed(mark)));
}
