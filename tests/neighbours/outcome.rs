//! The outcome of a scenario: a row of figures, and its failures.

use std::io::Write;
use std::sync::{Arc, Once};
use std::time::Duration;

use super::common::broker::Broker;
use super::common::pair::Seen;
use super::common::waits::{Span, Waits};
use super::watch::Watched;

pub const MIB: u64 = 1 << 20;

/// Bounds for an idle machine in milliseconds; only printed.
const NEIGHBOUR_P99: f64 = 100.0;
const HEALTH_MAX: f64 = 200.0;
/// Bounds for every machine and build in milliseconds. Seen with the test build: 40 and 35.
const ANY_P99: f64 = 500.0;
const ANY_HEALTH: f64 = 1_000.0;

pub struct Outcome {
    pub name: &'static str,
    /// Bytes written by the attacker.
    pub bytes: u64,
    pub connections: u64,
    /// Packets received and sent by the broker during the attack, of all clients.
    pub took: [f64; 2],
    pub lasted: Duration,
    pub limit: u64,
    pub base: u64,
    pub peak: u64,
    pub left_over: u64,
    /// Bytes that the broker counted as messages at the end.
    pub messages: f64,
    /// Time until memory was back to normal, if it was.
    pub back: Option<Duration>,
    pub calm: Span,
    pub during: Span,
    pub seen: Vec<Seen>,
    pub watched: Watched,
    pub notes: Vec<String>,
    pub complaints: Vec<String>,
    pub _broker: Arc<Broker>,
}

impl Outcome {
    /// Adds a complaint unless `so`.
    pub fn expect(&mut self, so: bool, complaint: impl FnOnce() -> String) {
        if !so {
            self.complaints.push(complaint());
        }
    }

    /// Checks with the default bound for memory. The target is 1.3 times limit and base. The
    /// asserted bound allows for a machine that is slow to return freed memory.
    pub fn check(mut self) {
        let bound = (self.limit + self.base) / 10 * 13;
        if self.peak > bound {
            let (peak, bound) = (self.peak / MIB, bound / MIB);
            self.notes.push(format!("over the target for memory: {peak} MiB, {bound} at most"));
        }
        let asserted = (self.limit + self.base) / 10 * 14;
        self.check_peak(asserted);
    }

    /// Prints the row and fails on complaints; with `NEIGHBOUR_REPORT` it only prints.
    pub fn check_peak(mut self, bound: u64) {
        self.judge(bound);
        self.print();
        if let Some(path) = std::env::var_os("NEIGHBOUR_JSON") {
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "{}", self.json()).unwrap();
        }
        if std::env::var_os("NEIGHBOUR_REPORT").is_none() {
            assert!(self.complaints.is_empty(), "{}: {:#?}", self.name, self.complaints);
        }
    }

    fn judge(&mut self, bound: u64) {
        let mut found = Vec::new();
        if self.peak > bound {
            found.push(format!("{} MiB resident, {} at most", self.peak / MIB, bound / MIB));
        }
        if self.back.is_none() {
            let (left, base) = (self.left_over / MIB, self.base / MIB);
            let messages = self.messages;
            found.push(format!(
                "memory is not back: {left} MiB, {base} before; {messages} B of messages"
            ));
        }
        if self.watched.unhealthy > 0 {
            found.push(format!("{} probes were not answered 200", self.watched.unhealthy));
        }
        if self.health().max > ANY_HEALTH {
            found.push(format!("/healthz took {:.0} ms", self.health().max));
        }
        for seen in &self.seen {
            let name = seen.kind.name;
            found.extend(seen.broken.iter().map(|broken| format!("{name}: {broken}")));
            if seen.lost > 0 {
                found.push(format!("{name}: {} of {} lost", seen.lost, seen.sent));
            }
            for waits in [seen.delivered.within(self.during), seen.acknowledged.within(self.during)]
            {
                if waits.p99 > ANY_P99 {
                    found.push(format!("{name}: p99 of {:.0} ms", waits.p99));
                }
            }
        }
        self.complaints.extend(found);
    }

    fn health(&self) -> Waits {
        self.watched.health.within(self.during)
    }

    fn print(&self) {
        static HEAD: Once = Once::new();
        HEAD.call_once(|| {
            println!(
                "\n{:<24} {:>9} {:>7} | {:>15} {:>5} {:>6} | {:<8} {:>20} {:>23} {:>23} | {:>15} | {:>9} | targets",
                "scenario", "MB sent", "conns", "RSS base>peak", "left", "back s", "pair",
                "calm p50/99/max", "attacked p50/99/max", "PUBACK p50/99/max", "healthz p99/max",
                "lost+dup",
            );
        });
        for (at, seen) in self.seen.iter().enumerate() {
            println!("{} | {}", self.about(at == 0), self.of(seen, at == 0));
        }
        let [took, sent] = self.took;
        println!("    broker took {took:.0} packets and sent {sent:.0} in {:.1?}", self.lasted);
        for note in &self.notes {
            println!("    {note}");
        }
        for complaint in &self.complaints {
            println!("    FAILS: {complaint}");
        }
    }

    /// The columns that all pairs share, or blanks of the same width.
    fn about(&self, first: bool) -> String {
        if !first {
            return format!("{:<24} {:>9} {:>7} | {:>15} {:>5} {:>6}", "", "", "", "", "", "");
        }
        let back = self.back.map_or("never".into(), |back| format!("{:.1}", back.as_secs_f64()));
        format!(
            "{:<24} {:>9.2} {:>7} | {:>15} {:>5} {back:>6}",
            self.name,
            self.bytes as f64 / 1e6,
            self.connections,
            format!("{}>{}/{}", self.base / MIB, self.peak / MIB, self.limit / MIB),
            self.left_over / MIB,
        )
    }

    fn of(&self, seen: &Seen, first: bool) -> String {
        let (during, health) = (seen.delivered.within(self.during), self.health());
        let probes =
            if first { format!("{:.1}/{:.1}", health.p99, health.max) } else { String::new() };
        let lost = format!("{}+{}", seen.lost, seen.duplicated);
        format!(
            "{:<8} {:>20} {:>23} {:>23} | {probes:>15} | {lost:>9} | {} {}",
            seen.kind.name,
            row(seen.delivered.within(self.calm)),
            row(during),
            row(seen.acknowledged.within(self.during)),
            word(during.p99, NEIGHBOUR_P99),
            word(health.max, HEALTH_MAX),
        )
    }

    fn json(&self) -> serde_json::Value {
        let pairs = self.seen.iter().map(|seen| {
            serde_json::json!({
                "pair": seen.kind.name,
                "sent": seen.sent,
                "lost": seen.lost,
                "duplicated": seen.duplicated,
                "calm": seen.delivered.within(self.calm),
                "attacked": seen.delivered.within(self.during),
                "acknowledged": seen.acknowledged.within(self.during),
            })
        });
        serde_json::json!({
            "scenario": self.name,
            "bytes": self.bytes,
            "connections": self.connections,
            "seconds": self.lasted.as_secs_f64(),
            "packets": self.took,
            "rss_base": self.base,
            "rss_peak": self.peak,
            "rss_left": self.left_over,
            "messages_left": self.messages,
            "max_memory": self.limit,
            "memory_back_after": self.back.map(|back| back.as_secs_f64()),
            "neighbours": pairs.collect::<Vec<_>>(),
            "healthz": self.health(),
            "unhealthy": self.watched.unhealthy,
            "notes": self.notes,
            "complaints": self.complaints,
        })
    }
}

fn row(waits: Waits) -> String {
    if waits.count == 0 {
        return "-".into();
    }
    format!("{:.1}/{:.1}/{:.1}", waits.p50, waits.p99, waits.max)
}

fn word(value: f64, most: f64) -> &'static str {
    if value <= most { "ok" } else { "over" }
}

#[test]
fn a_long_wait_is_not_cut_to_the_first_range_of_the_histogram() {
    let waits = Waits::of([1, 3, 5_000].into_iter().map(Duration::from_millis));
    assert!((waits.p50 - 3.0).abs() < 0.1 && (waits.max - 5_000.0).abs() < 10.0, "{waits:?}");
    assert!(waits.p99 > ANY_P99, "{waits:?}");
}
