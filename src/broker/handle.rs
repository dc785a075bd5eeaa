//! A session as the rest of the broker holds it: its state behind one short lock, flags that
//! may be read without the lock, and the permit to act on its life.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::Semaphore;

use super::timers::TimerSlots;
use crate::memory::Charge;
use crate::message::{SessionId, SessionWake, Wake};
use crate::router::Availability;
use crate::sabotage::Sabotage;
use crate::session::Session;
use crate::sync::{Mutex, MutexGuard};
use crate::telemetry::Metrics;

#[derive(Debug)]
struct State {
    session: Session,
    /// For what the session takes in memory, without its messages, which have their own.
    charge: Charge,
}

/// Shared by the registry, the router and the session's connection.
#[derive(Debug)]
pub struct SessionHandle {
    /// Of the session.
    pub id: SessionId,
    /// Of the session.
    pub client_id: Arc<str>,
    state: Mutex<State>,
    online: AtomicBool,
    ended: AtomicBool,
    full: AtomicBool,
    memory_only: AtomicBool,
    /// Publishers that wait for room in the queue.
    waiting: Mutex<Vec<Arc<Wake>>>,
    /// Rings the connection that holds the session.
    session_wake: Arc<SessionWake>,
    /// Where its timers stand.
    timers: TimerSlots,
    /// One permit: see [`StepPermit`]. Who waits for it is served in turn.
    permit: Semaphore,
    metrics: Arc<Metrics>,
    /// Bytes of the session and its messages, these as if nobody else had them.
    held: AtomicI64,
    /// Bytes of its connection's buffers.
    buffered: AtomicI64,
    /// A message that it was to get could not be kept: its connection has to end.
    lost_message: AtomicBool,
}

impl SessionHandle {
    /// Wraps a session that nobody acts on.
    pub fn new(session: Session, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::build(session, metrics, 1)
    }

    /// Wraps a session, and gives its permit to the caller.
    pub fn claimed(session: Session, metrics: Arc<Metrics>) -> StepPermit {
        StepPermit { handle: Self::build(session, metrics, 0), rings: false }
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
            state: Mutex::new(State { session, charge: metrics.messages.memory.charge(0) }),
            metrics,
        })
    }

    /// Locks the state, to change it. Never held over an await, a disk write, or the lock
    /// of another session. What others read without the lock, and the gauges, follow when
    /// the guard is dropped.
    #[cfg_attr(feature = "failpoints", track_caller)]
    pub fn lock(&self) -> SessionGuard<'_> {
        SessionGuard { state: self.state.lock(), handle: self, follows: true }
    }

    /// Locks the state, to look at it.
    #[cfg_attr(feature = "failpoints", track_caller)]
    pub fn look(&self) -> SessionView<'_> {
        SessionView(self.state.lock())
    }

    /// The permit for the session's connection, if nobody has it or waits for it.
    pub fn try_begin(self: &Arc<Self>) -> Option<StepPermit> {
        self.try_claim(false)
    }

    /// As [`SessionHandle::begin`], for whoever comes back later instead of waiting.
    pub fn try_begin_beside(self: &Arc<Self>) -> Option<StepPermit> {
        self.try_claim(true)
    }

    fn try_claim(self: &Arc<Self>, rings: bool) -> Option<StepPermit> {
        let permit = self.permit.try_acquire().ok()?;
        permit.forget();
        Some(StepPermit { handle: Arc::clone(self), rings })
    }

    /// The permit, when everybody who came before has given it back. When this one is
    /// given back, the session's connection is rung: it may have asked in vain.
    pub async fn begin(self: &Arc<Self>) -> StepPermit {
        if let Ok(permit) = self.permit.acquire().await {
            permit.forget();
        }
        StepPermit { handle: Arc::clone(self), rings: true }
    }

    /// Rung for everything that is to be done later for whichever connection holds the
    /// session by then.
    pub fn session_wake(&self) -> &Arc<SessionWake> {
        &self.session_wake
    }

    /// When its timers fall due.
    pub(super) fn timers(&self) -> &TimerSlots {
        &self.timers
    }

    /// A connection is there, as far as could be seen without the lock.
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// What there is for choosing it as the member of a shared subscription that gets a
    /// message.
    pub fn availability(&self) -> Availability {
        // Members that have ended stay in the router until they are cleared away.
        if self.ended.load(Ordering::Relaxed) {
            Availability::Ended
        } else if self.is_full() {
            Availability::Full
        } else {
            self.is_online().into()
        }
    }

    /// Its queue has no room and its messages are to be refused.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Has `publisher` rung when the queue has room; at once, if it has.
    pub fn wait_for_room(&self, publisher: &Arc<Wake>) {
        // Whoever makes room does so under the session's lock.
        let _session = self.state.lock();
        if self.is_full() {
            let mut waiting = self.waiting.lock();
            if !waiting.iter().any(|known| Arc::ptr_eq(known, publisher)) {
                waiting.push(Arc::clone(publisher));
            }
        } else {
            publisher.ring();
        }
    }

    /// `publisher` waits no longer.
    pub fn stop_waiting(&self, publisher: &Arc<Wake>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|known| !Arc::ptr_eq(known, publisher));
        if waiting.is_empty() {
            *waiting = Vec::new();
        }
    }

    /// Publishers that wait for room.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }

    /// A subscription has changed: publishers that wait for room in the queue may not have to
    /// wait any more.
    pub fn reconsider(&self) {
        self.waiting.lock().drain(..).for_each(|publisher| publisher.ring());
    }

    /// It outlives its connections, but its messages have no place on disk: memory
    /// is all they have.
    pub fn is_memory_only(&self) -> bool {
        self.memory_only.load(Ordering::Relaxed)
    }

    /// Bytes that its client makes the broker hold: its session, its messages as if nobody
    /// else had them, and its connection's buffers.
    pub fn holds(&self) -> i64 {
        self.held.load(Ordering::Relaxed) + self.buffered.load(Ordering::Relaxed)
    }

    /// Its connection holds so many bytes from now on.
    pub fn set_buffered(&self, bytes: usize) {
        tell(&self.buffered, bytes as u64);
    }

    /// A message that its client was promised cannot be kept: the connection has to end, so
    /// that the client learns of it. To be rung by the caller.
    pub fn note_lost_message(&self) {
        self.lost_message.store(true, Ordering::Relaxed);
    }

    /// True if [`SessionHandle::note_lost_message`] was called since the last time.
    pub fn take_lost_message(&self) -> bool {
        self.lost_message.load(Ordering::Relaxed)
            && self.lost_message.swap(false, Ordering::Relaxed)
    }

    fn follow(&self, State { session, charge }: &mut State) {
        let full = session.outlives() && session.is_full_and_refusing();
        if update(&self.full, full) && !full {
            self.waiting.lock().drain(..).for_each(|publisher| publisher.ring());
        }
        update(&self.memory_only, session.outlives() && !session.durable && session.refuses());
        update(&self.ended, session.life.is_ended());
        update(&self.online, session.life.connected().is_some());
        let twice = if Sabotage::ChargePerReceiver.is_on() { session.message_memory() } else { 0 };
        let own = session.own_memory();
        charge.set(own + twice);
        tell(&self.held, session.holds(own));
        self.metrics.messages.in_flight.add(session.in_flight_change());
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        // The connection's wake-up holds the session's, and the session's the connection's.
        self.session_wake.connect(None);
    }
}

/// Bytes by which [`SessionHandle::holds`] may be wrong: little beside the least share.
const WORTH_TELLING: i64 = 2 << 10;

/// Writes a count of bytes if it has changed by something that counts: others read what
/// stands beside it for each message.
fn tell(count: &AtomicI64, bytes: u64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    if (count.load(Ordering::Relaxed) - bytes).abs() >= WORTH_TELLING {
        count.store(bytes, Ordering::Relaxed);
    }
}

/// Writes only what changes: others read it all the time. True if it has changed.
fn update(flag: &AtomicBool, value: bool) -> bool {
    let changed = flag.load(Ordering::Relaxed) != value;
    if changed {
        flag.store(value, Ordering::Relaxed);
    }
    changed
}

/// A session that is being changed.
#[derive(Debug)]
pub struct SessionGuard<'a> {
    state: MutexGuard<'a, State>,
    handle: &'a SessionHandle,
    follows: bool,
}

impl SessionGuard<'_> {
    /// Has somebody else say later what follows from the changes.
    pub(super) fn follow_later(&mut self) {
        self.follows = false;
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
        if self.follows {
            self.handle.follow(&mut self.state);
        }
    }
}

/// A session that is being looked at.
#[derive(Debug)]
pub struct SessionView<'a>(MutexGuard<'a, State>);

impl Deref for SessionView<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0.session
    }
}

/// The right to act on a session's life and on what its client asks for: a connection's
/// step, a take-over, a timer, an operator. Whoever has it submits what it has decided
/// before it gives it back, so these never overtake each other. Messages for the session
/// come without it.
#[derive(Debug)]
pub struct StepPermit {
    handle: Arc<SessionHandle>,
    /// The session's connection may have asked for it meanwhile.
    rings: bool,
}

impl StepPermit {
    /// Whose permit it is.
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
        if self.rings {
            self.handle.session_wake.ring();
        }
    }
}
