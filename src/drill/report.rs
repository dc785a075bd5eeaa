//! The result of a drill. The names of fields are those of `--json` and part of the interface.
//! Times are in seconds, sizes in bytes.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Options;
use crate::sandbox::Level;

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Round {
    /// From the first client's coming back.
    pub killed_after_seconds: f64,
    /// Messages acknowledged since the drill's begin.
    pub acknowledged: u64,
    /// From the start of the process to "ready".
    pub ready_seconds: f64,
    /// Database and write-ahead log as the kill left them.
    pub database_bytes: u64,
}

/// Retained topics, over all rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Retained {
    /// Topics that had an acknowledged message.
    pub checked: u64,
    /// Of these: nothing was there, or an older message.
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
    /// Which.
    pub receiver: &'static str,
    /// Acknowledged to their publishers.
    pub expected: u64,
    /// Different messages that came.
    pub received: u64,
    /// Acknowledged and never received.
    pub lost: u64,
    /// QoS 1 messages that came again: allowed.
    pub repeated_qos1: u64,
    /// QoS 2 messages that came again.
    pub repeated_qos2: u64,
    /// Came for the first time after a later one of the same publisher. Not judged in
    /// a shared group.
    pub reordered: u64,
}

/// The drill's outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of the broker.
    pub version: &'static str,
    /// On whose volume it took place.
    pub directory: PathBuf,
    /// Of the broker under test.
    pub durability: Level,
    /// Gives the same moments and victims again.
    pub seed: u64,
    /// True if every promise held.
    pub held: bool,
    /// Given to the broker.
    pub published: u64,
    /// PUBACK or PUBREC came.
    pub acknowledged: u64,
    /// Published and not acknowledged to the end when the drill was over.
    pub unfinished: u64,
    /// Acknowledged and not received, over all receivers.
    pub lost: u64,
    /// QoS 1 messages that came again, over all receivers: allowed.
    pub repeated_qos1: u64,
    /// QoS 2 messages that came again, over all receivers.
    pub repeated_qos2: u64,
    /// Over all receivers.
    pub reordered: u64,
    /// Sessions that the broker did not know any more.
    pub sessions_lost: u64,
    /// Connections that the broker closed while it ran.
    pub closed_by_broker: u64,
    /// Connections that were cut off on purpose.
    pub cuts: u64,
    /// One for each kill.
    pub rounds: Vec<Round>,
    /// One for each receiver.
    pub receivers: Vec<Row>,
    /// Checked after each restart.
    pub retained: Retained,
    /// From everybody's coming back to the last packet.
    pub drained_seconds: f64,
    /// Database and write-ahead log at the end.
    pub database_bytes: u64,
    /// What was broken, a line for each; empty if every promise held.
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

    /// Adds up, and says which promises were broken.
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
