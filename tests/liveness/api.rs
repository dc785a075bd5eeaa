//! The test's interface to the broker: creating a broker, giving it connections, and ringing
//! all wake-ups.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferrymq::auth::Authenticator;
use ferrymq::broker::client::Dialled;
use ferrymq::broker::{Broker, Clock, Hand, Persistence, Settings};
use ferrymq::config::{Config, Protocol};
use ferrymq::message::WallMillis;
use ferrymq::net::{Dial, Origin, dial_stream, serve_stream};
use ferrymq::protocol::Connect;
use ferrymq::schedule::{Hook, Point, set_hook};
use ferrymq::store::{Store, StoreConfig, StoreMetrics, StoreState};
use ferrymq::telemetry::Metrics;
use tempfile::TempDir;

use crate::disk::{Disk, Fault};
use crate::executor::Job;
use crate::shape::Shape;
use crate::stream::{PEER, ServerEnd};

/// True if the connection driver flushes what it has written: only then may streams hold bytes
/// back until a flush.
pub const DRIVER_FLUSHES: bool = true;

/// A day in 2026, in milliseconds since 1970.
const BEGIN: u64 = 1_780_000_000_000;

/// Polls a future that waits for nothing but its turn: between two polls, no connection holds
/// the permit of its session in these tests.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..1_000_000 {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("it waits for somebody");
}

/// Where connections come from.
pub fn origin() -> Origin {
    let (listener, peer) = ("tcp".into(), PEER.into());
    let (protocol, certificate) = (Protocol::Mqtt, None);
    Origin { listener, protocol, loopback: true, peer, is_proxy: false, certificate, client: None }
}

/// A broker whose commits and time are driven by the schedule.
pub struct World {
    pub broker: Arc<Broker>,
    pub store: Store,
    disk: Arc<Disk>,
    hand: Hand,
    directory: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        Disk::forget(self.directory.path());
    }
}

impl World {
    pub fn start(seed: u64, shape: &Shape) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let directory = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let disk = Disk::below(directory.path(), seed);
        let store = StoreConfig {
            reserve_size: 0,
            full_for: Duration::ZERO,
            cache_size: 1 << 20,
            ..StoreConfig::at(directory.path().join("ferrymq.db"))
        };
        let (store, recovered) =
            Store::open_stepped(&store, Arc::new(StoreMetrics::default())).unwrap();
        let config = Config::default();
        let mut settings = Settings::from(&config);
        let limits = Arc::make_mut(&mut settings.session);
        limits.memory_window = shape.memory_window;
        limits.inflight_window = shape.inflight_window;
        limits.max_queued_messages = shape.max_queued;
        settings.max_unanswered = shape.max_unanswered;
        settings.max_pending_writes = shape.max_pending;
        settings.back_pressure = shape.back_pressure;
        settings.receivers_at_once = shape.receivers_at_once;
        settings.reloadable.publish.messages = shape.publish_rate;
        let (clock, hand) = Clock::by_hand(WallMillis(BEGIN));
        let broker = Broker::with_clock(
            clock,
            settings,
            Authenticator::load(&config).unwrap(),
            Arc::new(Metrics::default()),
            Persistence::new(Some(store.clone()), true),
            recovered,
        );
        Self { broker, store, disk, hand, directory }
    }

    /// The task that serves a stream, as a listener would start it.
    pub fn serve(&self, stream: ServerEnd) -> Job {
        Box::pin(serve_stream(Arc::clone(&self.broker), stream, origin()))
    }

    /// The task of a connection that the broker dials, for the session named by the client id.
    pub fn dial(&self, stream: ServerEnd, connect: Connect, dialled: Dialled) -> Job {
        let session = connect.client_id.clone();
        let dial = Dial { connect, session, listener: "bridge".into(), dialled };
        let broker = Arc::clone(&self.broker);
        Box::pin(async move {
            // The other end sees that the connection has ended.
            let _ = dial_stream(broker, stream, &dial).await;
        })
    }

    /// Rings the wake-up of every connected session, as if every event that it may wait for
    /// had happened.
    pub fn notify_everybody(&self) {
        for (_, wake) in self.broker.wakes() {
            wake.notify();
        }
    }

    /// Commits what was submitted, with or without messages held for the elision window.
    pub fn commit(&self, with_held: bool) {
        self.store.step(with_held).expect("the disk does not fail in this simulation");
    }

    /// True if a commit would change something or ring a wake-up.
    pub fn has_work(&self) -> bool {
        self.store.has_work()
    }

    /// Runs the broker's background task once.
    pub fn background(&self) {
        at_once(self.broker.background_once());
        let _ = self.store.step_idle();
    }

    pub fn set_disk_full(&self, full: bool) {
        self.disk.set_fault(full.then_some(Fault::Full));
    }

    /// True if a client waits for its publish rate, and so for time.
    pub fn throttles(&self) -> bool {
        self.broker.metrics.connections.throttled.get() > 0
    }

    /// True if the writer retries messages that found no room.
    pub fn tries_again(&self) -> bool {
        let stalled = self.store.metrics().stalled.load(Ordering::Relaxed);
        self.store.state() == StoreState::Full || stalled > 0
    }

    /// Lets time pass, for the broker and for its timers.
    pub async fn advance(&self, millis: u64) {
        self.hand.advance(Duration::from_millis(millis));
        tokio::time::advance(Duration::from_millis(millis)).await;
        at_once(self.broker.run_due());
    }
}

/// The points at which others may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// The step of a connection has changed memory and is not submitted.
    Step,
    /// A batch is being committed.
    Commit,
}

/// Calls `act` at these points of others, but not within `act` itself.
pub fn within(act: Option<Box<dyn Fn(Within)>>) {
    let hook = |act: Box<dyn Fn(Within)>| -> Hook {
        Box::new(move |point| match point {
            Point::EndOfStep => act(Within::Step),
            Point::BeforeCommit | Point::AfterCommit => act(Within::Commit),
            _ => {}
        })
    };
    set_hook(act.map(hook));
}
