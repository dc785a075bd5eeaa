//! The most recent log events, kept in memory for the console and the API.
//!
//! A ring buffer of bounded size with fields of bounded size: they contain data from clients,
//! which must not fill the memory. Only logged events are kept, so `telemetry.level` and the
//! limit of similar lines apply here too.

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

/// Number of events that are kept: some minutes of ordinary operation.
const KEPT: usize = 200;
/// Maximum bytes of one text, after which it is truncated: client ids of usual sizes are not.
const TEXT: usize = 256;
/// Maximum number of fields of one event; none of our events has more.
const FIELDS: usize = 12;

/// A logged event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentEvent {
    /// Increases by one from each event to the next, starting at 1.
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

/// The recent events; clones share them.
#[derive(Debug, Clone, Default)]
pub struct RecentEvents(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    events: VecDeque<Arc<RecentEvent>>,
}

impl RecentEvents {
    /// The events after the id `after`, oldest first, and the id of the last event, 0 if there
    /// was none. An `after` larger than that is from an earlier process: all events are
    /// returned.
    pub fn after(&self, after: u64) -> (Vec<Arc<RecentEvent>>, u64) {
        let ring = self.0.lock();
        let after = if after > ring.last { 0 } else { after };
        (ring.events.iter().filter(|event| event.id > after).cloned().collect(), ring.last)
    }

    /// The layer that records events, to be installed beside the one that writes the log.
    pub fn layer(&self) -> impl Layer<Registry> + use<> {
        RecentLayer(self.clone())
    }

    fn push(&self, level: &'static str, visitor: Visitor) {
        // Under the lock, so that times increase with ids.
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
        // Requested by a page that knew an earlier process.
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
