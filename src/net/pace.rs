//! Chooses the budget of a connection's next poll: short at once, or long after waiting in
//! line.

use std::task::{Context, Poll};

use crate::broker::{Budget, Load, LongPollPermit, LongPolls, NextLongPoll};

/// See the module.
#[derive(Default)]
pub struct Pace(State);

#[derive(Default)]
enum State {
    /// The last poll left nothing undone.
    #[default]
    Short,
    /// It did, and others have their turn first.
    Waiting(NextLongPoll),
    /// This is its turn, which ends when this is dropped.
    Long { _turn: Option<LongPollPermit> },
}

impl Pace {
    /// What the poll that begins may cost. Pending: it is not this connection's turn.
    pub fn begin(&mut self, context: &mut Context<'_>) -> Poll<Budget> {
        if let State::Waiting(next) = &mut self.0 {
            let Poll::Ready(turn) = next.poll(context) else { return Poll::Pending };
            self.0 = State::Long { _turn: turn };
        }
        Poll::Ready(match self.0 {
            State::Long { .. } => Budget::of_long_poll(),
            _ => Budget::of_short_poll(),
        })
    }

    /// The poll has left something undone: the connection goes to the end of the line, and
    /// is woken when it is its turn.
    pub fn goes_on(&mut self, polls: &LongPolls, load: Load, context: &mut Context<'_>) {
        // Given back first: those who wait already come before.
        self.0 = State::Short;
        let mut next = polls.next(load);
        self.0 = match next.poll(context) {
            Poll::Ready(turn) => {
                context.waker().wake_by_ref();
                State::Long { _turn: turn }
            }
            Poll::Pending => State::Waiting(next),
        };
    }

    /// The poll has done all that there was, or waits for something else than its turn.
    pub fn rests(&mut self) {
        self.0 = State::Short;
    }
}
