//! What was measured. The names of fields are those of `--json`: part of the
//! interface. Times are in seconds, sizes in bytes, shares from 0 to 1.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Options;
use crate::load::{self, Findings};
use crate::sandbox::Level;

/// Where the receiver is while messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Receiver {
    /// Connected and acknowledging: most messages need not be written.
    Online,
    /// Away: each message is written. It fetches them afterwards.
    Offline,
}

/// One load shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// 0, 1 or 2: of publishers and subscription.
    pub qos: u8,
    /// Of a durable session.
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
    /// How many were taken.
    pub count: u64,
    /// Half are not above this.
    pub p50: f64,
    /// 90%.
    pub p90: f64,
    /// 99%.
    pub p99: f64,
    /// 99.9%.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Times {
    /// `None` if nothing was taken.
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
    /// Of one fsync after 8 KiB were appended: what a commit waits for at least.
    pub fsync: Option<Times>,
    /// How many of them one after the other.
    pub fsyncs_per_second: f64,
    /// Sequential writing, its fsync included.
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
    /// Acknowledged (QoS 0: arrived) in the measured time.
    pub messages: u64,
    /// The measured time.
    pub seconds: f64,
    /// The throughput.
    pub messages_per_second: f64,
    /// Offline: how fast the receiver got its queue afterwards.
    pub drained_per_second: Option<f64>,
    /// CPU of the broker for each message.
    pub broker_cpu_seconds_per_message: f64,
    /// CPU of the broker, the clients and everybody else, of all cores.
    pub cpu_share: Option<f64>,
    /// CPU of the clients, of all cores.
    pub clients_cpu_share: f64,
    /// CPU of the thread that writes the database, of one core.
    pub writer_cpu_share: f64,
    /// Of the time: that thread was within a transaction or a checkpoint.
    pub writer_busy_share: f64,
    /// Of the time: that thread waited for the disk.
    pub disk_wait_share: f64,
    /// Transactions.
    pub commits_per_second: f64,
    /// Of the messages: acknowledged by the receiver before they were due to be
    /// written.
    pub elided_share: f64,
    /// Handed to the disk by the broker.
    pub written_bytes_per_message: f64,
    /// All zero, or the figures mean nothing.
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
    /// From when a message was due to PUBACK or PUBCOMP; QoS 0 has none.
    pub acknowledged: Option<Times>,
    /// From when a message was due to its arrival; only online.
    pub received: Option<Times>,
}

/// Everything.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of the broker.
    pub version: &'static str,
    /// On whose volume it was measured.
    pub directory: PathBuf,
    /// That this process may use.
    pub cores: usize,
    /// Each measurement's length.
    pub seconds: f64,
    /// How many.
    pub publishers: u32,
    /// Of each publisher.
    pub window: u16,
    /// Bytes.
    pub payload: usize,
    /// The volume alone.
    pub disk: Disk,
    /// With full windows.
    pub throughput: Vec<Throughput>,
    /// At a fixed rate.
    pub latency: Vec<Latency>,
    /// What it means, in sentences.
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

    /// Whether every message arrived once and in order.
    pub fn is_sound(&self) -> bool {
        self.throughput.iter().all(|row| row.findings == Findings::default())
    }
}
