//! The most recent log events, kept in memory for the console and the API.
//!
//! A ring of bounded size with fields of bounded size: what a client sends ends up in
//! them, and must not fill the memory. Nothing is kept that is not logged, so
//! `telemetry.level` and the limit of similar lines hold here too.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::layer::Context;
use tracing_subscriber::{Layer, Registry};

use super::cut::cut;

/// Events that are kept: some minutes of a broker's ordinary day.
const KEPT: usize = 200;
/// Bytes of one text, after which it is cut: a client id of the usual sizes is whole.
const TEXT: usize = 256;
/// Fields of one event; no event of ours has more.
const FIELDS: usize = 12;

/// One event that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentEvent {
    /// Rises by one from each event to the next, from 1 on.
    pub id: u64,
    /// When it was logged.
    pub time: SystemTime,
    /// INFO, WARN or ERROR.
    pub level: &'static str,
    /// What happened.
    pub message: String,
    /// Names and values, in the order in which they were logged.
    pub fields: Vec<(&'static str, String)>,
}

/// What is kept; clones share it.
#[derive(Debug, Clone, Default)]
pub struct RecentEvents(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    events: VecDeque<Arc<RecentEvent>>,
}

impl RecentEvents {
    /// The events behind `after`, oldest first, and the id of the last one that there
    /// was, 0 before the first. An `after` that is still to come is one of an earlier
    /// process: all are behind it.
    pub fn after(&self, after: u64) -> (Vec<Arc<RecentEvent>>, u64) {
        let ring = self.0.lock();
        let after = if after > ring.last { 0 } else { after };
        (ring.events.iter().filter(|event| event.id > after).cloned().collect(), ring.last)
    }

    /// What fills it: to be put beside whatever writes the log.
    pub fn layer(&self) -> impl Layer<Registry> + use<> {
        RecentLayer(self.clone())
    }

    fn push(&self, level: &'static str, visitor: Visitor) {
        // Under the lock, so that times rise as ids do.
        let mut ring = self.0.lock();
        ring.last += 1;
        let event = RecentEvent {
            id: ring.last,
            time: SystemTime::now(),
            level,
            message: visitor.message,
            fields: visitor.fields,
        };
        if ring.events.len() >= KEPT {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::new(event));
    }
}

struct RecentLayer(RecentEvents);

impl Layer<Registry> for RecentLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, Registry>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            _ => return,
        };
        let mut visitor = Visitor::default();
        event.record(&mut visitor);
        self.0.push(level, visitor);
    }
}

#[derive(Default)]
struct Visitor {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visitor {
    fn take(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else if self.fields.len() < FIELDS {
            self.fields.push((field.name(), text));
        }
    }
}

impl Visit for Visitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, cut(format_args!("{value}"), TEXT));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, cut(format_args!("{value}"), TEXT));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, cut(format_args!("{value:?}"), TEXT));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn logged(log: impl FnOnce()) -> RecentEvents {
        let events = RecentEvents::default();
        let subscriber = tracing_subscriber::registry().with(events.layer());
        tracing::subscriber::with_default(subscriber, log);
        events
    }

    #[test]
    fn an_event_keeps_its_level_message_and_fields() {
        let events = logged(|| {
            let error = std::io::Error::other("no room");
            tracing::warn!(client_id = "a\nb", count = 3, %error, reason = ?Some(1), "it {}", "broke");
        });
        let (all, last) = events.after(0);
        assert_eq!((all.len(), last), (1, 1));
        assert_eq!((all[0].level, all[0].message.as_str()), ("WARN", "it broke"));
        let fields: Vec<_> = all[0].fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(
            fields,
            [("client_id", "a\nb"), ("count", "3"), ("error", "no room"), ("reason", "Some(1)")]
        );
    }

    #[test]
    fn what_is_below_info_is_not_kept() {
        let (all, _) = logged(|| tracing::debug!("a packet")).after(0);
        assert!(all.is_empty());
    }

    #[test]
    fn only_the_last_are_kept_and_asked_for_by_their_id() {
        let events = logged(|| {
            for n in 1..=KEPT + 5 {
                tracing::info!(n, "an event");
            }
        });
        let (all, last) = events.after(0);
        assert_eq!((all.len(), all[0].id, last), (KEPT, 6, 205));
        let (new, last) = events.after(203);
        assert_eq!((new.iter().map(|e| e.id).collect::<Vec<_>>(), last), (vec![204, 205], 205));
        assert!(events.after(205).0.is_empty());
        // Asked by a page that knew the process before this one.
        assert_eq!(events.after(9000).0.len(), KEPT);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let events =
            logged(|| tracing::info!(client_id = "ü".repeat(5000), "{}", "x".repeat(5000)));
        let (all, _) = events.after(0);
        assert_eq!(all[0].message.len(), TEXT + '…'.len_utf8());
        assert_eq!(all[0].fields[0].1, format!("{}…", "ü".repeat(TEXT / 2)));
    }
}
