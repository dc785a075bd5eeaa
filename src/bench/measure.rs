//! One measurement: starts a broker, applies a load, stops it.

use std::path::Path;
use std::time::{Duration, Instant};

use super::disk::per_second;
use super::report::{Latency, Load, Receiver, Throughput, Times};
use super::{BenchError, Options, Stop};
use crate::config::Config;
use crate::load::{Findings, Generator, LoadError};
use crate::sandbox::{Broker, Level, Sample, SandboxError, Scratch, Usage, configuration};

/// How long a load may make no progress.
const PATIENCE: Duration = Duration::from_secs(10);

/// Window of a load at a fixed rate. If more messages wait for an answer, the rate drops;
/// their latency still counts.
const FIXED_RATE_WINDOW: u16 = 8_192;

/// The context that all measurements share.
pub(super) struct Bench<'a> {
    pub(super) config: &'a Config,
    pub(super) options: &'a Options,
    pub(super) scratch: &'a Scratch,
    pub(super) stop: &'a Stop,
}

/// The result of a measurement with full windows.
struct Full {
    messages: u64,
    time: Duration,
    usage: Usage,
    drained_per_second: Option<f64>,
    findings: Findings,
}

impl Bench<'_> {
    /// Measures throughput with full windows.
    pub(super) fn throughput(&self, load: Load, level: Level) -> Result<Throughput, BenchError> {
        let full = self.with_broker(level, |broker| self.full(load, broker))?;
        Ok(row(load, level, &full))
    }

    /// Measures latency at a fixed rate, in messages per second.
    pub(super) fn latency(
        &self,
        load: Load,
        level: Level,
        rate: f64,
    ) -> Result<Latency, BenchError> {
        let (acknowledged, received) =
            self.with_broker(level, |broker| self.paced(load, broker, rate))?;
        Ok(Latency {
            qos: load.qos,
            subscriber: load.subscriber,
            durability: level,
            messages_per_second: rate,
            acknowledged,
            received,
        })
    }

    fn full(&self, load: Load, broker: &Broker) -> Result<Full, BenchError> {
        let options = self.options;
        let limit = options.demand().messages;
        let mut generator = self.generator(load, broker, options.window)?;
        // Warm-up: connections, caches and the first checkpoint are not measured.
        generator.run_full(options.time / 5, limit / 5)?;
        let before = Sample::take(broker)?;
        let (began, acknowledged) = (Instant::now(), generator.acknowledged());
        generator.run_full(options.time, limit)?;
        let (time, messages) = (began.elapsed(), generator.acknowledged() - acknowledged);
        let usage = before.until(&Sample::take(broker)?);
        quiesce(&mut generator, load)?;
        let drained_per_second = match load.subscriber {
            Receiver::Online => None,
            Receiver::Offline => {
                let began = Instant::now();
                generator.attach(broker.address())?;
                quiesce(&mut generator, load)?;
                Some(per_second(generator.received(), began.elapsed()))
            }
        };
        Ok(Full { messages, time, usage, drained_per_second, findings: generator.findings() })
    }

    fn paced(
        &self,
        load: Load,
        broker: &Broker,
        rate: f64,
    ) -> Result<(Option<Times>, Option<Times>), BenchError> {
        let mut generator = self.generator(load, broker, FIXED_RATE_WINDOW)?;
        generator.run_paced(rate, self.options.time / 5)?;
        quiesce(&mut generator, load)?;
        generator.forget_times();
        generator.run_paced(rate, self.options.time)?;
        quiesce(&mut generator, load)?;
        Ok((Times::of(&generator.acknowledgement()), Times::of(&generator.arrival)))
    }

    fn generator(&self, load: Load, broker: &Broker, window: u16) -> Result<Generator, BenchError> {
        let shape = self.options.shape(load, window);
        let address = broker.address();
        if load.subscriber == Receiver::Offline {
            Generator::leave_session(address, &shape)?;
        }
        let mut generator = Generator::connect(address, &shape, self.stop)?;
        if load.subscriber == Receiver::Online {
            generator.attach(address)?;
        }
        Ok(generator)
    }

    /// Starts a broker, calls `work`, ends the broker and removes its files.
    fn with_broker<T>(
        &self,
        level: Level,
        work: impl FnOnce(&Broker) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let directory = self.scratch.directory("broker")?;
        let own = configuration(self.config, &directory, level, self.options.demand());
        let mut broker = Broker::start(&directory, &own, self.stop)?;
        let done = match work(&broker) {
            // If the broker has failed, that is the cause of the broken connections.
            Err(BenchError::Load(error)) if error.is_broken() && broker_ends(&mut broker) => {
                Err(broker.failed("ended while it was measured").into())
            }
            done => done,
        };
        drop(broker);
        remove(&directory)?;
        done
    }
}

/// True if the broker ends within 500 ms: connections break before the process has ended.
fn broker_ends(broker: &mut Broker) -> bool {
    let deadline = Instant::now() + Duration::from_millis(500);
    while Instant::now() < deadline {
        if broker.has_ended() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn remove(directory: &Path) -> Result<(), SandboxError> {
    std::fs::remove_dir_all(directory)
        .map_err(|source| SandboxError::Directory { path: directory.to_path_buf(), source })
}

fn quiesce(generator: &mut Generator, load: Load) -> Result<(), BenchError> {
    match generator.quiesce(PATIENCE) {
        Ok(true) => Ok(()),
        Ok(false) => Err(BenchError::Stuck(load.to_string())),
        Err(LoadError::Interrupted) => Err(LoadError::Interrupted.into()),
        Err(error) => Err(error.into()),
    }
}

#[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
fn row(load: Load, level: Level, full: &Full) -> Throughput {
    let usage = &full.usage;
    let elapsed = usage.elapsed.max(1e-9);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let messages = (full.messages as f64).max(1.0);
    let of_all_cores = |cpu: f64| (cpu / elapsed / cores).clamp(0.0, 1.0);
    Throughput {
        qos: load.qos,
        subscriber: load.subscriber,
        durability: level,
        messages: full.messages,
        seconds: full.time.as_secs_f64(),
        messages_per_second: per_second(full.messages, full.time),
        drained_per_second: full.drained_per_second,
        broker_cpu_seconds_per_message: usage.broker_cpu / messages,
        cpu_share: usage.machine_cpu.map(of_all_cores),
        clients_cpu_share: of_all_cores(usage.own_cpu),
        writer_cpu_share: (usage.writer_cpu / elapsed).clamp(0.0, 1.0),
        writer_busy_share: (usage.committing / elapsed).clamp(0.0, 1.0),
        disk_wait_share: (usage.disk_wait / elapsed).clamp(0.0, 1.0),
        commits_per_second: usage.commits / elapsed,
        elided_share: usage.elided / (usage.elided + usage.committed).max(1.0),
        written_bytes_per_message: usage.written as f64 / messages,
        findings: full.findings,
    }
}
