//! Limits how many tasks with more work than a short poll are runnable at once; the others wait
//! in line outside the runtime's queue. A task with little work then waits behind a few long
//! polls, however many tasks are busy.
//!
//! Whoever has a turn waits for nothing: it is given back at the end of the poll.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::yield_now;

/// The right to one long poll, until it is dropped.
pub type LongPollPermit = OwnedSemaphorePermit;

/// A wait for a turn. Those who wait get it in the order in which they were first polled.
pub struct NextLongPoll(Pin<Box<dyn Future<Output = Option<LongPollPermit>> + Send>>);

impl NextLongPoll {
    /// Ready with the turn, which is given back if it is dropped. `None`: the broker is
    /// gone, and nobody needs to take turns.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<LongPollPermit>> {
        self.0.as_mut().poll(context)
    }
}

/// What a task has more of than a short poll can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// What clients have sent.
    Input,
    /// What they are sent: it empties queues, and does not stand behind what fills them.
    Output,
}

/// The lines of those who wait, and how many of each have a turn.
#[derive(Debug)]
pub struct LongPolls {
    input: Arc<Semaphore>,
    output: Arc<Semaphore>,
}

impl LongPolls {
    /// At most `at_once` turns of each kind at a time.
    pub fn new(at_once: usize) -> Self {
        let line = || Arc::new(Semaphore::new(at_once.max(1)));
        Self { input: line(), output: line() }
    }

    /// Goes to the end of the line, when it is first polled.
    pub fn next(&self, load: Load) -> NextLongPoll {
        let semaphore = Arc::clone(match load {
            Load::Input => &self.input,
            Load::Output => &self.output,
        });
        NextLongPoll(Box::pin(async move { semaphore.acquire_owned().await.ok() }))
    }

    /// Between two slices of work that no connection polls: gives the turn back, lets others
    /// run, and waits for the next one.
    pub async fn pause(&self, turn: &mut Option<LongPollPermit>) {
        *turn = None;
        yield_now().await;
        *turn = self.next(Load::Input).0.await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(next: &mut NextLongPoll) -> Poll<Option<LongPollPermit>> {
        next.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn those_who_wait_get_their_turn_in_order() {
        let polls = LongPolls::new(1);
        let Poll::Ready(first) = poll(&mut polls.next(Load::Input)) else { panic!("it was free") };
        let (mut second, mut third) = (polls.next(Load::Input), polls.next(Load::Input));
        assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
        drop(first);
        // Who had the last turn waits behind those who have had none.
        let mut again = polls.next(Load::Input);
        assert!(poll(&mut again).is_pending() && poll(&mut third).is_pending());
        let Poll::Ready(turn) = poll(&mut second) else { panic!("the second is next") };
        drop(turn);
        assert!(poll(&mut again).is_pending());
        let Poll::Ready(_) = poll(&mut third) else { panic!("the third is next") };
    }

    #[test]
    fn what_empties_queues_does_not_wait_for_what_fills_them() {
        let polls = LongPolls::new(1);
        let _filling = poll(&mut polls.next(Load::Input));
        assert!(poll(&mut polls.next(Load::Input)).is_pending());
        assert!(poll(&mut polls.next(Load::Output)).is_ready());
    }

    #[test]
    fn the_turn_of_one_who_leaves_goes_to_the_next() {
        let polls = LongPolls::new(1);
        let first = poll(&mut polls.next(Load::Input));
        let (mut second, mut third) = (polls.next(Load::Input), polls.next(Load::Input));
        assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
        drop(first);
        // It had been given the turn, and has not taken it.
        drop(second);
        assert!(poll(&mut third).is_ready());
    }
}
