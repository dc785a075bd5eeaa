//! Ties sessions, router and store together: connect, publish, deliver, acknowledge, expire,
//! take over.
//!
//! This is where the registry of sessions is, and all rules that concern more than one
//! session. It has no sockets: [`client::Client`] takes packets and fills buffers for its
//! caller.
//!
//! # Order
//! Acting on a session's life requires its permit ([`StepPermit`]). The holder submits its
//! changes before it releases the permit. Locks are taken in the order registry, session,
//! router, retained. Two sessions are never locked at once. No lock is held over an await, a
//! disk write, or the store's own lock.

pub mod admin;
mod admission;
mod attach;
mod background;
pub mod bridge;
mod budget;
mod cleanup;
pub mod client;
mod clock;
mod complete;
mod connect;
mod connect_memory;
mod dead_letter;
mod disconnect;
mod disk_room;
mod end;
mod fanout;
mod gave_way;
mod grant;
mod handle;
mod ids;
mod internal_publish;
mod late_subscribers;
mod longest;
mod memory;
mod ownership;
mod paging;
mod persistence;
mod publish;
mod recent;
mod recovery;
mod registry;
mod reloadable;
mod retained;
mod revocation;
mod rights;
mod routing;
mod settings;
mod shared_redelivery;
mod spare;
mod step;
mod subscribe;
mod subscription_table;
mod sys;
mod timers;
mod traced;
mod turns;
mod waiting;
mod wills;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

pub use budget::Budget;
pub use clock::{Clock, Hand, Now};
pub use connect::Accepted;
pub use connect_memory::{ConnectMemory, ConnectShare};
pub use dead_letter::Refusal;
pub use disconnect::DisconnectKind;
pub use fanout::Fanout;
pub use gave_way::Way;
pub use handle::{SessionGuard, SessionHandle, SessionView, StepPermit};
pub use longest::LongQueue;
pub use persistence::{Persistence, StoreDown};
pub use publish::Publication;
pub use recent::Sample;
pub use reloadable::{ConnectSettings, PublishRates, ReloadableSettings};
pub use routing::Routing;
pub use settings::Settings;
pub use step::Step;
pub use turns::{Load, NextTurn, Turn, Turns};

use self::cleanup::Cleanup;
use self::ids::Ids;
use self::recent::Recent;
use self::registry::Registry;
use self::reloadable::Reloadable;
use self::retained::RetainedMessages;
use self::subscription_table::SubscriptionTable;
use self::timers::Timers;
use crate::auth::bans::AdmissionControl;
use crate::auth::{Authenticator, CurrentRules};
use crate::message::WakeCause;
use crate::store::Recovered;
use crate::sync::Mutex;
use crate::telemetry::{Metrics, Tracing};
use std::sync::atomic::AtomicUsize;

/// The topics that only the broker publishes.
const SYS: &str = "$SYS/";

/// One broker, shared by all connections.
#[derive(Debug)]
pub struct Broker {
    /// The configuration, in the units of the broker.
    pub settings: Settings,
    /// Decides who may connect.
    pub authenticator: Authenticator,
    /// What clients may do. Without any, everything; set before a client connects.
    pub rules: CurrentRules,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// The only source of time.
    pub clock: Clock,
    /// Its name among the hops of messages that pass bridges; another one after a restart.
    pub identity: Arc<str>,
    pub(crate) persistence: Persistence,
    /// Publishers that wait for room in a queue: see `waiting.rs`.
    waiting_publishers: AtomicUsize,
    /// Limits how many busy tasks run at once.
    pub(crate) turns: Turns,
    shares: memory::Shares,
    #[cfg(feature = "failpoints")]
    ways: gave_way::Ways,
    /// Memory for CONNECTs of clients that are not authenticated yet.
    pub(crate) connect_memory: Arc<ConnectMemory>,
    /// Limits per address, and bans.
    admission: Arc<AdmissionControl>,
    reloadable: Reloadable,
    ids: Ids,
    registry: Registry,
    subscriptions: SubscriptionTable,
    retained: RetainedMessages,
    timers: Timers,
    cleanup: Cleanup,
    /// Deliveries of ended sessions that other members may get.
    shared_redelivery: shared_redelivery::SharedRedelivery,
    to_evict: Mutex<Vec<Weak<SessionHandle>>>,
    /// The longest queues, as they were within the last second.
    longest: Mutex<Arc<[LongQueue]>>,
    recent: Recent,
    shutting_down: AtomicBool,
    shutdown: Notify,
    /// Empty if no message is traced.
    tracing: OnceLock<Tracing>,
}

impl Broker {
    /// Creates a broker from the state that the store has recovered.
    pub fn new(
        settings: Settings,
        authenticator: Authenticator,
        metrics: Arc<Metrics>,
        persistence: Persistence,
        recovered: Recovered,
    ) -> Arc<Self> {
        let clock = Clock::of(&recovered);
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
        let connect_memory = ConnectMemory::new(settings.connect_memory);
        let reloadable = Reloadable::new(&settings.reloadable);
        let limits = settings.reloadable.admission.clone();
        let broker = Arc::new(Self {
            admission: AdmissionControl::new(limits, clock.started()),
            reloadable,
            turns: Turns::new(settings.turns),
            clock,
            identity: identity(),
            persistence,
            waiting_publishers: AtomicUsize::new(0),
            shares: memory::Shares::default(),
            #[cfg(feature = "failpoints")]
            ways: gave_way::Ways::default(),
            connect_memory,
            ids,
            registry: Registry::default(),
            subscriptions: SubscriptionTable::new(Arc::clone(&metrics)),
            retained: RetainedMessages::new(&settings, Arc::clone(&metrics)),
            timers: Timers::default(),
            cleanup: Cleanup::default(),
            shared_redelivery: shared_redelivery::SharedRedelivery::default(),
            to_evict: Mutex::default(),
            longest: Mutex::new(Arc::new([])),
            recent: Recent::new(now),
            shutting_down: AtomicBool::new(false),
            shutdown: Notify::new(),
            tracing: OnceLock::new(),
            settings,
            authenticator,
            rules: CurrentRules::default(),
            metrics,
        });
        broker.recover(recovered);
        broker
    }

    /// A client id for a client without one: unique among current sessions, and not
    /// predictable from earlier ones.
    fn assign_client_id(&self) -> String {
        use std::hash::{BuildHasher, Hasher};
        let ids = std::iter::repeat_with(|| {
            // The keys are random for each process.
            let mut hasher = std::hash::RandomState::new().build_hasher();
            hasher.write_u64(self.ids.message().0);
            format!("auto-{:016x}", hasher.finish())
        });
        // The iterator never ends.
        self.registry.first_unused(ids).unwrap_or_default()
    }

    /// The number of sessions with and without a connection.
    pub fn session_counts(&self) -> (usize, usize) {
        self.registry.counts()
    }

    /// Deliveries that are waiting or in flight, over all sessions.
    pub fn queued(&self) -> usize {
        let handles = self.registry.all();
        handles.iter().map(|handle| handle.look().backlog()).sum()
    }

    /// QoS 1 and 2 deliveries that are sent and not acknowledged, counted over all sessions.
    /// The gauge has this value whenever no session is being changed.
    pub fn in_flight(&self) -> usize {
        let handles = self.registry.all();
        handles.iter().map(|handle| handle.look().in_flight()).sum()
    }

    /// The wake-ups of all connected sessions, with client ids. Tests ring them to detect a
    /// wake-up that was forgotten.
    #[cfg(feature = "failpoints")]
    pub fn wakes(&self) -> Vec<(Arc<str>, Arc<crate::message::Wake>)> {
        let handles = self.registry.all();
        let wake_of = |handle: Arc<SessionHandle>| {
            let wake = handle.lock().wake().cloned();
            wake.map(|wake| (Arc::clone(&handle.client_id), wake))
        };
        handles.into_iter().filter_map(wake_of).collect()
    }

    /// Bytes that are held in memory on behalf of clients.
    pub fn memory(&self) -> u64 {
        u64::try_from(self.metrics.messages.memory.get()).unwrap_or(0)
    }

    /// Turns that are granted and have not ended: see [`Turns::in_use`].
    pub fn turns_in_use(&self) -> usize {
        self.turns.in_use()
    }

    /// True if the disk has no room for messages.
    pub fn is_disk_full(&self) -> bool {
        self.persistence.is_full()
    }

    /// Resolves when all connections are closed. To be called after [`Broker::shut_down`].
    pub async fn until_all_left(&self) {
        while self.metrics.connections.listeners.open() > 0 {
            // Connections do not signal their end, so their number is polled, often enough for
            // a shutdown.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Asks every connection to close with a DISCONNECT.
    pub fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::SeqCst);
        self.shutdown.notify_waiters();
        let handles = self.registry.all();
        for handle in handles {
            handle.session_wake().notify(WakeCause::Direct);
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

/// An identifier that no other broker has.
fn identity() -> Arc<str> {
    format!("{:016x}", ahash::RandomState::new().hash_one(std::process::id())).into()
}
