//! A session as the rest of the broker holds it: its state behind one short lock,
//! and beside it what may be read without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::Turn;
use crate::message::SessionId;
use crate::session::Session;

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
}

impl SessionHandle {
    /// Wraps a session.
    pub fn new(session: Session) -> Arc<Self> {
        Arc::new(Self {
            id: session.id,
            client_id: Arc::clone(&session.client_id),
            online: AtomicBool::new(session.life.connected().is_some()),
            full: AtomicBool::new(false),
            state: Mutex::new(session),
        })
    }

    /// Locks the state. Never held over an await, a disk write, or the lock of
    /// another session.
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

    /// Brings up to date what is read without the lock, and counts the session's
    /// memory. To be called before the lock is released, by whoever changed
    /// connection, queue or window.
    pub fn settle_counts(&self, session: &mut Session, turn: &mut Turn) {
        let full = session.durable && session.is_full_and_refusing();
        if self.full.load(Ordering::Relaxed) != full {
            self.full.store(full, Ordering::Relaxed);
        }
        let online = session.life.connected().is_some();
        if self.online.load(Ordering::Relaxed) != online {
            self.online.store(online, Ordering::Relaxed);
        }
        turn.count_memory(session.memory_change());
    }
}
