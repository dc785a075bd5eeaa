//! Reports commits to those who trace messages.

use std::time::{Duration, Instant};

use crate::message::{CommitMark, CommitNo, CommitObserver, Committed, Stored};
use crate::store::plan::Plan;
use crate::telemetry::AtomicHistogram;

/// Reports the commit of `plan`, if it holds a message that is traced and was written,
/// to `observer`, and its mark to those who follow such messages. Answers the mark.
pub(super) fn tell(
    plan: &Plan,
    observer: &dyn CommitObserver,
    number: CommitNo,
    began: Instant,
    took: Duration,
) -> Option<CommitMark> {
    let followers = plan.messages.iter().filter_map(|message| message.trace.as_deref());
    // Those that were elided have been told so.
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

/// Counts a duration; the scrape names the commit that it belongs to, if that is known.
pub(super) fn record(histogram: &AtomicHistogram, value: Duration, of: Option<CommitMark>) {
    match of {
        Some(mark) => histogram.record_with_exemplar(value, mark.trace, mark.span),
        None => histogram.record_duration(value),
    }
}
