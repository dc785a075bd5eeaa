//! One broker on its disk, with the tasks of its connections: started, killed, or without power.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ferrymq::auth::Authenticator;
use ferrymq::broker::{Broker, Clock, Hand, Persistence, Settings};
use ferrymq::config::{Config, Protocol};
use ferrymq::message::WallMillis;
use ferrymq::net::{Origin, serve_stream};
use ferrymq::store::{Store, StoreConfig, StoreMetrics, StoreState};
use ferrymq::telemetry::Metrics;

use crate::common::rng::Rng;
use crate::disk::Fault;
use crate::executor::{Executor, Job};
use crate::place::Place;
use crate::shape::{LARGE, REMOTE, Shape};
use crate::stream::{PEER, ServerEnd};

/// Polls a future that waits for nothing but its turn.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..1_000_000 {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("it waits for somebody");
}

/// A row of the table `dead_letter`.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub message: u32,
    pub reason: Option<u8>,
    #[allow(dead_code)] // For who reads a failure.
    pub detail: String,
}

pub struct Node {
    pub at: usize,
    pub broker: Arc<Broker>,
    store: Store,
    hand: Hand,
    executor: Executor,
    next_task: u64,
    place: Place,
}

impl Node {
    /// Starts a broker at `wall` milliseconds since 1970. `max_packet`: the largest packet that
    /// the remote broker takes.
    pub fn start(at: usize, place: Place, shape: &Shape, max_packet: u32, wall: u64) -> Self {
        let config = StoreConfig {
            reserve_size: 0,
            full_for: Duration::ZERO,
            cache_size: 1 << 20,
            ..StoreConfig::at(place.directory.database())
        };
        let (store, recovered) =
            Store::open_stepped(&config, Arc::new(StoreMetrics::default())).expect("it starts");
        let config = Config::default();
        let mut settings = Settings::from(&config);
        let limits = Arc::make_mut(&mut settings.session);
        limits.memory_window = shape.memory_window;
        limits.inflight_window = shape.inflight_window;
        limits.max_queued_messages = shape.other_queue;
        settings.max_packet_size = if at == REMOTE { max_packet } else { LARGE };
        settings.receive_maximum = shape.remote_receive_maximum;
        settings.topic_alias_maximum = shape.topic_aliases;
        settings.back_pressure = shape.back_pressure;
        settings.receivers_at_once = shape.receivers_at_once;
        let (clock, hand) = Clock::by_hand(WallMillis(wall));
        let broker = Broker::with_clock(
            clock,
            settings,
            Authenticator::load(&config).unwrap(),
            Arc::new(Metrics::default()),
            Persistence::new(Some(store.clone()), true),
            recovered,
        );
        at_once(broker.run_due());
        Self { at, broker, store, hand, executor: Executor::default(), next_task: 1, place }
    }

    /// Kills the process.
    pub fn kill(self) -> Place {
        let Self { broker, store, executor, place, .. } = self;
        place.disk.set_dead(true);
        drop(executor);
        drop(broker);
        drop(store);
        place.disk.set_dead(false);
        place
    }

    // Tasks.

    pub fn spawn(&mut self, job: Job) {
        self.executor.spawn(self.next_task, job);
        self.next_task += 1;
    }

    /// Serves a stream as a listener would.
    pub fn serve(&mut self, stream: ServerEnd) {
        let origin = Origin {
            listener: "tcp".into(),
            protocol: Protocol::Mqtt,
            loopback: true,
            peer: PEER.into(),
            is_proxy: false,
            certificate: None,
            client: None,
        };
        self.spawn(Box::pin(serve_stream(Arc::clone(&self.broker), stream, origin)));
    }

    /// Polls a task that was woken. False if there is none.
    pub fn poll_some(&mut self, rng: &mut Rng) -> bool {
        let ready = self.executor.ready();
        if ready.is_empty() {
            return false;
        }
        let number = *rng.pick(&ready);
        if let Some(taken) = self.executor.take(number) {
            match taken.poll() {
                Some(taken) => self.executor.put_back(taken),
                None => self.executor.remove(number),
            }
        }
        true
    }

    pub fn is_idle(&self) -> bool {
        self.executor.ready().is_empty() && !self.store.has_work()
    }

    // Store and time.

    /// Commits what was submitted, with or without messages held for the elision window.
    pub fn commit(&self, with_held: bool) {
        let _ = self.store.step(with_held);
    }

    /// The process will die after this many more changes of the disk.
    pub fn dies_after(&self, changes: u64) {
        self.place.disk.set_fault(Some(Fault::Death(changes)));
    }

    /// Runs the broker's background task once.
    pub fn background(&self) {
        at_once(self.broker.background_once());
        let _ = self.store.step_idle();
    }

    /// Advances the broker's clock. The runtime's has been advanced before.
    pub fn advance(&self, millis: u64) {
        self.hand.advance(Duration::from_millis(millis));
        at_once(self.broker.run_due());
    }

    pub fn is_poisoned(&self) -> bool {
        self.store.state() == StoreState::Poisoned
    }

    // What is on disk.

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.place.directory.database()).unwrap()
    }

    /// Rows that exist only while a message is under way, as text; empty if there are none.
    pub fn rows(&self) -> String {
        let file = self.file();
        let mut all = String::new();
        for table in ["message", "delivery", "incoming"] {
            let count = format!("SELECT count(*) FROM {table}");
            let count: i64 = file.query_row(&count, [], |row| row.get(0)).unwrap();
            if count > 0 {
                let _ = write!(all, "{count} rows in {table} of broker {}; ", self.at);
            }
        }
        all
    }

    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let file = self.file();
        let mut select =
            file.prepare("SELECT payload, reason, detail FROM dead_letter ORDER BY id").unwrap();
        let rows = select.query_map([], |row| {
            let payload: Vec<u8> = row.get(0)?;
            let message = u32::from_be_bytes(payload[..4].try_into().unwrap());
            Ok(DeadLetter { message, reason: row.get(1)?, detail: row.get(2)? })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The state as text, for debugging.
    pub fn describe(&self) -> String {
        let (queued, in_flight) = (self.broker.queued(), self.broker.in_flight());
        let ready = self.executor.ready();
        format!(
            "broker {}: {queued} deliveries queued, {in_flight} in flight, tasks {:?} of {:?} \
             ready, work for the store: {}; {}",
            self.at,
            ready,
            self.executor.all(),
            self.store.has_work(),
            self.rows()
        )
    }
}
