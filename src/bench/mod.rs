//! Measures what persistence costs on this volume with this configuration.
//!
//! Separate brokers ([`crate::sandbox`]) get the same load with each durability. Throughput is
//! measured with full windows. Latency is measured separately, at a fixed rate that all
//! durabilities sustain, from when a message was due: with full windows it would depend on
//! their length. The volume is also measured without a broker.
//!
//! The measurements and the conclusions live here; arguments and printing are in
//! [`crate::cli`].

mod disk;
mod error;
mod measure;
mod report;
mod verdict;

use std::num::NonZeroU64;
use std::time::Duration;

pub use error::BenchError;
pub use report::{Disk, Latency, Load, Receiver, Report, Throughput, Times};
pub use verdict::{Limit, limit};

use crate::config::Config;
use crate::load::{Shape, Stamp, Stop};
use crate::protocol::QoS;
use crate::sandbox::{Demand, Level, Scratch, raise_file_limit, require_room};
use measure::Bench;

/// The topic of all messages.
const TOPIC: &str = "bench/load";

/// Bytes of a message beyond its payload, on disk and in a queue; `cargo bench --bench store`
/// measures 111 on fresh pages.
const OVERHEAD: u64 = 150;

/// Messages per second; no broker on the measured machines has written more.
const FASTEST: u64 = 300_000;

/// Most bytes that one measurement leaves in a queue.
const LARGEST: u64 = 512 << 20;

/// Fraction of the slowest durability's throughput at which latencies are measured: low enough
/// for queues to stay empty.
const MODERATE: f64 = 0.1;

/// Parameters of the measurements.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length of each measurement, from 100 ms.
    pub time: Duration,
    /// Publishers, from 1.
    pub publishers: u32,
    /// Messages that each publisher may have unacknowledged, 1 to 32,767.
    pub window: u16,
    /// Bytes of each payload, from 20 ([`Stamp::SIZE`]).
    pub payload: usize,
    /// The QoS levels to measure.
    pub qos: Vec<QoS>,
    /// The durabilities to measure; memory is the reference for the others.
    pub levels: Vec<Level>,
}

impl Options {
    /// Each QoS with the receiver online, and QoS 1 and 2 with it offline: QoS 0 is not kept
    /// for an offline client.
    fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for &qos in &self.qos {
            loads.push(Load { qos: qos as u8, subscriber: Receiver::Online });
            if qos != QoS::AtMostOnce {
                loads.push(Load { qos: qos as u8, subscriber: Receiver::Offline });
            }
        }
        loads
    }

    fn shape(&self, load: Load, window: u16) -> Shape {
        let qos = QoS::from_bits(load.qos).unwrap_or_default();
        let payload = self.payload.max(Stamp::SIZE);
        Shape { publishers: self.publishers, window, qos, payload, topic: TOPIC }
    }

    fn demand(&self) -> Demand {
        let message = OVERHEAD.saturating_add(self.payload as u64);
        let time = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX);
        let messages = FASTEST.saturating_mul(time) / 1000 * 5 / 4;
        let bytes = messages.saturating_mul(message).clamp(1 << 20, LARGEST);
        Demand {
            messages: bytes / message,
            bytes,
            packet: message,
            clients: self.publishers as usize + 10,
        }
    }

    /// Bytes that the volume must have: database and write-ahead log at their largest, and the
    /// file of the disk measurement.
    fn room(&self, config: &Config) -> u64 {
        let log = config.persistence.wal_limit.bytes();
        let queue = self.demand().bytes.saturating_mul(2);
        queue.saturating_add(log).saturating_add(disk::LARGEST)
    }
}

/// Runs all measurements. `progress` gets the number of finished ones, their total, and the
/// name of the next one.
///
/// # Errors
/// See [`BenchError`]; no files are left behind.
pub fn run(
    config: &Config,
    options: &Options,
    stop: &Stop,
    progress: &mut dyn FnMut(u64, u64, &str),
) -> Result<Report, BenchError> {
    raise_file_limit(u64::from(options.publishers) + 100)?;
    let scratch = Scratch::beside(&config.persistence.path, "bench")?;
    require_room(scratch.path(), options.room(config))?;
    // By default a timed wait ends up to 50 µs late, which would be part of the measured time.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000));
    let loads = options.loads();
    let total = 1 + 2 * (loads.len() * options.levels.len()) as u64;
    let mut done = 0;
    let mut next = |what: &str| {
        progress(done, total, what);
        done += 1;
    };
    next("the disk");
    let disk = disk::measure(scratch.path(), options.time, stop)?;
    let bench = Bench { config, options, scratch: &scratch, stop };
    let (mut throughput, mut latency) = (Vec::new(), Vec::new());
    for load in loads {
        let mut rate = f64::INFINITY;
        for &level in &options.levels {
            next(&format!("throughput, {load}, {}", level.as_str()));
            let row = bench.throughput(load, level)?;
            rate = rate.min(row.messages_per_second * MODERATE);
            throughput.push(row);
        }
        for &level in &options.levels {
            next(&format!("latency, {load}, {}", level.as_str()));
            latency.push(bench.latency(load, level, rate.max(1.0))?);
        }
    }
    let mut report = Report::new(scratch.path(), options, disk, throughput, latency);
    report.conclusions = verdict::conclude(&report);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            time: Duration::from_secs(1),
            publishers: 10,
            window: 50,
            payload: 256,
            qos: vec![QoS::AtMostOnce, QoS::AtLeastOnce],
            levels: Level::ALL.to_vec(),
        }
    }

    #[test]
    fn qos_0_is_not_kept_for_a_client_that_is_away() {
        let loads: Vec<_> = options().loads().iter().map(Load::to_string).collect();
        assert_eq!(
            loads,
            ["QoS 0, subscriber online", "QoS 1, subscriber online", "QoS 1, subscriber offline"]
        );
    }

    #[test]
    fn the_room_that_is_asked_for_is_bounded() {
        let config = Config::default();
        let room = options().room(&config);
        assert!((300 << 20..1 << 30).contains(&room), "{room}");
        let long = Options { time: Duration::from_hours(24), payload: 1 << 20, ..options() };
        assert!(long.room(&config) < 2 << 30);
        assert!(long.demand().messages > 0);
    }
}
