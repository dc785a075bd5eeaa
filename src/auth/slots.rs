//! The slots in which passwords are verified, shared by all CONNECTs.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::fair_queue::{Entered, FairQueue};
use crate::peer::Source;

/// Maximum number of waiting verifications of one source: what two slots complete in about ten
/// seconds. A source may be a load balancer in front of many clients.
pub(super) const WAITING: usize = 1_024;

/// Limits concurrent verifications. Hashing is deliberately slow and uses much memory; without
/// a limit, a flood of CONNECTs would take all cores and memory. Sources are served in turn:
/// see [`FairQueue`].
#[derive(Debug)]
pub(super) struct Slots(Mutex<State>);

#[derive(Debug)]
struct State {
    queue: FairQueue<Source, Ticket>,
    next_id: u64,
}

#[derive(Debug)]
struct Ticket {
    id: u64,
    turn: oneshot::Sender<()>,
}

/// A place in the queue, then a slot. Dropping it gives either to the next.
#[derive(Debug)]
pub(super) struct Place {
    slots: Arc<Slots>,
    source: Source,
    id: u64,
    /// `None` if it had a slot from the start.
    turn: Option<oneshot::Receiver<()>>,
}

impl Slots {
    /// Creates `slots` slots: the maximum number of concurrent verifications.
    pub(super) fn new(slots: usize) -> Self {
        Self(Mutex::new(State { queue: FairQueue::new(slots, WAITING), next_id: 0 }))
    }

    /// Takes a place at the end of the queue of `source`; `None` if [`WAITING`] already wait.
    pub(super) fn enter(self: &Arc<Self>, source: Source) -> Option<Place> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.0.lock();
        let id = state.next_id;
        state.next_id += 1;
        let turn = match state.queue.enter(source, Ticket { id, turn: sender }) {
            Entered::Runs => None,
            Entered::Waits => Some(receiver),
            Entered::Full => return None,
        };
        Some(Place { slots: Arc::clone(self), source, id, turn })
    }
}

impl Place {
    /// Waits until the place is a slot.
    pub(super) async fn turn(&mut self) {
        if let Some(turn) = &mut self.turn {
            // The sender is not dropped before it has sent, as long as this place exists.
            let _ = turn.await;
        }
        self.turn = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.0.lock();
        let next = if state.queue.leave(self.source, |ticket| ticket.id == self.id) {
            None
        } else {
            state.queue.finish(self.source)
        };
        drop(state);
        if let Some(next) = next {
            // If that place is dropped at this moment, its drop gives up the slot.
            let _ = next.turn.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(last: u8) -> Source {
        crate::peer::PeerAddr::from(([192, 0, 2, last], 1)).source()
    }

    #[tokio::test]
    async fn a_place_that_is_given_up_goes_on_to_the_next() {
        let slots = Arc::new(Slots::new(1));
        let running = slots.enter(source(1)).unwrap();
        let mut given_up = slots.enter(source(1)).unwrap();
        let granted = slots.enter(source(2)).unwrap();
        let mut last = slots.enter(source(1)).unwrap();
        // Cancelled while waiting.
        let waited = tokio::time::timeout(Duration::from_millis(1), given_up.turn()).await;
        assert!(waited.is_err());
        drop(given_up);
        // Given a slot, and dropped before it has noticed.
        drop(running);
        drop(granted);
        tokio::time::timeout(Duration::from_secs(5), last.turn()).await.unwrap();
        drop(last);
        let mut free = slots.enter(source(3)).unwrap();
        tokio::time::timeout(Duration::from_secs(5), free.turn()).await.unwrap();
    }

    #[tokio::test]
    async fn beyond_the_bound_only_the_own_source_is_turned_away() {
        let slots = Arc::new(Slots::new(2));
        let flood: Vec<_> = std::iter::from_fn(|| slots.enter(source(1))).collect();
        assert_eq!(flood.len(), 2 + WAITING);
        let mut other = slots.enter(source(2)).unwrap();
        drop(flood);
        tokio::time::timeout(Duration::from_secs(5), other.turn()).await.unwrap();
    }
}
