//! The broker and its disk: started, stopped in order, killed, or without power.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferrymq::auth::Authenticator;
use ferrymq::broker::{Broker, Clock, Hand, Persistence, Settings};
use ferrymq::config::Config;
use ferrymq::message::WallMillis;
use ferrymq::store::{Store, StoreConfig, StoreMetrics, StoreState};
use ferrymq::telemetry::Metrics;

use crate::common::rng::Rng;
use crate::disk::Disk;
use crate::place::{Directory, Place};
use crate::scheduler::drive;

/// The part of the configuration that differs from seed to seed.
#[derive(Debug, Clone)]
pub struct Shape {
    pub checkpoint_pages: u32,
    pub wal_limit: u64,
    pub max_size: u64,
    pub reserve: u64,
    pub memory_window: usize,
    pub inflight_window: usize,
    pub max_queued: usize,
    pub topic_aliases: u16,
    pub back_pressure: bool,
    pub store_wills: bool,
    /// Bytes; `None` is more than any history needs.
    pub max_memory: Option<i64>,
    /// True without persistence: nothing survives the broker.
    pub volatile: bool,
}

impl Shape {
    pub fn of(rng: &mut Rng) -> Self {
        Self {
            checkpoint_pages: *rng.pick(&[1, 4, 16, 64, 4096]),
            wal_limit: *rng.pick(&[16 << 10, 64 << 10, 1 << 20, 256 << 20]),
            max_size: *rng.pick(&[0, 0, 0, 1 << 20]),
            reserve: *rng.pick(&[0, 0, 64 << 10]),
            memory_window: *rng.pick(&[1, 2, 5, 20, 1000]),
            inflight_window: *rng.pick(&[1, 2, 5, 100]),
            max_queued: *rng.pick(&[10, 1_000_000, 1_000_000, 1_000_000]),
            topic_aliases: *rng.pick(&[0, 2, 8]),
            back_pressure: rng.percent(40),
            store_wills: false,
            max_memory: None,
            volatile: false,
        }
    }
}

pub struct World {
    pub broker: Arc<Broker>,
    pub store: Store,
    pub disk: Arc<Disk>,
    hand: Hand,
    directory: Directory,
    /// Number of batches known to have found no room.
    full: u64,
}

impl Place {
    /// Starts a broker on the directory at `wall` milliseconds since 1970. On failure returns
    /// the reason, and the directory as after another kill.
    pub fn start(self, shape: &Shape, wall: u64) -> Result<World, (Self, String)> {
        let store = StoreConfig {
            max_size: shape.max_size,
            wal_limit: shape.wal_limit,
            wal_checkpoint_pages: shape.checkpoint_pages,
            reserve_size: shape.reserve,
            full_for: Duration::ZERO,
            cache_size: 1 << 20,
            ..StoreConfig::at(self.directory.database())
        };
        let metrics = Arc::new(StoreMetrics::default());
        let (store, recovered) = match Store::open_stepped(&store, metrics) {
            Ok(opened) => opened,
            Err(error) => {
                self.disk.set_dead(false);
                return Err((self, error.to_string()));
            }
        };
        let config = Config::default();
        let mut settings = Settings::from(&config);
        let limits = Arc::make_mut(&mut settings.session);
        limits.memory_window = shape.memory_window;
        limits.inflight_window = shape.inflight_window;
        limits.max_queued_messages = shape.max_queued;
        settings.topic_alias_maximum = shape.topic_aliases;
        settings.back_pressure = shape.back_pressure;
        settings.store_wills = shape.store_wills;
        // Drawn with the window, so that the seeds that are kept stay the histories they are.
        settings.receivers_at_once =
            if shape.inflight_window.is_multiple_of(2) { 0 } else { 1_000 };
        settings.max_memory = shape.max_memory.unwrap_or(settings.max_memory);
        let (clock, hand) = Clock::by_hand(WallMillis(wall));
        let broker = Broker::with_clock(
            clock,
            settings,
            Authenticator::load(&config).unwrap(),
            Arc::new(Metrics::default()),
            Persistence::new((!shape.volatile).then(|| store.clone()), true),
            recovered,
        );
        // As the server does before it listens.
        drive(broker.run_due());
        let Self { disk, directory } = self;
        Ok(World { broker, store, disk, hand, directory, full: 0 })
    }
}

impl World {
    /// The queues on disk as text, for debugging.
    pub fn queues(&self) -> String {
        self.read_queues().unwrap_or_else(|error| format!("  unreadable: {error}\n"))
    }

    fn read_queues(&self) -> rusqlite::Result<String> {
        let path = self.directory.database();
        let file = rusqlite::Connection::open(path)?;
        let mut select = file
            .prepare("SELECT s.client_id, d.id, d.packet_id, d.message, hex(substr(m.payload, 1, 4)), d.received FROM delivery d LEFT JOIN session s ON s.id = d.session LEFT JOIN message m ON m.id = d.message ORDER BY s.client_id, d.id")?;
        let rows = select.query_map([], |row| {
            let (client, id): (Option<String>, i64) = (row.get(0)?, row.get(1)?);
            let (packet, message): (i64, i64) = (row.get(2)?, row.get(3)?);
            let (number, received): (Option<String>, i64) = (row.get(4)?, row.get(5)?);
            let number = number.map(|hex| u32::from_str_radix(&hex, 16).unwrap());
            Ok(format!("  {client:?} delivery {id} packet {packet} row {message} message {number:?} received {received}\n"))
        });
        let mut all: String = rows?.collect::<Result<_, _>>()?;
        let mut select = file
            .prepare("SELECT s.client_id, s.id, u.filter FROM session s LEFT JOIN subscription u ON u.session = s.id")?;
        let rows = select.query_map([], |row| {
            let (client, id): (String, i64) = (row.get(0)?, row.get(1)?);
            let filter: Option<String> = row.get(2)?;
            Ok(format!("  {client} session {id} subscribed to {filter:?}\n"))
        });
        all.push_str(&rows?.collect::<Result<String, _>>()?);
        let mut select = file.prepare(
            "SELECT s.client_id, i.packet_id FROM incoming i JOIN session s ON s.id = i.session",
        )?;
        let rows = select.query_map([], |row| {
            let (client, packet): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok(format!("  {client} has published under packet {packet}, and not released it\n"))
        });
        all.push_str(&rows?.collect::<Result<String, _>>()?);
        let mut select =
            file.prepare("SELECT topic, hex(substr(payload, 1, 4)) FROM retained").unwrap();
        let rows = select.query_map([], |row| {
            let (topic, number): (String, String) = (row.get(0)?, row.get(1)?);
            let number = u32::from_str_radix(&number, 16).unwrap();
            Ok(format!("  retained on {topic}: message {number}\n"))
        });
        all.push_str(&rows?.collect::<Result<String, _>>()?);
        Ok(all)
    }

    /// Retained messages on disk that have not expired: topic to message.
    pub fn retained(&self, now: u64) -> HashMap<String, u32> {
        let path = self.directory.database();
        let file = rusqlite::Connection::open(path).unwrap();
        let mut select = file
            .prepare(
                "SELECT topic, hex(substr(payload, 1, 4)) FROM retained \
                 WHERE expires_at IS NULL OR expires_at > ?1",
            )
            .unwrap();
        let rows = select.query_map([i64::try_from(now).unwrap()], |row| {
            let (topic, number): (String, String) = (row.get(0)?, row.get(1)?);
            Ok((topic, u32::from_str_radix(&number, 16).unwrap()))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Advances the time without running timers.
    pub fn advance(&self, millis: u64) {
        self.hand.advance(Duration::from_millis(millis));
    }

    /// True if the store has found no room on disk since the last call: SQLite reported it, or
    /// the store refused a message or set one aside.
    pub fn has_found_full(&mut self) -> bool {
        let metrics = self.store.metrics();
        let refused = metrics.refused_messages.load(Ordering::Relaxed);
        let errors = metrics.errors();
        let of_sqlite = errors.iter().filter(|(code, _)| *code == rusqlite::ffi::SQLITE_FULL);
        let full = refused + of_sqlite.map(|(_, count)| count).sum::<u64>();
        let stalled = metrics.stalled.load(Ordering::Relaxed) > 0;
        std::mem::replace(&mut self.full, full) < full || stalled
    }

    pub fn is_poisoned(&self) -> bool {
        self.store.state() == StoreState::Poisoned
    }

    /// Kills the process. The caller has dropped its connections before.
    pub fn kill(self) -> Place {
        let Self { broker, store, disk, directory, .. } = self;
        disk.set_dead(true);
        drop(broker);
        drop(store);
        disk.set_dead(false);
        Place { disk, directory }
    }

    /// A stop in order, after the connections have ended. True: the last commits found no
    /// room.
    pub fn shut_down(mut self) -> (Place, bool) {
        let _ = self.store.shutdown(Duration::from_mins(1));
        let full = self.has_found_full();
        let Self { broker, store, disk, directory, .. } = self;
        drop(broker);
        drop(store);
        disk.set_fault(None);
        (Place { disk, directory }, full)
    }
}
