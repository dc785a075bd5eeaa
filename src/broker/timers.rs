//! Timers of delayed wills and session expiry: one ordered map and one task for all of them.
//!
//! A session has at most one timer of each kind, which is replaced or removed in place. There
//! are therefore at most two timers for each session without a connection, however often
//! clients reconnect.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::{Broker, SessionHandle};
use crate::message::{SessionId, WallMillis};
use crate::schedule::{self, Point};
use crate::sync::Mutex;

/// The kind of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The will delay has passed.
    Will,
    /// The session expiry has passed.
    Expiry,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Will, Self::Expiry];
}

/// When a session's timers are due, used as keys of the map. Changed only under the session's
/// lock.
#[derive(Debug)]
pub struct TimerSlots([AtomicU64; Kind::ALL.len()]);

/// No timer is set.
const UNSET: u64 = u64::MAX;

impl Default for TimerSlots {
    fn default() -> Self {
        Self(Kind::ALL.map(|_| AtomicU64::new(UNSET)))
    }
}

impl TimerSlots {
    fn of(&self, kind: Kind) -> &AtomicU64 {
        let [will, expiry] = &self.0;
        match kind {
            Kind::Will => will,
            Kind::Expiry => expiry,
        }
    }

    /// Sets when the timer is due. Returns when it was due before.
    fn replace(&self, kind: Kind, at: u64) -> Option<WallMillis> {
        let slot = self.of(kind);
        let before = slot.load(Ordering::Relaxed);
        if before != at {
            slot.store(at, Ordering::Relaxed);
        }
        (before != UNSET).then_some(WallMillis(before))
    }

    /// True if the timer is still due at `at`.
    fn is(&self, kind: Kind, at: WallMillis) -> bool {
        self.of(kind).load(Ordering::Relaxed) == at.0
    }
}

/// Ordered by due time. Each session without a connection has an entry, so entries are small:
/// session and kind are one number.
type Key = (WallMillis, u64);

fn key(at: WallMillis, session: SessionId, kind: Kind) -> Key {
    (at, session.0 << 1 | u64::from(kind == Kind::Expiry))
}

fn kind_of((_, name): Key) -> Kind {
    if name & 1 == 0 { Kind::Will } else { Kind::Expiry }
}

/// All timers.
#[derive(Debug, Default)]
pub struct Timers {
    map: Mutex<BTreeMap<Key, Weak<SessionHandle>>>,
    earlier: Notify,
}

impl Timers {
    /// Sets a session's timer of this kind, and replaces the one before. To be called under
    /// the session's lock.
    pub fn set(&self, kind: Kind, at: WallMillis, session: &Arc<SessionHandle>) {
        // `UNSET` itself means that there is no timer.
        let at = WallMillis(at.0.min(UNSET - 1));
        let before = session.timers().replace(kind, at.0);
        let mut map = self.map.lock();
        if let Some(before) = before {
            map.remove(&key(before, session.id, kind));
        }
        let is_first = map.first_key_value().is_none_or(|((first, _), _)| at < *first);
        map.insert(key(at, session.id, kind), Arc::downgrade(session));
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Removes a session's timers. To be called under the session's lock.
    pub fn cancel(&self, session: &SessionHandle) {
        for kind in Kind::ALL {
            if let Some(at) = session.timers().replace(kind, UNSET) {
                self.map.lock().remove(&key(at, session.id, kind));
            }
        }
    }

    /// Resolves when a timer was set that is due before all others.
    pub async fn changed(&self) {
        self.earlier.notified().await;
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<WallMillis> {
        self.map.lock().first_key_value().map(|((at, _), _)| *at)
    }

    /// The number of timers.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.map.lock().len()
    }

    fn pop_due(&self, now: WallMillis) -> Option<(Kind, WallMillis, Weak<SessionHandle>)> {
        let mut map = self.map.lock();
        let first = map.first_entry().filter(|first| first.key().0 <= now)?;
        let (key, session) = first.remove_entry();
        Some((kind_of(key), key.0, session))
    }
}

/// Milliseconds until a timer is retried whose session's permit was taken.
const RETRY: u64 = 20;

impl Broker {
    /// Runs the timers that are due. Must not be cancelled.
    ///
    /// Does not wait for permits: a timer whose session's permit is taken is retried a little
    /// later, so that no client delays the timers of others.
    pub async fn run_due(self: &Arc<Self>) {
        let now = self.clock.now().wall;
        while let Some((kind, at, session)) = self.timers.pop_due(now) {
            schedule::reached(Point::Timer);
            if let Some(handle) = session.upgrade() {
                match (handle.try_begin_beside(), kind) {
                    (Some(permit), Kind::Will) if take(&handle, kind, at) => {
                        self.will_is_due(permit).await;
                    }
                    (Some(permit), Kind::Expiry) if take(&handle, kind, at) => {
                        self.session_expires(permit).await;
                    }
                    (Some(_), _) => {}
                    (None, _) => self.retry(kind, (at, now), &handle),
                }
            }
            // Thousands of timers may be due at once.
            tokio::task::yield_now().await;
        }
    }

    /// Retries a timer later, because the session's permit is taken. Its holder may cancel the
    /// timer.
    fn retry(&self, kind: Kind, (at, now): (WallMillis, WallMillis), handle: &Arc<SessionHandle>) {
        let _session = handle.look();
        if handle.timers().is(kind, at) {
            self.timers.set(kind, WallMillis(now.0 + RETRY), handle);
        }
    }
}

/// Removes a timer that is due. False: it was replaced or cancelled meanwhile. The caller
/// holds the session's permit.
fn take(handle: &SessionHandle, kind: Kind, at: WallMillis) -> bool {
    let _session = handle.look();
    let is_due = handle.timers().is(kind, at);
    if is_due {
        handle.timers().replace(kind, UNSET);
    }
    is_due
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::protocol::Version;
    use crate::session::Session;
    use crate::telemetry::Metrics;

    fn sessions(count: u64) -> Vec<Arc<SessionHandle>> {
        let limits = crate::broker::Settings::from(&Config::default()).session;
        let metrics = Arc::new(Metrics::default());
        let session = |id| {
            let limits = Arc::clone(&limits);
            let session = Session::new(SessionId(id), "c".into(), Version::V5, limits);
            SessionHandle::new(session, Arc::clone(&metrics))
        };
        (0..count).map(session).collect()
    }

    #[derive(Debug, Clone)]
    enum Act {
        Set(usize, Kind, u64),
        Cancel(usize),
        Due(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        let kind = prop::sample::select(Kind::ALL.to_vec());
        prop_oneof![
            4 => (0usize..5, kind, 0u64..50).prop_map(|(who, kind, at)| Act::Set(who, kind, at)),
            2 => (0usize..5).prop_map(Act::Cancel),
            1 => (0u64..60).prop_map(Act::Due),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_naive_list(acts in prop::collection::vec(act(), 0..200)) {
            let (timers, sessions) = (Timers::default(), sessions(5));
            let mut model: BTreeMap<(usize, Kind), u64> = BTreeMap::new();
            for act in acts {
                match act {
                    Act::Set(who, kind, at) => {
                        timers.set(kind, WallMillis(at), &sessions[who]);
                        model.insert((who, kind), at);
                    }
                    Act::Cancel(who) => {
                        timers.cancel(&sessions[who]);
                        model.retain(|(other, _), _| *other != who);
                    }
                    Act::Due(now) => {
                        let (mut found, mut last) = (BTreeMap::new(), WallMillis(0));
                        while let Some(next) = timers.next().filter(|next| next.0 <= now) {
                            prop_assert!(next >= last);
                            last = next;
                            let (kind, at, session) = timers.pop_due(WallMillis(now)).unwrap();
                            let session = session.upgrade().unwrap();
                            prop_assert!(at == next && take(&session, kind, at));
                            let who = usize::try_from(session.id.0).unwrap();
                            found.insert((who, kind), next.0);
                        }
                        prop_assert!(timers.pop_due(WallMillis(now)).is_none());
                        let due: BTreeMap<_, _> =
                            model.extract_if(.., |_, at| *at <= now).collect();
                        prop_assert_eq!(found, due);
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                let next = model.values().min().copied();
                prop_assert_eq!(timers.next().map(|at| at.0), next);
            }
        }
    }
}
