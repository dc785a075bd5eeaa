//! The report. Field names are those of `--json` and part of the interface. Times are in
//! seconds, sizes in bytes, shares from 0 to 1.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Options;
use crate::load::{self, Findings};
use crate::sandbox::Level;

/// Whether the receiver is connected while messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Receiver {
    /// Connected and acknowledging: most messages need not be written.
    Online,
    /// Disconnected: each message is written. The receiver gets them afterwards.
    Offline,
}

/// One load shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// QoS of publishers and subscription: 0, 1 or 2.
    pub qos: u8,
    /// The receiver, which has a durable session.
    pub subscriber: Receiver,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.subscriber {
            Receiver::Online => "online",
            Receiver::Offline => "offline",
        };
        write!(f, "QoS {}, subscriber {place}", self.qos)
    }
}

/// Percentiles, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// Number of measured values.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Times {
    /// `None` if there are no values.
    pub fn of(latency: &load::Latency) -> Option<Self> {
        let at = |percent| latency.percentile(percent).as_secs_f64();
        (latency.count() > 0).then(|| Self {
            count: latency.count(),
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p99_9: at(99.9),
            max: latency.max().as_secs_f64(),
        })
    }
}

/// The volume without a broker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disk {
    /// Times of one fsync after an append of 8 KiB, the minimum that a commit waits for.
    pub fsync: Option<Times>,
    /// Number of such fsyncs per second, one after the other.
    pub fsyncs_per_second: f64,
    /// Bytes per second of sequential writing, including its fsync.
    pub write_bytes_per_second: f64,
}

/// One durability under one load with full windows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Throughput {
    /// 0, 1 or 2.
    pub qos: u8,
    /// Online or offline.
    pub subscriber: Receiver,
    /// `memory`, `async`, `commit` or `fsync`.
    pub durability: Level,
    /// Messages acknowledged (QoS 0: received) in the measured time.
    pub messages: u64,
    /// The measured time.
    pub seconds: f64,
    /// Messages per second.
    pub messages_per_second: f64,
    /// If offline: messages per second at which the receiver got its queue afterwards.
    pub drained_per_second: Option<f64>,
    /// CPU time of the broker per message.
    pub broker_cpu_seconds_per_message: f64,
    /// CPU share of all processes, of all cores.
    pub cpu_share: Option<f64>,
    /// CPU share of the clients, of all cores.
    pub clients_cpu_share: f64,
    /// CPU share of the thread that writes the database, of one core.
    pub writer_cpu_share: f64,
    /// Share of the time in which that thread was in a transaction or a checkpoint.
    pub writer_busy_share: f64,
    /// Share of the time in which that thread waited for the disk.
    pub disk_wait_share: f64,
    /// Transactions per second.
    pub commits_per_second: f64,
    /// Share of the messages that the receiver acknowledged before they were due to be
    /// written.
    pub elided_share: f64,
    /// Bytes that the broker wrote to disk per message.
    pub written_bytes_per_message: f64,
    /// Lost, repeated and reordered messages. Unless all are 0, the figures are invalid.
    #[serde(flatten)]
    pub findings: Findings,
}

/// One durability under one load at a fixed rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// 0, 1 or 2.
    pub qos: u8,
    /// Online or offline.
    pub subscriber: Receiver,
    /// `memory`, `async`, `commit` or `fsync`.
    pub durability: Level,
    /// The same for all durabilities: a tenth of the slowest one's throughput.
    pub messages_per_second: f64,
    /// Time from when a message was due to its PUBACK or PUBCOMP; `None` at QoS 0.
    pub acknowledged: Option<Times>,
    /// Time from when a message was due to its arrival; only if online.
    pub received: Option<Times>,
}

/// The complete report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of the broker.
    pub version: &'static str,
    /// Directory whose volume was measured.
    pub directory: PathBuf,
    /// Number of cores that this process may use.
    pub cores: usize,
    /// Length of each measurement.
    pub seconds: f64,
    /// Number of publishers.
    pub publishers: u32,
    /// Window of each publisher.
    pub window: u16,
    /// Size of each payload.
    pub payload: usize,
    /// The volume without a broker.
    pub disk: Disk,
    /// Throughput with full windows.
    pub throughput: Vec<Throughput>,
    /// Latency at a fixed rate.
    pub latency: Vec<Latency>,
    /// Conclusions, one sentence each.
    pub conclusions: Vec<String>,
}

impl Report {
    pub(super) fn new(
        scratch: &Path,
        options: &Options,
        disk: Disk,
        throughput: Vec<Throughput>,
        latency: Vec<Latency>,
    ) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            directory: scratch.parent().unwrap_or(scratch).to_path_buf(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            seconds: options.time.as_secs_f64(),
            publishers: options.publishers,
            window: options.window,
            payload: options.payload,
            disk,
            throughput,
            latency,
            conclusions: Vec::new(),
        }
    }

    /// True if every message arrived once and in order.
    pub fn is_sound(&self) -> bool {
        self.throughput.iter().all(|row| row.findings == Findings::default())
    }
}
