//! Ties sessions, router and store together: connect, publish, deliver, acknowledge,
//! expire, take over.
//!
//! Here live the registry of sessions and the rules that concern more than one of
//! them. No sockets: [`client::Client`] takes packets and fills buffers, whoever
//! drives it. Locks are taken in the order registry, session, router; two sessions
//! are never locked at once; none is held over an await or a disk write.

pub mod admin;
pub mod client;
mod clock;
mod connect;
mod disconnect;
mod handle;
mod ids;
mod longest;
mod paging;
mod persistence;
mod publish;
mod recent;
mod recovery;
mod retained;
mod settings;
mod settle;
mod subscribe;
mod sys;
mod timers;
mod traced;
mod turn;
mod upkeep;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

pub use clock::{Clock, Hand, Now};
pub use connect::Accepted;
pub use disconnect::Leaving;
pub use handle::SessionHandle;
pub use longest::LongQueue;
pub use persistence::{Persistence, StoreDown};
pub use publish::{Prepared, Publication};
pub use recent::Sample;
pub use retained::Retaining;
pub use settings::Settings;
pub use turn::Turn;

use self::disconnect::Registry;
use self::ids::Ids;
use self::recent::Recent;
use self::timers::Timers;
use crate::auth::Authenticator;
use crate::message::{CommitNo, IdList};
use crate::router::{Retained, Router};
use crate::store::{Recovered, RetainedRecord, Submission};
use crate::sync::{Mutex, RwLock};
use crate::telemetry::{Metrics, Tracing};

/// The broker's own topics, which clients cannot write.
const SYS: &str = "$SYS/";

/// One broker; shared by all connections.
#[derive(Debug)]
pub struct Broker {
    /// What the configuration says, in the units that are used here.
    pub settings: Settings,
    /// Who may do what.
    pub authenticator: Authenticator,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    pub(crate) persistence: Persistence,
    ids: Ids,
    router: RwLock<Router<Arc<SessionHandle>>>,
    /// Of the router, readable without its lock.
    generation: AtomicU64,
    retained: RwLock<Retained<Arc<RetainedRecord>>>,
    registry: Mutex<Registry>,
    /// The last commit that ends a session. Written and read under the registry's lock.
    last_end: AtomicU64,
    timers: Timers,
    /// Rows of ended sessions that remain to be dropped.
    purge: Mutex<VecDeque<IdList>>,
    to_forget: Mutex<Vec<Weak<SessionHandle>>>,
    /// Bytes that queues hold in memory.
    memory: AtomicI64,
    /// The longest queues, as they were within the last second.
    longest: Mutex<Arc<[LongQueue]>>,
    recent: Recent,
    shutting_down: AtomicBool,
    shutdown: Notify,
    /// Empty: no message is traced.
    tracing: OnceLock<Tracing>,
}

impl Broker {
    /// Puts a broker together from what a start has found.
    pub fn new(
        settings: Settings,
        authenticator: Authenticator,
        metrics: Arc<Metrics>,
        persistence: Persistence,
        recovered: Recovered,
    ) -> Arc<Self> {
        let clock = Clock::start();
        Self::with_clock(clock, settings, authenticator, metrics, persistence, recovered)
    }

    /// As [`Broker::new`], with a clock of the caller's choice.
    pub fn with_clock(
        clock: Clock,
        settings: Settings,
        authenticator: Authenticator,
        metrics: Arc<Metrics>,
        persistence: Persistence,
        recovered: Recovered,
    ) -> Arc<Self> {
        let ids = Ids::new(recovered.last_message, recovered.last_delivery, recovered.last_session);
        let now = clock.now();
        let broker = Arc::new(Self {
            settings,
            authenticator,
            metrics,
            clock,
            persistence,
            ids,
            router: RwLock::new(Router::new()),
            generation: AtomicU64::new(0),
            retained: RwLock::new(Retained::new()),
            registry: Mutex::default(),
            last_end: AtomicU64::new(0),
            timers: Timers::default(),
            purge: Mutex::default(),
            to_forget: Mutex::default(),
            memory: AtomicI64::new(0),
            longest: Mutex::new(Arc::new([])),
            recent: Recent::new(now),
            shutting_down: AtomicBool::new(false),
            shutdown: Notify::new(),
            tracing: OnceLock::new(),
        });
        broker.recover(recovered);
        broker
    }

    fn submit(&self, submission: &mut Submission) -> Result<CommitNo, StoreDown> {
        self.persistence.submit(submission)
    }

    /// An id for a client that came without one: unique among the living, and not
    /// to be guessed from the one before.
    fn assign_client_id(&self) -> String {
        use std::hash::{BuildHasher, Hasher};
        let registry = self.registry.lock();
        loop {
            // Keyed anew by the operating system's randomness for each process.
            let mut hasher = std::hash::RandomState::new().build_hasher();
            hasher.write_u64(self.ids.message().0);
            let id = format!("auto-{:016x}", hasher.finish());
            if !registry.contains_key(id.as_str()) {
                return id;
            }
        }
    }

    /// Sessions: connected, and waiting for their client.
    pub fn session_counts(&self) -> (usize, usize) {
        let registry = self.registry.lock();
        let online = registry.values().filter(|handle| handle.is_online()).count();
        (online, registry.len() - online)
    }

    /// Deliveries that wait or are in flight, over all sessions.
    pub fn queued(&self) -> usize {
        let handles: Vec<_> = self.registry.lock().values().cloned().collect();
        handles.iter().map(|handle| handle.lock().backlog()).sum()
    }

    /// QoS 1 and 2 messages that are sent and not acknowledged, counted session by
    /// session: what the gauge of them has to show whenever no turn is under way.
    pub fn in_flight(&self) -> usize {
        let handles: Vec<_> = self.registry.lock().values().cloned().collect();
        handles.iter().map(|handle| handle.lock().in_flight()).sum()
    }

    /// The wake-ups of all connected sessions, by client id: for tests, which ring them to
    /// see whether one had been forgotten.
    #[cfg(feature = "failpoints")]
    pub fn wakes(&self) -> Vec<(Arc<str>, Arc<crate::message::Wake>)> {
        let handles: Vec<_> = self.registry.lock().values().cloned().collect();
        let wake_of = |handle: Arc<SessionHandle>| {
            let wake = handle.lock().wake().cloned();
            wake.map(|wake| (Arc::clone(&handle.client_id), wake))
        };
        handles.into_iter().filter_map(wake_of).collect()
    }

    /// Bytes that queues hold in memory.
    pub fn memory(&self) -> u64 {
        u64::try_from(self.memory.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// True if the disk has no room for messages.
    pub fn is_disk_full(&self) -> bool {
        self.persistence.is_full()
    }

    /// Resolves when no connection is left. Only after [`Broker::shut_down`].
    pub async fn until_all_left(&self) {
        while self.metrics.connections.listeners.connected() > 0 {
            // Connections have no one to tell; their number is looked at often
            // enough for a shutdown.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Asks every connection to end with a goodbye.
    pub fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::SeqCst);
        self.shutdown.notify_waiters();
        let handles: Vec<_> = self.registry.lock().values().cloned().collect();
        for handle in handles {
            if let Some(wake) = handle.lock().wake() {
                wake.ring();
            }
        }
    }

    /// True after [`Broker::shut_down`].
    pub fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    /// Resolves at [`Broker::shut_down`].
    pub async fn until_shut_down(&self) {
        let notified = self.shutdown.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.is_shutting_down() {
            notified.await;
        }
    }
}
