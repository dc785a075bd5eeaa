//! A session as the rest of the broker holds it: its state behind one lock, flags that are
//! read without the lock, and the permit for steps.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;

use super::rights::Rights;
use super::timers::TimerSlots;
use crate::memory::Charge;
use crate::message::{SessionId, SessionWake, Wake, WakeCause};
use crate::protocol::hops;
use crate::router::Availability;
use crate::sabotage::Sabotage;
use crate::session::Session;
use crate::sync::{Mutex, MutexGuard};
use crate::telemetry::Metrics;

#[derive(Debug)]
struct State {
    session: Session,
    /// Charges the session's own memory. Messages have charges of their own.
    charge: Charge,
}

/// Shared by the registry, the router and the session's connection.
#[derive(Debug)]
pub struct SessionHandle {
    /// The identifier of the session.
    pub id: SessionId,
    /// The client id of the session.
    pub client_id: Arc<str>,
    state: Mutex<State>,
    online: AtomicBool,
    ended: AtomicBool,
    full: AtomicBool,
    memory_only: AtomicBool,
    /// Connections of publishers that wait for room in the queue.
    waiting: Mutex<Option<Box<Waiting>>>,
    /// Wakes the connection that holds the session.
    session_wake: Arc<SessionWake>,
    /// When its timers are due.
    timers: TimerSlots,
    /// One permit: see [`StepPermit`]. Tasks that wait for it get it in order.
    permit: Semaphore,
    metrics: Arc<Metrics>,
    /// Bytes of the session and its messages, each message as if it had no other receiver.
    held: AtomicI64,
    /// Bytes of its connection's buffers.
    buffered: AtomicI64,
    /// True if a message for it was lost, so that its connection has to end.
    lost_message: AtomicBool,
    /// What its client may do.
    pub(super) rights: Mutex<Rights>,
    /// See [`hash_of`]: the broker at the other end of its connection, or of the last one; 0: none.
    other_broker: AtomicU64,
    /// The user who owned the session when a restart found it; it counts until a client
    /// connects. Not behind the session's lock, which routing must not take.
    pub(super) recovered_owner: Option<Box<Owner>>,
}

/// Publishers that wait for room. Apart, since few sessions have any.
#[derive(Debug, Default)]
struct Waiting(Vec<Arc<Wake>>);

/// A user name. Apart, since few sessions have one.
#[derive(Debug)]
pub(super) struct Owner(pub(super) Box<str>);

/// Stands for the identifier of a broker, in 8 bytes of each session. Never 0.
fn hash_of(broker: &str) -> u64 {
    static SEEDS: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);
    SEEDS.hash_one(broker).max(1)
}

impl SessionHandle {
    /// Wraps a session whose permit is free.
    pub fn new(session: Session, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::build(session, metrics, 1)
    }

    /// Wraps a session and returns its permit.
    pub fn claimed(session: Session, metrics: Arc<Metrics>) -> StepPermit {
        StepPermit { handle: Self::build(session, metrics, 0), notifies: false }
    }

    fn build(session: Session, metrics: Arc<Metrics>, permits: usize) -> Arc<Self> {
        Arc::new(Self {
            id: session.id,
            client_id: Arc::clone(&session.client_id),
            online: AtomicBool::new(session.life.connected().is_some()),
            ended: AtomicBool::new(false),
            full: AtomicBool::new(false),
            memory_only: AtomicBool::new(false),
            waiting: Mutex::default(),
            session_wake: Arc::default(),
            timers: TimerSlots::default(),
            permit: Semaphore::new(permits),
            held: AtomicI64::new(0),
            buffered: AtomicI64::new(0),
            lost_message: AtomicBool::new(false),
            rights: Mutex::default(),
            other_broker: AtomicU64::new(0),
            recovered_owner: session.owner.clone().map(|owner| Box::new(Owner(owner))),
            state: Mutex::new(State { session, charge: metrics.messages.memory.charge(0) }),
            metrics,
        })
    }

    /// Locks the state for a change. Must not be held over an await, a disk write, or the lock
    /// of another session. When the guard is dropped, the flags that are read without the lock
    /// and the gauges are updated.
    #[cfg_attr(feature = "failpoints", track_caller)]
    pub fn lock(&self) -> SessionGuard<'_> {
        SessionGuard { state: self.state.lock(), handle: self, updates: true }
    }

    /// Locks the state for reading.
    #[cfg_attr(feature = "failpoints", track_caller)]
    pub fn look(&self) -> SessionView<'_> {
        SessionView(self.state.lock())
    }

    /// The permit for the session's connection, if it is free and no task waits for it.
    pub fn try_begin(self: &Arc<Self>) -> Option<StepPermit> {
        self.try_claim(false)
    }

    /// As [`SessionHandle::begin`], for a caller that tries again later instead of waiting.
    pub fn try_begin_beside(self: &Arc<Self>) -> Option<StepPermit> {
        self.try_claim(true)
    }

    fn try_claim(self: &Arc<Self>, notifies: bool) -> Option<StepPermit> {
        let permit = self.permit.try_acquire().ok()?;
        permit.forget();
        Some(StepPermit { handle: Arc::clone(self), notifies })
    }

    /// Waits for the permit. When this permit is released, the session's connection is woken,
    /// because it may have failed to get it.
    pub async fn begin(self: &Arc<Self>) -> StepPermit {
        if let Ok(permit) = self.permit.acquire().await {
            permit.forget();
        }
        StepPermit { handle: Arc::clone(self), notifies: true }
    }

    /// Wakes whichever connection holds the session at the time of the wake-up.
    pub fn session_wake(&self) -> &Arc<SessionWake> {
        &self.session_wake
    }

    /// When its timers are due.
    pub(super) fn timers(&self) -> &TimerSlots {
        &self.timers
    }

    /// True if a client is connected, as last seen without the lock.
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Whether a shared subscription may select this member for a message.
    pub fn availability(&self) -> Availability {
        // Ended members stay in the router until the cleanup.
        if self.ended.load(Ordering::Relaxed) {
            Availability::Ended
        } else if self.is_full() {
            Availability::Full
        } else {
            self.is_online().into()
        }
    }

    /// True if its queue is full and publishers are refused.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Sets the identifier of the broker at the other end of its connection, if it is one that
    /// knows [`hops`].
    pub fn set_other_broker(&self, other: Option<&str>) {
        self.other_broker.store(other.map_or(0, hash_of), Ordering::Relaxed);
    }

    /// True if its messages go to a broker that a message with these [`hops`] has passed, which
    /// therefore needs no room in its queue: it would be dropped in front of the connection.
    pub fn leads_back(&self, passed: Option<&str>) -> bool {
        let Some(passed) = passed else { return false };
        let other = self.other_broker.load(Ordering::Relaxed);
        other != 0 && hops::passed(passed).any(|hop| hash_of(hop) == other)
    }

    /// Wakes `publisher` when the queue has room; at once if it has room now.
    pub fn wait_for_room(&self, publisher: &Arc<Wake>) {
        // Room is made under the session's lock, so no wake-up is lost.
        let _session = self.state.lock();
        if self.is_full() {
            let mut waiting = self.waiting.lock();
            let Waiting(waiting) = &mut **waiting.get_or_insert_default();
            if !waiting.iter().any(|known| Arc::ptr_eq(known, publisher)) {
                waiting.push(Arc::clone(publisher));
            }
        } else {
            publisher.notify();
        }
    }

    /// Removes `publisher` from those that wait for room.
    pub fn stop_waiting(&self, publisher: &Arc<Wake>) {
        let mut waiting = self.waiting.lock();
        let Some(some) = &mut *waiting else { return };
        some.0.retain(|known| !Arc::ptr_eq(known, publisher));
        if some.0.is_empty() {
            *waiting = None;
        }
    }

    /// Publishers that wait for room.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.lock().as_ref().map_or(0, |waiting| waiting.0.len())
    }

    fn notify_waiting(&self) {
        let waiting = self.waiting.lock().take();
        waiting.into_iter().flat_map(|waiting| waiting.0).for_each(|publisher| publisher.notify());
    }

    /// Called after a change of a subscription, which may free publishers from waiting for
    /// room.
    pub fn notify_waiting_publishers(&self) {
        self.notify_waiting();
    }

    /// True if the session outlives its connections, but its messages are in memory only.
    pub fn is_memory_only(&self) -> bool {
        self.memory_only.load(Ordering::Relaxed)
    }

    /// Bytes that the broker holds for this client: its session, its messages as if they had
    /// no other receiver, and its connection's buffers.
    pub fn holds(&self) -> i64 {
        self.held.load(Ordering::Relaxed) + self.buffered.load(Ordering::Relaxed)
    }

    /// Sets the bytes of its connection's buffers.
    pub fn set_buffered(&self, bytes: usize) {
        store_approximately(&self.buffered, bytes as u64);
    }

    /// Records that a message for this client was lost, so that its connection has to end. The
    /// caller wakes the connection.
    pub fn note_lost_message(&self) {
        self.lost_message.store(true, Ordering::Relaxed);
    }

    /// True if [`SessionHandle::note_lost_message`] was called since the last call.
    pub fn take_lost_message(&self) -> bool {
        self.lost_message.load(Ordering::Relaxed)
            && self.lost_message.swap(false, Ordering::Relaxed)
    }

    fn update_shared(&self, State { session, charge }: &mut State) {
        let full = session.outlives() && session.is_full_and_refusing();
        if update(&self.full, full) && !full {
            self.notify_waiting();
        }
        update(&self.memory_only, session.outlives() && !session.durable && session.refuses());
        update(&self.ended, session.life.is_ended());
        update(&self.online, session.life.connected().is_some());
        let twice = if Sabotage::ChargePerReceiver.is_on() { session.message_memory() } else { 0 };
        let own = session.own_memory();
        charge.set(own + twice);
        store_approximately(&self.held, session.holds(own));
        self.metrics.messages.in_flight.add(session.in_flight_change());
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        // Breaks a cycle: the connection's wake-up refers to the session's, and vice versa.
        self.session_wake.connect(None);
    }
}

/// The largest error of [`SessionHandle::holds`], in bytes: small compared to the least share.
const HELD_TOLERANCE: i64 = 2 << 10;

/// Updates a count of bytes if it has changed by `HELD_TOLERANCE` or more. Other threads read
/// the same cache line for each message.
fn store_approximately(count: &AtomicI64, bytes: u64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    if (count.load(Ordering::Relaxed) - bytes).abs() >= HELD_TOLERANCE {
        count.store(bytes, Ordering::Relaxed);
    }
}

/// Writes a flag only if it changes, because other threads read it often. True if it has.
fn update(flag: &AtomicBool, value: bool) -> bool {
    let changed = flag.load(Ordering::Relaxed) != value;
    if changed {
        flag.store(value, Ordering::Relaxed);
    }
    changed
}

/// A session that is locked for a change.
#[derive(Debug)]
pub struct SessionGuard<'a> {
    state: MutexGuard<'a, State>,
    handle: &'a SessionHandle,
    updates: bool,
}

impl SessionGuard<'_> {
    /// Leaves the update of flags and gauges to a later guard.
    pub(super) fn defer_update(&mut self) {
        self.updates = false;
    }
}

impl Deref for SessionGuard<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.state.session
    }
}

impl DerefMut for SessionGuard<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.state.session
    }
}

impl Drop for SessionGuard<'_> {
    fn drop(&mut self) {
        if self.updates {
            self.handle.update_shared(&mut self.state);
        }
    }
}

/// A session that is locked for reading.
#[derive(Debug)]
pub struct SessionView<'a>(MutexGuard<'a, State>);

impl Deref for SessionView<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0.session
    }
}

/// The right to act on a session's life and on its client's requests, for a step of its
/// connection, a take-over, a timer, or an operator. Its holder submits its changes before it
/// releases the permit, so steps of one session are submitted in order. Messages for the
/// session are queued without it.
#[derive(Debug)]
pub struct StepPermit {
    handle: Arc<SessionHandle>,
    /// True if the session's connection may have asked for the permit meanwhile.
    notifies: bool,
}

impl StepPermit {
    /// The session of this permit.
    pub fn session(&self) -> &Arc<SessionHandle> {
        &self.handle
    }
}

impl AsRef<Arc<SessionHandle>> for StepPermit {
    fn as_ref(&self) -> &Arc<SessionHandle> {
        &self.handle
    }
}

impl Drop for StepPermit {
    fn drop(&mut self) {
        self.handle.permit.add_permits(1);
        if self.notifies {
            self.handle.session_wake.notify(WakeCause::Direct);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The allocator's next class after 768 bytes has 896: 12 MiB more for 100,000 sessions.
    #[test]
    fn a_session_and_the_counts_of_its_references_take_768_bytes() {
        const COUNTS: usize = 2 * size_of::<usize>();
        assert!(size_of::<SessionHandle>() + COUNTS <= 768, "{}", size_of::<SessionHandle>());
    }
}
