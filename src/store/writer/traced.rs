//! Reports commits of traced messages.

use std::time::{Duration, Instant};

use crate::message::{CommitMark, CommitNo, CommitObserver, Committed, Stored};
use crate::store::plan::Plan;
use crate::telemetry::AtomicHistogram;

/// If `plan` wrote a traced message, reports the commit to `observer` and the observer's mark
/// to the followers of those messages. Returns the mark.
pub(super) fn tell(
    plan: &Plan,
    observer: &dyn CommitObserver,
    number: CommitNo,
    began: Instant,
    took: Duration,
) -> Option<CommitMark> {
    let followers = plan.messages.iter().filter_map(|message| message.trace.as_deref());
    // The followers of elided messages have been notified already.
    let mut written = followers.filter(|trace| trace.awaits_commit()).peekable();
    written.peek()?;
    let mark = observer.committed(&Committed {
        number,
        began,
        took,
        messages: plan.written,
        deliveries: plan.deliveries.len(),
        bytes: plan.payload_bytes(),
    });
    let at = began + took;
    written.for_each(|trace| trace.stored(Stored::Committed { mark, at }));
    mark
}

/// Records a duration, with the mark of its commit as an exemplar if there is one.
pub(super) fn record(histogram: &AtomicHistogram, value: Duration, of: Option<CommitMark>) {
    match of {
        Some(mark) => histogram.record_with_exemplar(value, mark.trace, mark.span),
        None => histogram.record_duration(value),
    }
}
