//! What falls due later: delayed wills and the expiry of sessions. One heap and one
//! task for all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::{Broker, SessionHandle, Turn};
use crate::message::WallMillis;
use crate::schedule::{self, Point};
use crate::sync::Mutex;

/// The epoch tells whether the session has been connected since: then the timer is
/// void.
#[derive(Debug, Clone)]
pub enum Due {
    /// The will delay has passed.
    Will(Weak<SessionHandle>, u64),
    /// The session expiry has passed.
    Expiry(Weak<SessionHandle>, u64),
}

#[derive(Debug)]
struct Timer {
    at: WallMillis,
    due: Due,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The heap.
#[derive(Debug, Default)]
pub struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Timer>>>,
    earlier: Notify,
}

impl Timers {
    /// Sets a timer. There is no taking back: a void one is ignored when it fires.
    pub fn set(&self, at: WallMillis, due: Due) {
        let mut heap = self.heap.lock();
        let is_first = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.push(Reverse(Timer { at, due }));
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Resolves when a timer was set that comes before all others.
    pub async fn changed(&self) {
        self.earlier.notified().await;
    }

    /// When the next one falls due.
    pub fn next(&self) -> Option<WallMillis> {
        self.heap.lock().peek().map(|Reverse(timer)| timer.at)
    }

    fn pop_due(&self, now: WallMillis) -> Option<Due> {
        let mut heap = self.heap.lock();
        if heap.peek().is_some_and(|Reverse(timer)| timer.at <= now) {
            return heap.pop().map(|Reverse(timer)| timer.due);
        }
        None
    }
}

impl Broker {
    /// Does what has fallen due.
    pub fn run_due(self: &Arc<Self>) {
        let mut turn = Turn::new(self.clock.now());
        while let Some(due) = self.timers.pop_due(turn.now.wall) {
            schedule::reached(Point::Timer);
            match due {
                Due::Will(session, epoch) => {
                    if let Some(handle) = session.upgrade() {
                        self.will_is_due(&handle, epoch, &mut turn);
                    }
                }
                Due::Expiry(session, epoch) => {
                    if let Some(handle) = session.upgrade() {
                        self.session_expires(&handle, epoch, &mut turn);
                    }
                }
            }
        }
        self.finish_or_log(&mut turn);
    }
}
