//! Who may stay when there are more than there is room for. No sockets here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A number of places, for whoever used theirs last.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug)]
struct Taken {
    room: usize,
    /// Rises with each use: the order of the last uses.
    uses: u64,
    /// By the last use; dropping the sender tells who had the place that it is lost.
    holders: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    used: u64,
    /// `None` once it has answered: it does so only once.
    lost: Option<oneshot::Receiver<()>>,
}

impl Places {
    pub(super) fn new(room: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { room, uses: 0, holders: BTreeMap::new() })))
    }

    /// A place, of somebody else if there is none left.
    pub(super) fn take(&self) -> Place {
        let (sender, lost) = oneshot::channel();
        let mut taken = self.0.lock();
        while taken.holders.len() >= taken.room && taken.holders.pop_first().is_some() {}
        taken.uses += 1;
        let used = taken.uses;
        taken.holders.insert(used, sender);
        Place { places: self.clone(), used, lost: Some(lost) }
    }
}

impl Place {
    /// Others lose theirs before this one, until they use theirs.
    pub(super) fn used(&mut self) {
        let mut taken = self.places.0.lock();
        let Some(sender) = taken.holders.remove(&self.used) else { return };
        taken.uses += 1;
        self.used = taken.uses;
        taken.holders.insert(self.used, sender);
    }

    /// Ready once somebody else has it; wakes the task then.
    pub(super) fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(lost) = &mut self.lost else { return Poll::Ready(()) };
        let answer = std::pin::Pin::new(lost).poll(context);
        if answer.is_ready() {
            self.lost = None;
        }
        answer.map(|_| ())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().holders.remove(&self.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &mut Place) -> bool {
        place.poll_lost(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn who_has_not_used_a_place_for_longest_loses_it() {
        let places = Places::new(3);
        let mut first: [Place; 3] = std::array::from_fn(|_| places.take());
        first[0].used();
        let mut fourth = places.take();
        assert_eq!(first.each_mut().map(is_lost), [false, true, false]);
        // What is lost does not come back by being used.
        first[1].used();
        let mut fifth = places.take();
        assert_eq!(first.each_mut().map(is_lost), [false, true, true]);
        assert!(!is_lost(&mut fourth) && !is_lost(&mut fifth));
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let places = Places::new(2);
        let (mut a, b) = (places.take(), places.take());
        drop(b);
        let mut c = places.take();
        assert!(!is_lost(&mut a) && !is_lost(&mut c));
    }
}
