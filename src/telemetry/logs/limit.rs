//! Limits similar log lines: an attacker who connects ten thousand times a second must not
//! fill the volume, nor hide other events.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_appender::non_blocking::ErrorCounter;

/// The burst size, in seconds of the rate.
const BURST: f64 = 5.0;
/// How often suppressed lines are reported.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// The target of these reports, which are not limited: there are at most as many as there are
/// kinds of events.
const REPORTS: &str = module_path!();

/// The target of lines that record an operator's actions. They are not limited, so that one
/// deletion cannot be hidden behind others.
pub const AUDIT: &str = "ferrymq::audit";

/// A token bucket for each call site that logs.
#[derive(Debug)]
pub struct LogLimit {
    /// Lines per second; 0: no limit.
    rate: f64,
    kinds: Mutex<HashMap<Identifier, Kind>>,
    suppressed: AtomicU64,
    /// The counter of lines that standard error did not accept.
    lost: OnceLock<ErrorCounter>,
    /// The number of lost lines that have been reported.
    told: AtomicUsize,
}

/// The events of one call site.
#[derive(Debug)]
struct Kind {
    /// The message of its first event.
    message: String,
    tokens: f64,
    filled: Instant,
    /// Suppressed lines since the last report.
    left_out: u64,
}

impl LogLimit {
    /// Allows `rate` lines per second and kind of event, after a burst of five times as many;
    /// 0 for no limit.
    pub fn new(rate: u32) -> Self {
        let kinds = Mutex::new(HashMap::new());
        let (suppressed, told) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { rate: f64::from(rate), kinds, suppressed, lost: OnceLock::new(), told }
    }

    /// Events suppressed since the start.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// Sets the counter of lines that could not be written.
    pub(super) fn watch(&self, lost: ErrorCounter) {
        let _ = self.lost.set(lost);
    }

    /// Lines since the start that standard error did not accept in time.
    pub fn lost(&self) -> usize {
        self.lost.get().map_or(0, ErrorCounter::dropped_lines)
    }

    /// Whether the event is to be written. Only levels that are on by default are limited:
    /// with `debug`, every packet is wanted. Allocates at the first event of a kind.
    pub(super) fn admit(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let unlimited = [REPORTS, AUDIT].contains(&metadata.target());
        if self.rate == 0.0 || *metadata.level() > Level::INFO || unlimited {
            return true;
        }
        self.admit_at(metadata.callsite(), Instant::now(), || message_of(event))
    }

    fn admit_at(&self, site: Identifier, now: Instant, message: impl FnOnce() -> String) -> bool {
        let full = self.rate * BURST;
        let mut kinds = self.kinds.lock();
        let kind = kinds.entry(site).or_insert_with(|| Kind {
            message: message(),
            tokens: full,
            filled: now,
            left_out: 0,
        });
        let passed = now.saturating_duration_since(kind.filled).as_secs_f64();
        kind.tokens = (kind.tokens + passed * self.rate).min(full);
        kind.filled = now;
        if kind.tokens >= 1.0 {
            kind.tokens -= 1.0;
            return true;
        }
        kind.left_out += 1;
        drop(kinds);
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Logs how many lines of each kind were suppressed since the last report.
    pub fn report(&self) {
        for (like, count) in self.take_left_out() {
            tracing::warn!(count, like, "{count} similar lines were left out");
        }
        let lost = self.lost();
        // This line may be lost as well, and is then included in the next report.
        let told = self.told.swap(lost, Ordering::Relaxed);
        if lost > told {
            let count = lost - told;
            tracing::warn!(
                count,
                "{count} lines were lost: standard error is read too slowly, or not at all"
            );
        }
    }

    fn take_left_out(&self) -> Vec<(String, u64)> {
        let mut kinds = self.kinds.lock();
        kinds
            .values_mut()
            .filter(|kind| kind.left_out > 0)
            .map(|kind| (kind.message.clone(), std::mem::take(&mut kind.left_out)))
            .collect()
    }

    /// Reports every few seconds, for ever.
    pub async fn keep_reporting(&self) {
        let mut ticks = tokio::time::interval(REPORT_EVERY);
        loop {
            ticks.tick().await;
            self.report();
        }
    }
}

/// The event's message without its fields, truncated to 80 characters.
fn message_of(event: &Event<'_>) -> String {
    struct Message(String);

    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                self.0 = format!("{value:?}").chars().take(80).collect();
            }
        }
    }

    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}

#[cfg(test)]
mod tests {
    use tracing::Callsite;
    use tracing::subscriber::Interest;

    use super::*;

    struct Site;

    impl Callsite for Site {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &tracing::Metadata<'_> {
            unreachable!("never registered")
        }
    }

    fn admitted(limit: &LogLimit, now: Instant, events: u64) -> usize {
        let site = Identifier(&Site);
        (0..events).filter(|_| limit.admit_at(site.clone(), now, || "flood".to_owned())).count()
    }

    #[test]
    fn a_burst_passes_then_the_rate() {
        let (limit, start) = (LogLimit::new(10), Instant::now());
        assert_eq!(admitted(&limit, start, 1000), 50);
        assert_eq!(admitted(&limit, start + Duration::from_secs(1), 1000), 10);
        assert_eq!(limit.suppressed(), 950 + 990);
        // After a quiet time the whole burst is available again, but never more.
        assert_eq!(admitted(&limit, start + Duration::from_hours(1), 1000), 50);
    }

    #[test]
    fn what_was_left_out_is_told_once() {
        let (limit, start) = (LogLimit::new(1), Instant::now());
        admitted(&limit, start, 105);
        assert_eq!(limit.take_left_out(), vec![("flood".to_owned(), 100)]);
        assert_eq!(limit.take_left_out(), vec![]);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_no_tokens() {
        let earlier = Instant::now();
        let (limit, start) = (LogLimit::new(1), earlier + Duration::from_secs(10));
        assert_eq!(admitted(&limit, start, 10), 5);
        assert_eq!(admitted(&limit, earlier, 10), 0);
    }
}
