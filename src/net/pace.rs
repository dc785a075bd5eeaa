//! Chooses the budget of a connection's next poll: short and at once, or long after waiting
//! for a turn.

use std::task::{Context, Poll};

use crate::broker::{Budget, Load, LongPollPermit, LongPolls, NextLongPoll};

/// See the module.
#[derive(Default)]
pub struct Pace(State);

#[derive(Default)]
enum State {
    /// The last poll left no work undone.
    #[default]
    Short,
    /// The last poll left work undone, and the connection waits for a turn.
    Waiting(NextLongPoll),
    /// The connection has a turn, which ends when this is dropped.
    Long { _turn: Option<LongPollPermit> },
}

impl Pace {
    /// The budget of the poll that begins. Pending: the connection waits for its turn.
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

    /// The poll has left work undone: the connection waits for a turn, and is woken when it
    /// gets one.
    pub fn goes_on(&mut self, polls: &LongPolls, load: Load, context: &mut Context<'_>) {
        // The old turn is released first, so that tasks that wait already come first.
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

    /// The poll has done all its work, or waits for something other than a turn.
    pub fn rests(&mut self) {
        self.0 = State::Short;
    }
}
