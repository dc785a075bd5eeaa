//! The registry: the current session of each client id. Owns its lock, which is the first in
//! the order of locks.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SessionHandle;
use crate::message::CommitNo;
use crate::sync::Mutex;

/// Sessions that are read under one hold of the lock: about 20 µs.
const PAGE: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Ordered by client id, so that a long list can be read in pages.
    sessions: Mutex<BTreeMap<Arc<str>, Arc<SessionHandle>>>,
    /// The last commit that includes the end of a session. Set before the session is removed.
    last_end: AtomicU64,
}

/// The result of [`Registry::find_or_insert`].
pub(super) enum Entry<T> {
    /// The session existed.
    Found(Arc<SessionHandle>),
    /// The session was created.
    Inserted(T),
}

impl Registry {
    /// The session of a client.
    pub(super) fn get(&self, client_id: &str) -> Option<Arc<SessionHandle>> {
        self.sessions.lock().get(client_id).cloned()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<SessionHandle>> {
        self.sessions.lock().values().cloned().collect()
    }

    /// The next sessions from `from` on, by client id. Empty at the end.
    pub(super) fn page(&self, from: Bound<&str>) -> Vec<Arc<SessionHandle>> {
        let sessions = self.sessions.lock();
        let next = sessions.range::<str, _>((from, Bound::Unbounded)).take(PAGE);
        next.map(|(_, handle)| Arc::clone(handle)).collect()
    }

    /// The next sessions after `after`, by client id. Empty at the end.
    pub(super) fn page_behind(&self, after: Option<&str>) -> Vec<Arc<SessionHandle>> {
        self.page(after.map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// Returns the session of a client, or inserts the one that `make` creates from the number
    /// of sessions. `admit` is called first. Both are called under the lock.
    ///
    /// # Errors
    /// Those of `admit` and `make`; then nothing has changed.
    pub(super) fn find_or_insert<T: AsRef<Arc<SessionHandle>>, E>(
        &self,
        client_id: &str,
        admit: impl FnOnce() -> Result<(), E>,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<Entry<T>, E> {
        let mut sessions = self.sessions.lock();
        admit()?;
        if let Some(handle) = sessions.get(client_id) {
            return Ok(Entry::Found(Arc::clone(handle)));
        }
        let inserted = make(sessions.len())?;
        let handle = inserted.as_ref();
        sessions.insert(Arc::clone(&handle.client_id), Arc::clone(handle));
        Ok(Entry::Inserted(inserted))
    }

    /// Inserts a session, and replaces the one with the same client id.
    pub(super) fn insert(&self, handle: &Arc<SessionHandle>) {
        self.sessions.lock().insert(Arc::clone(&handle.client_id), Arc::clone(handle));
    }

    /// Removes an ended session, unless another one has taken its place.
    pub(super) fn remove(&self, handle: &Arc<SessionHandle>) {
        let mut sessions = self.sessions.lock();
        if sessions.get(&handle.client_id).is_some_and(|known| Arc::ptr_eq(known, handle)) {
            sessions.remove(&handle.client_id);
        }
    }

    /// The number of sessions with and without a connection.
    pub(super) fn counts(&self) -> (usize, usize) {
        let sessions = self.sessions.lock();
        let online = sessions.values().filter(|handle| handle.is_online()).count();
        (online, sessions.len() - online)
    }

    /// The first of these client ids that is not in use.
    pub(super) fn first_unused(&self, mut ids: impl Iterator<Item = String>) -> Option<String> {
        let sessions = self.sessions.lock();
        ids.find(|id| !sessions.contains_key(id.as_str()))
    }

    /// Records that the end of a session is in this commit.
    pub(super) fn note_end(&self, commit: CommitNo) {
        self.last_end.fetch_max(commit, Ordering::SeqCst);
    }

    /// The last commit that includes the end of a removed session.
    pub(super) fn last_end(&self) -> CommitNo {
        self.last_end.load(Ordering::SeqCst)
    }
}
