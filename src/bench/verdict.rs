//! Interprets the measurements.

use super::report::{Receiver, Report, Throughput};
use crate::sandbox::Level;

/// The bottleneck of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The writer thread is waited for, and it waits for the disk.
    Disk,
    /// All cores are busy.
    Cpu,
    /// The writer thread is waited for, and it uses the CPU; other cores are free.
    Writer,
    /// None of these: publishers wait for answers.
    RoundTrip,
}

impl Limit {
    fn sentence(self) -> &'static str {
        match self {
            Self::Disk => "the disk is the limit",
            Self::Cpu => "the CPU is the limit",
            Self::Writer => "one core is the limit: that of the thread that writes the database",
            Self::RoundTrip => {
                "the round trip is the limit: more publishers or a larger window would give more"
            }
        }
    }
}

/// The bottleneck of a measurement.
pub fn limit(row: &Throughput) -> Limit {
    // If most messages are acknowledged without being written, the writer is not waited for.
    let waits_for_writer = row.elided_share < 0.5 && row.writer_busy_share >= 0.6;
    if waits_for_writer && row.disk_wait_share >= row.writer_busy_share / 2.0 {
        Limit::Disk
    } else if row.cpu_share.is_some_and(|share| share >= 0.85) {
        Limit::Cpu
    } else if waits_for_writer {
        Limit::Writer
    } else {
        Limit::RoundTrip
    }
}

/// One sentence for each load, and one on all of them.
pub(super) fn conclude(report: &Report) -> Vec<String> {
    let strongest = report.throughput.iter().map(|row| row.durability).max();
    let Some(strongest) = strongest else { return Vec::new() };
    let rows = report.throughput.iter().filter(|row| row.durability == strongest && row.qos > 0);
    let mut sentences: Vec<String> = rows.map(|row| sentence(report, row)).collect();
    sentences.extend(answer(report, strongest));
    sentences.extend(disturbance(report));
    sentences
}

fn sentence(report: &Report, row: &Throughput) -> String {
    let load = super::Load { qos: row.qos, subscriber: row.subscriber };
    let level = row.durability.as_str();
    let cost = match (throughput_cost(report, row), latency_cost(report, row)) {
        (Some(share), Some(seconds)) => {
            format!(
                "{level} costs {} of throughput and {} at p99 here",
                percent(share),
                millis(seconds)
            )
        }
        (Some(share), None) => format!("{level} costs {} of throughput here", percent(share)),
        _ => format!("{level} gives {:.0} messages/s here", row.messages_per_second),
    };
    let busy = row
        .cpu_share
        .map_or(String::new(), |share| format!(", the cores are busy for {}", percent(share)));
    format!(
        "{load}: {cost}; the disk is waited for {} of the time{busy}: {}.",
        percent(row.disk_wait_share),
        limit(row).sentence()
    )
}

/// States what persistence costs and what is lost without it.
fn answer(report: &Report, strongest: Level) -> Option<String> {
    let worst = |subscriber: Receiver| {
        let rows = report.throughput.iter().filter(|row| {
            row.durability == strongest && row.subscriber == subscriber && row.qos > 0
        });
        rows.filter_map(|row| throughput_cost(report, row)).reduce(f64::max)
    };
    let (online, offline) = (worst(Receiver::Online)?, worst(Receiver::Offline)?);
    let fsync = report.disk.fsync.as_ref().map_or(String::new(), |times| {
        format!("An fsync takes {} here (p99 {}). ", millis(times.p50), millis(times.p99))
    });
    Some(format!(
        "{fsync}Without persistence a restart loses every queue and session. With {} you give up to {} of the throughput for that while receivers are online, and up to {} while they are away.",
        strongest.as_str(),
        percent(online),
        percent(offline)
    ))
}

/// The CPU share of other programs during the measurements of throughput, if it is at least
/// 10%.
#[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
fn disturbance(report: &Report) -> Option<String> {
    let cores = report.cores as f64;
    let others: Vec<f64> = report.throughput.iter().filter_map(|row| others(row, cores)).collect();
    let mean = others.iter().sum::<f64>() / (others.len() as f64).max(1.0);
    (mean >= 0.1).then(|| {
        format!(
            "Other programs took {} of the cores meanwhile: repeat the measurement on an idle machine.",
            percent(mean)
        )
    })
}

/// Share of all cores that neither the broker nor the clients used.
#[allow(clippy::cast_precision_loss)]
fn others(row: &Throughput, cores: f64) -> Option<f64> {
    let broker = row.broker_cpu_seconds_per_message * row.messages as f64 / row.seconds / cores;
    Some((row.cpu_share? - broker - row.clients_cpu_share).max(0.0))
}

/// Fraction of the in-memory throughput that is lost; values below 0 are noise.
fn throughput_cost(report: &Report, row: &Throughput) -> Option<f64> {
    let memory = report.throughput.iter().find(|other| {
        other.durability == Level::Memory
            && (other.qos, other.subscriber) == (row.qos, row.subscriber)
    })?;
    (row.durability != Level::Memory && memory.messages_per_second > 0.0)
        .then(|| (1.0 - row.messages_per_second / memory.messages_per_second).max(0.0))
}

/// By how many seconds the acknowledgement takes longer than in memory, at p99.
fn latency_cost(report: &Report, row: &Throughput) -> Option<f64> {
    let p99 = |level: Level| {
        let found = report.latency.iter().find(|other| {
            other.durability == level && (other.qos, other.subscriber) == (row.qos, row.subscriber)
        })?;
        Some(found.acknowledged?.p99)
    };
    Some((p99(row.durability)? - p99(Level::Memory)?).max(0.0))
}

/// A share as text, in percent.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 1.0 { "less than 1%".to_owned() } else { format!("{percent:.0}%") }
}

/// Seconds as text, in milliseconds.
pub(super) fn millis(seconds: f64) -> String {
    let millis = seconds * 1000.0;
    if millis < 0.005 {
        "nothing that can be seen".to_owned()
    } else if millis < 1.0 {
        format!("{millis:.2} ms")
    } else {
        format!("{millis:.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Disk, Latency, Times};
    use crate::load::Findings;

    fn row(durability: Level, rate: f64, disk: f64, cpu: f64) -> Throughput {
        Throughput {
            qos: 1,
            subscriber: Receiver::Online,
            durability,
            messages: 1,
            seconds: 1.0,
            messages_per_second: rate,
            drained_per_second: None,
            broker_cpu_seconds_per_message: 0.0,
            cpu_share: Some(cpu),
            clients_cpu_share: cpu,
            writer_cpu_share: 0.0,
            writer_busy_share: 0.7,
            disk_wait_share: disk,
            commits_per_second: 0.0,
            elided_share: 0.0,
            written_bytes_per_message: 0.0,
            findings: Findings::default(),
        }
    }

    fn latency(durability: Level, p99: f64) -> Latency {
        let times = Times { count: 1, p50: p99, p90: p99, p99, p99_9: p99, max: p99 };
        Latency {
            qos: 1,
            subscriber: Receiver::Online,
            durability,
            messages_per_second: 1.0,
            acknowledged: Some(times),
            received: None,
        }
    }

    fn report(throughput: Vec<Throughput>, latency: Vec<Latency>) -> Report {
        let disk = Disk { fsync: None, fsyncs_per_second: 0.0, write_bytes_per_second: 0.0 };
        Report {
            version: "",
            directory: "/".into(),
            cores: 2,
            seconds: 1.0,
            publishers: 1,
            window: 1,
            payload: 1,
            disk,
            throughput,
            latency,
            conclusions: Vec::new(),
        }
    }

    #[test]
    fn the_cost_is_told_against_memory() {
        let throughput =
            vec![row(Level::Memory, 1000.0, 0.0, 1.0), row(Level::Fsync, 880.0, 0.34, 0.97)];
        let latency = vec![latency(Level::Memory, 0.0001), latency(Level::Fsync, 0.0015)];
        assert_eq!(
            conclude(&report(throughput, latency)),
            [
                "QoS 1, subscriber online: fsync costs 12% of throughput and 1.4 ms at p99 here; the disk is waited for 34% of the time, the cores are busy for 97%: the CPU is the limit."
            ]
        );
    }

    #[test]
    fn other_programs_are_told_of() {
        let quiet = row(Level::Fsync, 1.0, 0.1, 0.9);
        let busy = Throughput { clients_cpu_share: 0.2, ..quiet.clone() };
        let of = |row| disturbance(&report(vec![row], Vec::new()));
        assert_eq!(of(quiet), None);
        assert!(of(busy).unwrap().starts_with("Other programs took 70% of the cores"));
    }

    #[test]
    fn without_memory_there_is_nothing_to_compare_with() {
        let sentences = conclude(&report(vec![row(Level::Fsync, 880.0, 0.6, 0.2)], Vec::new()));
        assert_eq!(
            sentences,
            [
                "QoS 1, subscriber online: fsync gives 880 messages/s here; the disk is waited for 60% of the time, the cores are busy for 20%: the disk is the limit."
            ]
        );
    }

    #[test]
    fn who_writes_is_the_limit_only_if_it_is_waited_for() {
        assert_eq!(limit(&row(Level::Fsync, 1.0, 0.5, 0.9)), Limit::Disk);
        assert_eq!(limit(&row(Level::Fsync, 1.0, 0.2, 0.9)), Limit::Cpu);
        assert_eq!(limit(&row(Level::Fsync, 1.0, 0.2, 0.5)), Limit::Writer);
    }

    #[test]
    fn a_load_that_fills_nothing_waits_for_answers() {
        let idle = Throughput { writer_busy_share: 0.3, ..row(Level::Fsync, 1.0, 0.1, 0.3) };
        assert_eq!(limit(&idle), Limit::RoundTrip);
        let elided = Throughput { elided_share: 0.9, ..row(Level::Fsync, 1.0, 0.6, 0.3) };
        assert_eq!(limit(&elided), Limit::RoundTrip);
    }
}
