//! The recovery drill: tests whether this broker, with this configuration on this volume,
//! keeps its promises when it is killed.
//!
//! A separate broker ([`crate::sandbox`]) serves durable publishers and subscribers. Clients
//! are cut off at random; the broker is repeatedly killed with SIGKILL in the middle of the
//! traffic and started again. At the end all clients reconnect, and what was acknowledged is
//! compared with what arrived.
//!
//! The clients, the rounds and the verdict live here; arguments and printing are in
//! [`crate::cli`].

mod client;
mod clients;
mod error;
mod report;
mod retained;
mod rng;
mod scenario;

use std::path::Path;
use std::time::Duration;

pub use error::DrillError;
pub use report::{Report, Retained, Round, Row};
pub use rng::Rng;

use crate::config::Config;
use crate::load::Stop;
use crate::sandbox::{
    Broker, Demand, Level, Scratch, configuration, raise_file_limit, require_room,
};
use clients::Clients;

/// Bytes of each payload; small, since the drill tests many commits.
const PAYLOAD: usize = 64;

/// Bytes of a message with all its deliveries on disk: five queues, and pages left half empty.
/// The largest measured was 400.
const ON_DISK: u64 = 1_000;

/// Parameters of a drill.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Number of kills, at least 1.
    pub rounds: u32,
    /// Longest time of each round; it ends at a random moment of the second half.
    pub time: Duration,
    /// Messages per second of all publishers together.
    pub rate: f64,
    /// Seed of all random choices. Their effects still depend on the timing of the machine.
    pub seed: u64,
    /// Durability of the broker.
    pub level: Level,
}

impl Options {
    // Rates and times are far below 2^52.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn demand(&self) -> Demand {
        let messages = self.rate * self.time.as_secs_f64() * f64::from(self.rounds);
        let messages = (messages * 1.2) as u64 + 10_000;
        let bytes = messages.saturating_mul(PAYLOAD as u64 + 150);
        Demand { messages, bytes, packet: 1024, clients: 100 }
    }

    fn room(&self, config: &Config) -> u64 {
        let log = config.persistence.wal_limit.bytes();
        self.demand().messages.saturating_mul(ON_DISK).saturating_add(log)
    }
}

/// Runs the drill. `progress` gets the number of finished rounds and the current activity.
///
/// # Errors
/// See [`DrillError`]: the drill could not be carried out. A broken promise is not an error;
/// the report names it.
pub fn run(
    config: &Config,
    options: &Options,
    stop: &Stop,
    progress: &mut dyn FnMut(u32, &str),
) -> Result<Report, DrillError> {
    if options.level == Level::Memory {
        return Err(DrillError::Memory);
    }
    raise_file_limit(100)?;
    let scratch = Scratch::beside(&config.persistence.path, "drill")?;
    require_room(scratch.path(), options.room(config))?;
    let own = configuration(config, scratch.path(), options.level, options.demand());
    let mut rng = Rng::new(options.seed);
    progress(0, "starting");
    let mut broker = Broker::start(scratch.path(), &own, stop)?;
    let mut clients = Clients::assemble(&mut broker, stop)?;
    let mut report = Report::new(scratch.path(), options);
    for round in 0..options.rounds {
        progress(round, "traffic");
        // At least half of the time, so that messages are in flight.
        let time = options.time.mul_f64(0.5 + rng.share() / 2.0);
        clients.traffic(&mut broker, time, options.rate, &mut rng)?;
        let acknowledged = clients.acknowledged();
        broker.kill();
        clients.after_the_kill()?;
        let database_bytes = size(&own.persistence.path);
        progress(round, "restarting");
        broker = Broker::start(scratch.path(), &own, stop)?;
        report.retained.add(clients.check_retained(broker.address(), stop)?);
        report.rounds.push(Round {
            killed_after_seconds: time.as_secs_f64(),
            acknowledged,
            ready_seconds: broker.ready_after().as_secs_f64(),
            database_bytes,
        });
    }
    progress(options.rounds, "draining");
    report.drained_seconds = clients.drain(&mut broker)?.as_secs_f64();
    clients.account(&mut report);
    report.database_bytes = size(&own.persistence.path);
    broker.kill();
    report.judge();
    Ok(report)
}

/// Size of database and write-ahead log in bytes.
fn size(database: &Path) -> u64 {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let of = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    of(database) + of(Path::new(&log))
}
