//! CPU and disk usage of a broker and its machine between two moments.

use std::fs;
use std::time::Instant;

use super::{Broker, SandboxError};

/// Ticks of `/proc/stat` are counted in these on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The name of the thread that writes the database (`src/store/`).
const WRITER: &str = "ferrymq-store";

/// Readings of one moment.
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

/// What was used from one moment to another. Times in seconds; CPU seconds may exceed
/// the elapsed ones, there are several cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Between the two.
    pub elapsed: f64,
    /// CPU of the broker.
    pub broker_cpu: f64,
    /// CPU of this process: the clients.
    pub own_cpu: f64,
    /// CPU of all processes; `None` where the system does not say.
    pub machine_cpu: Option<f64>,
    /// CPU of the thread that writes the database.
    pub writer_cpu: f64,
    /// Within transactions and checkpoints, neither running nor waiting for a core:
    /// the thread that writes waited for the disk.
    pub disk_wait: f64,
    /// Within transactions and checkpoints.
    pub committing: f64,
    /// Transactions.
    pub commits: f64,
    /// Messages written.
    pub committed: f64,
    /// Messages that did not have to be written.
    pub elided: f64,
    /// Bytes that the broker has handed to the disk.
    pub written: u64,
}

impl Sample {
    /// Reads everything now.
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

    /// From this moment to a `later` one.
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

/// Seconds that all cores together were not idle: user, nice, system, irq, softirq
/// and what the hypervisor took, of proc(5).
fn machine_cpu() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let mut fields = text.lines().next()?.split_whitespace().skip(1);
    let fields: Vec<f64> = fields.by_ref().filter_map(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|&index| fields.get(index)).sum::<f64>();
    Some(busy / TICKS_PER_SECOND)
}

/// Seconds that the writing thread ran, and waited for a core; `None` without one or
/// on a kernel that does not say.
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
