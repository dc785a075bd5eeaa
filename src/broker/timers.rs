//! What falls due later: delayed wills and the expiry of sessions. One ordered map and
//! one task for all of them.
//!
//! A session has at most one timer of each kind, which is replaced or cancelled in place:
//! so there are never more than two for each session that waits for its client, however
//! often clients come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::budget::yield_now;
use super::{Broker, SessionHandle};
use crate::message::{SessionId, WallMillis};
use crate::schedule::{self, Point};
use crate::sync::Mutex;

/// What falls due.
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

/// When a session's timers fall due, to find them again. Changed only under the session's
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
    /// Returns when the timer was to fall due before.
    fn replace(&self, kind: Kind, at: u64) -> Option<WallMillis> {
        let [will, expiry] = &self.0;
        let slot = match kind {
            Kind::Will => will,
            Kind::Expiry => expiry,
        };
        let before = slot.load(Ordering::Relaxed);
        if before != at {
            slot.store(at, Ordering::Relaxed);
        }
        (before != UNSET).then_some(WallMillis(before))
    }
}

/// In the order in which they fall due.
type Key = (WallMillis, SessionId, Kind);

/// The epoch tells whether the session has been connected since: a timer that fell due
/// just before that is void.
#[derive(Debug)]
struct Timer {
    session: Weak<SessionHandle>,
    epoch: u64,
}

/// All timers.
#[derive(Debug, Default)]
pub struct Timers {
    map: Mutex<BTreeMap<Key, Timer>>,
    earlier: Notify,
}

impl Timers {
    /// Sets a session's timer of this kind, in place of the one before. To be called under
    /// the session's lock.
    pub fn set(&self, kind: Kind, at: WallMillis, session: &Arc<SessionHandle>, epoch: u64) {
        // As late as can be told apart from no timer.
        let at = WallMillis(at.0.min(UNSET - 1));
        let before = session.timers().replace(kind, at.0);
        let timer = Timer { session: Arc::downgrade(session), epoch };
        let mut map = self.map.lock();
        if let Some(before) = before {
            map.remove(&(before, session.id, kind));
        }
        let is_first = map.first_key_value().is_none_or(|((first, ..), _)| at < *first);
        map.insert((at, session.id, kind), timer);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Takes back what is set for a session. To be called under the session's lock.
    pub fn cancel(&self, session: &SessionHandle) {
        for kind in Kind::ALL {
            if let Some(at) = session.timers().replace(kind, UNSET) {
                self.map.lock().remove(&(at, session.id, kind));
            }
        }
    }

    /// Resolves when a timer was set that comes before all others.
    pub async fn changed(&self) {
        self.earlier.notified().await;
    }

    /// When the next one falls due.
    pub fn next(&self) -> Option<WallMillis> {
        self.map.lock().first_key_value().map(|((at, ..), _)| *at)
    }

    /// How many are set.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.map.lock().len()
    }

    fn pop_due(&self, now: WallMillis) -> Option<(Kind, Timer)> {
        let mut map = self.map.lock();
        let first = map.first_entry().filter(|first| first.key().0 <= now)?;
        let ((_, _, kind), timer) = first.remove_entry();
        Some((kind, timer))
    }
}

/// Milliseconds until a timer is looked at again for which its session was not free.
const RETRY: u64 = 20;

impl Broker {
    /// Does what has fallen due. Not to be cancelled.
    ///
    /// Waits for no session: one on which somebody acts is looked at again a little later,
    /// so that no client can hold up the timers of others.
    pub async fn run_due(self: &Arc<Self>) {
        let now = self.clock.now().wall;
        while let Some((kind, Timer { session, epoch })) = self.timers.pop_due(now) {
            schedule::reached(Point::Timer);
            if let Some(handle) = session.upgrade() {
                match (handle.try_begin(), kind) {
                    // A connection has it, or had it since.
                    _ if !handle.look().life.is_away_since(epoch) => {}
                    (None, _) => self.timers.set(kind, WallMillis(now.0 + RETRY), &handle, epoch),
                    (Some(permit), Kind::Will) => self.will_is_due(permit, epoch).await,
                    (Some(permit), Kind::Expiry) => self.session_expires(permit, epoch).await,
                }
            }
            // Thousands may fall due at once.
            yield_now().await;
        }
    }
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
            let mut model: BTreeMap<(usize, Kind), (u64, u64)> = BTreeMap::new();
            for (epoch, act) in (0u64..).zip(acts) {
                match act {
                    Act::Set(who, kind, at) => {
                        timers.set(kind, WallMillis(at), &sessions[who], epoch);
                        model.insert((who, kind), (at, epoch));
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
                            let (kind, timer) = timers.pop_due(WallMillis(now)).unwrap();
                            let who = timer.session.upgrade().unwrap().id.0;
                            let who = usize::try_from(who).unwrap();
                            found.insert((who, kind), (next.0, timer.epoch));
                        }
                        prop_assert!(timers.pop_due(WallMillis(now)).is_none());
                        let due: BTreeMap<_, _> =
                            model.extract_if(.., |_, (at, _)| *at <= now).collect();
                        prop_assert_eq!(found, due);
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                let next = model.values().map(|(at, _)| *at).min();
                prop_assert_eq!(timers.next().map(|at| at.0), next);
            }
        }
    }
}
