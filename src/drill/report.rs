//! The result of a drill. The names of fields are those of `--json` and part of the interface.
//! Times are in seconds, sizes in bytes.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Options;
use crate::sandbox::Level;

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Round {
    /// Time of traffic before the kill.
    pub killed_after_seconds: f64,
    /// Messages acknowledged since the beginning of the drill.
    pub acknowledged: u64,
    /// From the start of the process to "ready".
    pub ready_seconds: f64,
    /// Size of database and write-ahead log after the kill.
    pub database_bytes: u64,
}

/// Retained topics, over all rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Retained {
    /// Topics that had an acknowledged message.
    pub checked: u64,
    /// Topics of these with no message, or with an older one.
    pub lost: u64,
}

impl Retained {
    pub(super) fn add(&mut self, other: Self) {
        self.checked += other.checked;
        self.lost += other.lost;
    }
}

/// One receiver's account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The receiver.
    pub receiver: &'static str,
    /// Messages acknowledged to their publishers.
    pub expected: u64,
    /// Different messages received.
    pub received: u64,
    /// Messages acknowledged and never received.
    pub lost: u64,
    /// QoS 1 messages received again, which is allowed.
    pub repeated_qos1: u64,
    /// QoS 2 messages received again.
    pub repeated_qos2: u64,
    /// Messages first received after a later one of the same publisher. Not counted in a
    /// shared group.
    pub reordered: u64,
}

/// The result of a drill.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of the broker.
    pub version: &'static str,
    /// Directory whose volume was used.
    pub directory: PathBuf,
    /// Durability of the broker under test.
    pub durability: Level,
    /// Seed that repeats the same moments and victims.
    pub seed: u64,
    /// True if every promise held.
    pub held: bool,
    /// Messages published.
    pub published: u64,
    /// Messages with PUBACK or PUBREC.
    pub acknowledged: u64,
    /// Messages whose exchange was not complete at the end of the drill.
    pub unfinished: u64,
    /// Messages acknowledged and not received, over all receivers.
    pub lost: u64,
    /// QoS 1 messages received again, over all receivers; allowed.
    pub repeated_qos1: u64,
    /// QoS 2 messages received again, over all receivers.
    pub repeated_qos2: u64,
    /// Messages out of order, over all receivers.
    pub reordered: u64,
    /// Sessions that the broker had lost.
    pub sessions_lost: u64,
    /// Connections that the broker closed while it ran.
    pub closed_by_broker: u64,
    /// Connections that were cut off on purpose.
    pub cuts: u64,
    /// One for each kill.
    pub rounds: Vec<Round>,
    /// One for each receiver.
    pub receivers: Vec<Row>,
    /// Retained messages, checked after each restart.
    pub retained: Retained,
    /// From the reconnect of all clients to the last packet.
    pub drained_seconds: f64,
    /// Size of database and write-ahead log at the end.
    pub database_bytes: u64,
    /// Broken promises, one line each; empty if all held.
    pub broken: Vec<String>,
}

impl Report {
    pub(super) fn new(scratch: &Path, options: &Options) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            directory: scratch.parent().unwrap_or(scratch).to_path_buf(),
            durability: options.level,
            seed: options.seed,
            held: false,
            published: 0,
            acknowledged: 0,
            unfinished: 0,
            lost: 0,
            repeated_qos1: 0,
            repeated_qos2: 0,
            reordered: 0,
            sessions_lost: 0,
            closed_by_broker: 0,
            cuts: 0,
            rounds: Vec::new(),
            receivers: Vec::new(),
            retained: Retained::default(),
            drained_seconds: 0.0,
            database_bytes: 0,
            broken: Vec::new(),
        }
    }

    /// Computes the sums and finds broken promises.
    pub(super) fn judge(&mut self) {
        let sum = |of: fn(&Row) -> u64| self.receivers.iter().map(of).sum();
        self.lost = sum(|row| row.lost);
        self.repeated_qos1 = sum(|row| row.repeated_qos1);
        self.repeated_qos2 = sum(|row| row.repeated_qos2);
        self.reordered = sum(|row| row.reordered);
        let found = [
            (self.lost, "acknowledged messages were lost"),
            (self.repeated_qos2, "QoS 2 messages came more than once"),
            (self.reordered, "messages came out of order"),
            (self.retained.lost, "retained messages were lost or too old"),
            (self.sessions_lost, "sessions were lost"),
            (self.unfinished, "messages were never acknowledged to the end"),
            (self.closed_by_broker, "connections were closed by the broker while it ran"),
        ];
        let broken = found.iter().filter(|(count, _)| *count > 0);
        self.broken = broken.map(|(count, what)| format!("{count} {what}")).collect();
        if self.acknowledged == 0 {
            self.broken.push("nothing was acknowledged at all".to_owned());
        }
        self.held = self.broken.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(row: Row) -> Report {
        let options = Options {
            rounds: 1,
            time: Duration::from_secs(1),
            rate: 1.0,
            seed: 1,
            level: Level::Fsync,
        };
        let mut report = Report::new(Path::new("/data/scratch"), &options);
        report.acknowledged = 10;
        report.receivers.push(row);
        report.judge();
        report
    }

    #[test]
    fn a_repeat_is_allowed_at_qos_1_alone() {
        assert!(report(Row { repeated_qos1: 3, ..Row::default() }).held);
        let judged = report(Row { repeated_qos2: 3, ..Row::default() });
        assert_eq!((judged.held, judged.repeated_qos2), (false, 3));
        assert_eq!(judged.broken, ["3 QoS 2 messages came more than once"]);
    }

    #[test]
    fn what_is_lost_or_out_of_order_breaks_a_promise() {
        let judged = report(Row { lost: 2, reordered: 1, ..Row::default() });
        assert_eq!(
            judged.broken,
            ["2 acknowledged messages were lost", "1 messages came out of order"]
        );
    }

    #[test]
    fn a_drill_in_which_nothing_happened_shows_nothing() {
        let mut judged = report(Row::default());
        judged.acknowledged = 0;
        judged.judge();
        assert!(!judged.held);
    }
}
