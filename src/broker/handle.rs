//! A session as the rest of the broker holds it: its state behind one short lock,
//! and beside it what may be read without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Turn;
use crate::message::{SessionId, Wake};
use crate::session::Session;
use crate::sync::{Mutex, MutexGuard};

/// Shared by the registry, the router and the session's connection.
#[derive(Debug)]
pub struct SessionHandle {
    /// Of the session.
    pub id: SessionId,
    /// Of the session.
    pub client_id: Arc<str>,
    state: Mutex<Session>,
    online: AtomicBool,
    full: AtomicBool,
    memory_only: AtomicBool,
    /// Publishers that wait for room in the queue.
    waiting: Mutex<Vec<Arc<Wake>>>,
}

impl SessionHandle {
    /// Wraps a session.
    pub fn new(session: Session) -> Arc<Self> {
        Arc::new(Self {
            id: session.id,
            client_id: Arc::clone(&session.client_id),
            online: AtomicBool::new(session.life.connected().is_some()),
            full: AtomicBool::new(false),
            memory_only: AtomicBool::new(false),
            waiting: Mutex::default(),
            state: Mutex::new(session),
        })
    }

    /// Locks the state. Never held over an await, a disk write, or the lock of
    /// another session.
    #[cfg_attr(feature = "failpoints", track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, Session> {
        self.state.lock()
    }

    /// A connection is there, as far as could be seen without the lock.
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
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

    /// It outlives its connections, but its messages have no place on disk: memory
    /// is all they have.
    pub fn is_memory_only(&self) -> bool {
        self.memory_only.load(Ordering::Relaxed)
    }

    /// Brings up to date what is read without the lock, and counts the session's
    /// memory and what it has in flight. To be called before the lock is released, by whoever changed
    /// connection, queue or window.
    pub fn settle_counts(&self, session: &mut Session, turn: &mut Turn) {
        let full = session.outlives() && session.is_full_and_refusing();
        if update(&self.full, full) && !full {
            self.waiting.lock().drain(..).for_each(|publisher| publisher.ring());
        }
        update(&self.memory_only, session.outlives() && !session.durable && session.refuses());
        update(&self.online, session.life.connected().is_some());
        turn.count_memory(session.memory_change());
        turn.count_in_flight(session.in_flight_change());
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
