//! CPU and disk usage of a broker and its machine between two moments.

use std::fs;
use std::time::Instant;

use super::{Broker, SandboxError};

/// Ticks per second of `/proc/stat`; 100 on every Linux system.
const TICKS_PER_SECOND: f64 = 100.0;

/// The name of the thread that writes the database (`src/store/`).
const WRITER: &str = "ferrymq-store";

/// Readings at one moment.
#[derive(Debug)]
pub struct Sample {
    at: Instant,
    own_cpu: f64,
    machine: Option<f64>,
    writer: Option<(f64, f64)>,
    written: u64,
    broker_cpu: f64,
    committing: f64,
    commits: f64,
    committed: f64,
    elided: f64,
}

/// Usage between two moments. Times are in seconds; on several cores, CPU time may exceed
/// elapsed time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time between the two moments.
    pub elapsed: f64,
    /// CPU time of the broker.
    pub broker_cpu: f64,
    /// CPU time of this process, which runs the clients.
    pub own_cpu: f64,
    /// CPU time of all processes; `None` if the system does not report it.
    pub machine_cpu: Option<f64>,
    /// CPU time of the thread that writes the database.
    pub writer_cpu: f64,
    /// Time of that thread within transactions and checkpoints in which it waited for the
    /// disk: it neither ran nor waited for a core.
    pub disk_wait: f64,
    /// Time of that thread within transactions and checkpoints.
    pub committing: f64,
    /// Number of transactions.
    pub commits: f64,
    /// Number of messages written.
    pub committed: f64,
    /// Number of messages that did not have to be written.
    pub elided: f64,
    /// Bytes that the broker has written to disk.
    pub written: u64,
}

impl Sample {
    /// Reads all values now.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn take(broker: &Broker) -> Result<Self, SandboxError> {
        let metrics = broker.metrics()?;
        let pid = broker.id();
        Ok(Self {
            at: Instant::now(),
            own_cpu: own_cpu(),
            machine: machine_cpu(),
            writer: writer(pid),
            written: written(pid),
            broker_cpu: metrics.get("process_cpu_seconds_total"),
            committing: metrics.get("ferrymq_persistence_commit_duration_seconds_sum")
                + metrics.get("ferrymq_persistence_checkpoint_duration_seconds_sum"),
            commits: metrics.get("ferrymq_persistence_commits_total"),
            committed: metrics.get("ferrymq_persistence_committed_messages_total"),
            elided: metrics.get("ferrymq_persistence_elided_messages_total"),
        })
    }

    /// Usage from this moment to a `later` one.
    pub fn until(&self, later: &Self) -> Usage {
        let (cpu, queued) = match (self.writer, later.writer) {
            (Some(a), Some(b)) => (b.0 - a.0, b.1 - a.1),
            _ => (0.0, 0.0),
        };
        let committing = later.committing - self.committing;
        Usage {
            elapsed: later.at.duration_since(self.at).as_secs_f64(),
            broker_cpu: later.broker_cpu - self.broker_cpu,
            own_cpu: later.own_cpu - self.own_cpu,
            machine_cpu: self.machine.zip(later.machine).map(|(a, b)| b - a),
            writer_cpu: cpu,
            disk_wait: (committing - cpu - queued).max(0.0),
            committing,
            commits: later.commits - self.commits,
            committed: later.committed - self.committed,
            elided: later.elided - self.elided,
            written: later.written.saturating_sub(self.written),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // Exact for 285 million years.
fn own_cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds in which the cores together were not idle: user, nice, system, irq, softirq and
/// steal, see proc(5).
fn machine_cpu() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let mut fields = text.lines().next()?.split_whitespace().skip(1);
    let fields: Vec<f64> = fields.by_ref().filter_map(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|&index| fields.get(index)).sum::<f64>();
    Some(busy / TICKS_PER_SECOND)
}

/// Seconds in which the writer thread ran, and in which it waited for a core; `None` without
/// such a thread, or on a kernel that does not report it.
fn writer(pid: u32) -> Option<(f64, f64)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let thread = threads.flatten().map(|entry| entry.path()).find(|path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == WRITER)
    })?;
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    let mut nanos = text.split_whitespace().map_while(|field| field.parse::<f64>().ok());
    Some((nanos.next()? / 1e9, nanos.next()? / 1e9))
}

fn written(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}
