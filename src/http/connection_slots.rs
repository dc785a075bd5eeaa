//! Decides which HTTP connection is closed if there are too many. No sockets here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A fixed number of connection slots, kept by those that used theirs most recently.
#[derive(Debug, Clone)]
pub(super) struct ConnectionSlots(Arc<Mutex<TakenSlot>>);

#[derive(Debug)]
struct TakenSlot {
    room: usize,
    /// Incremented by each use: orders the slots by last use.
    uses: u64,
    /// Holders by last use; dropping the sender tells the holder that its slot is lost.
    holders: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A connection's slot.
#[derive(Debug)]
pub(super) struct Slot {
    slots: ConnectionSlots,
    used: u64,
    /// `None` once it has resolved, which it does only once.
    lost: Option<oneshot::Receiver<()>>,
}

impl ConnectionSlots {
    pub(super) fn new(room: usize) -> Self {
        Self(Arc::new(Mutex::new(TakenSlot { room, uses: 0, holders: BTreeMap::new() })))
    }

    /// Takes a slot: a free one, or that of the least recent user.
    pub(super) fn take(&self) -> Slot {
        let (sender, lost) = oneshot::channel();
        let mut taken = self.0.lock();
        while taken.holders.len() >= taken.room && taken.holders.pop_first().is_some() {}
        taken.uses += 1;
        let used = taken.uses;
        taken.holders.insert(used, sender);
        Slot { slots: self.clone(), used, lost: Some(lost) }
    }
}

impl Slot {
    /// Records a use: slots used less recently are lost first.
    pub(super) fn used(&mut self) {
        let mut taken = self.slots.0.lock();
        let Some(sender) = taken.holders.remove(&self.used) else { return };
        taken.uses += 1;
        self.used = taken.uses;
        taken.holders.insert(self.used, sender);
    }

    /// Ready once the slot is lost; wakes the task then.
    pub(super) fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(lost) = &mut self.lost else { return Poll::Ready(()) };
        let answer = std::pin::Pin::new(lost).poll(context);
        if answer.is_ready() {
            self.lost = None;
        }
        answer.map(|_| ())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.0.lock().holders.remove(&self.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(slot: &mut Slot) -> bool {
        slot.poll_lost(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn who_has_not_used_a_place_for_longest_loses_it() {
        let slots = ConnectionSlots::new(3);
        let mut first: [Slot; 3] = std::array::from_fn(|_| slots.take());
        first[0].used();
        let mut fourth = slots.take();
        assert_eq!(first.each_mut().map(is_lost), [false, true, false]);
        // A lost slot does not come back by being used.
        first[1].used();
        let mut fifth = slots.take();
        assert_eq!(first.each_mut().map(is_lost), [false, true, true]);
        assert!(!is_lost(&mut fourth) && !is_lost(&mut fifth));
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let slots = ConnectionSlots::new(2);
        let (mut a, b) = (slots.take(), slots.take());
        drop(b);
        let mut c = slots.take();
        assert!(!is_lost(&mut a) && !is_lost(&mut c));
    }
}
