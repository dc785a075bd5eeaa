//! Limits how many busy tasks are runnable at once: those with more work than a short poll,
//! and those that one message has reached together with many others. The rest wait in a queue
//! outside the runtime. A task with little work therefore waits behind a few of them only,
//! however many there are.
//!
//! A task with a turn waits for nothing but its poll, and gives the turn back at its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right to one poll, until it is dropped.
pub type Turn = OwnedSemaphorePermit;

/// Waits for a turn. Turns are granted in the order of the first poll.
pub struct NextTurn(Pin<Box<dyn Future<Output = Option<Turn>> + Send>>);

impl NextTurn {
    /// Ready with the turn, which ends when it is dropped. Never ready with `None`: the
    /// semaphores are not closed.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Turn>> {
        self.0.as_mut().poll(context)
    }
}

/// The kind of work that a turn is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// A long poll that handles what clients have sent.
    Input,
    /// A long poll that sends to clients. It empties queues, so it does not wait behind work
    /// that fills them.
    Output,
    /// A short poll that sends what many clients receive at once.
    Receiving,
    /// A poll that computes the keys and signatures of a TLS handshake: 0.1 to 5 ms. Thousands
    /// of clients may begin one at once, and others with a long poll do not wait behind them.
    Handshake,
}

/// The queues of tasks that wait, and the turns that are in use.
#[derive(Debug)]
pub struct Turns {
    at_once: usize,
    input: Arc<Semaphore>,
    output: Arc<Semaphore>,
    receiving: Arc<Semaphore>,
    handshake: Arc<Semaphore>,
}

impl Turns {
    /// At most `at_once` concurrent turns of each kind.
    pub fn new(at_once: usize) -> Self {
        let at_once = at_once.max(1);
        let line = || Arc::new(Semaphore::new(at_once));
        Self { at_once, input: line(), output: line(), receiving: line(), handshake: line() }
    }

    /// Turns that are granted and have not ended. For tests: nobody has one while nobody runs.
    pub fn in_use(&self) -> usize {
        let lines = [&self.input, &self.output, &self.receiving, &self.handshake];
        lines.iter().map(|line| self.at_once - line.available_permits()).sum()
    }

    /// Waits for a turn, from the first poll of the result on.
    pub fn next(&self, load: Load) -> NextTurn {
        let semaphore = Arc::clone(match load {
            Load::Input => &self.input,
            Load::Output => &self.output,
            Load::Receiving => &self.receiving,
            Load::Handshake => &self.handshake,
        });
        NextTurn(Box::pin(async move { semaphore.acquire_owned().await.ok() }))
    }

    /// Waits for a turn for one poll outside those of a session, and then until the runtime has
    /// looked at sockets and timers.
    pub async fn wait(&self, load: Load) -> Option<Turn> {
        let turn = self.next(load).0.await;
        // Not before it has the turn: it must count as taken while thousands ask for one.
        tokio::task::yield_now().await;
        turn
    }

    /// Called between two parts of work outside a connection's poll: releases the turn,
    /// yields, and waits for the next one.
    pub async fn pause(&self, turn: &mut Option<Turn>) {
        *turn = None;
        tokio::task::yield_now().await;
        *turn = self.next(Load::Input).0.await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(next: &mut NextTurn) -> Poll<Option<Turn>> {
        next.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// As docs/limits.md says: it is not charged, so it must be small beside a connection.
    #[test]
    fn a_place_in_line_is_small() {
        let size = size_of_val(&*Turns::new(1).next(Load::Receiving).0);
        assert!(size <= 160, "{size} bytes");
    }

    #[test]
    fn those_who_wait_get_their_turn_in_order() {
        let polls = Turns::new(1);
        let Poll::Ready(first) = poll(&mut polls.next(Load::Input)) else { panic!("it was free") };
        let (mut second, mut third) = (polls.next(Load::Input), polls.next(Load::Input));
        assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
        drop(first);
        // The task with the last turn waits behind those that have had none.
        let mut again = polls.next(Load::Input);
        assert!(poll(&mut again).is_pending() && poll(&mut third).is_pending());
        let Poll::Ready(turn) = poll(&mut second) else { panic!("the second is next") };
        drop(turn);
        assert!(poll(&mut again).is_pending());
        let Poll::Ready(_) = poll(&mut third) else { panic!("the third is next") };
    }

    #[test]
    fn what_empties_queues_does_not_wait_for_what_fills_them() {
        let polls = Turns::new(1);
        let _filling = poll(&mut polls.next(Load::Input));
        assert!(poll(&mut polls.next(Load::Input)).is_pending());
        assert!(poll(&mut polls.next(Load::Output)).is_ready());
    }

    #[test]
    fn a_flood_of_handshakes_is_in_nobody_s_way() {
        let polls = Turns::new(1);
        let _signing = poll(&mut polls.next(Load::Handshake));
        assert!(poll(&mut polls.next(Load::Handshake)).is_pending());
        assert!(poll(&mut polls.next(Load::Input)).is_ready());
    }

    #[test]
    fn the_turn_of_one_who_leaves_goes_to_the_next() {
        let polls = Turns::new(1);
        let first = poll(&mut polls.next(Load::Input));
        let (mut second, mut third) = (polls.next(Load::Input), polls.next(Load::Input));
        assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
        drop(first);
        // It had been granted the turn, but was dropped before it was polled.
        drop(second);
        assert!(poll(&mut third).is_ready());
    }
}
