//! Decides when a connection is polled, and with which budget: at once with a short one, or
//! after waiting for a turn among the receivers of a message, or among those with more work
//! than a short poll.

use std::pin::pin;
use std::task::{Context, Poll};

use crate::broker::{Budget, Load, NextTurn, Turn, Turns};
use crate::message::WakeCause;

/// See the module.
#[derive(Default)]
pub struct Pace(State);

#[derive(Default)]
enum State {
    /// The last poll left no work undone.
    #[default]
    Idle,
    /// The connection waits for its turn.
    Waiting(NextTurn, Length),
    /// It has its turn, and is polled after the runtime has looked at sockets.
    Granted(Option<Turn>, Length),
    /// It has its turn, which ends when this is dropped.
    Running { _turn: Option<Turn>, length: Length },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// For a message with many receivers.
    Short,
    /// For more work than a short poll does.
    Long,
}

impl Pace {
    /// The budget of the poll that begins, which was caused by `cause`. Pending: the
    /// connection waits for its turn.
    pub fn begin(
        &mut self,
        cause: Option<WakeCause>,
        turns: &Turns,
        context: &mut Context<'_>,
    ) -> Poll<Budget> {
        match &mut self.0 {
            State::Idle if cause == Some(WakeCause::FanOut) => {
                self.wait(turns.next(Load::Receiving), Length::Short, context);
                return Poll::Pending;
            }
            // It has other work as well, which needs no turn.
            State::Waiting(_, Length::Short) | State::Granted(_, Length::Short)
                if cause == Some(WakeCause::Direct) =>
            {
                self.0 = State::Idle;
            }
            State::Waiting(next, length) => {
                let length = *length;
                let Poll::Ready(turn) = next.poll(context) else { return Poll::Pending };
                if length == Length::Long {
                    self.0 = State::Granted(turn, length);
                    poll_after_others(context);
                    return Poll::Pending;
                }
                self.0 = State::Running { _turn: turn, length };
            }
            State::Granted(turn, length) => {
                self.0 = State::Running { _turn: turn.take(), length: *length };
            }
            State::Idle | State::Running { .. } => {}
        }
        Poll::Ready(match self.0 {
            State::Running { length: Length::Long, .. } => Budget::of_long_poll(),
            _ => Budget::of_short_poll(),
        })
    }

    /// The poll has left work undone: the connection waits for a turn, and is woken when it
    /// gets one.
    pub fn goes_on(&mut self, turns: &Turns, load: Load, context: &mut Context<'_>) {
        // The old turn is released first, so that tasks that wait already come first.
        self.0 = State::Idle;
        self.wait(turns.next(load), Length::Long, context);
    }

    /// The poll has done all its work, or waits for something other than a turn.
    pub fn rests(&mut self) {
        self.0 = State::Idle;
    }

    fn wait(&mut self, mut next: NextTurn, length: Length, context: &mut Context<'_>) {
        self.0 = match next.poll(context) {
            // Polled later even if a turn is free: it must count as taken while thousands of
            // tasks ask for one.
            Poll::Ready(turn) => {
                poll_after_others(context);
                State::Granted(turn, length)
            }
            Poll::Pending => State::Waiting(next, length),
        };
    }
}

/// Has the task polled again after the runtime has looked at sockets and timers, which it does
/// when this thread has no other ready task, or after 61 of them. A task that wakes itself is
/// polled without that, so that nobody looks for 200 ms if each poll is long.
fn poll_after_others(context: &mut Context<'_>) {
    let yielded = pin!(tokio::task::yield_now());
    // Never ready at its first poll, which hands the waker to the runtime.
    let _ = yielded.poll(context);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    const FAN_OUT: Option<WakeCause> = Some(WakeCause::FanOut);
    const DIRECT: Option<WakeCause> = Some(WakeCause::Direct);

    /// A connection, and how often it was woken. Without a runtime, a task that is to be polled
    /// after others is woken at once.
    #[derive(Default)]
    struct Task {
        pace: Pace,
        woken: Arc<Woken>,
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Task {
        fn begin(&mut self, cause: Option<WakeCause>, turns: &Turns) -> bool {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.pace.begin(cause, turns, &mut Context::from_waker(&waker)).is_ready()
        }

        fn goes_on(&mut self, turns: &Turns) {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.pace.goes_on(turns, Load::Input, &mut Context::from_waker(&waker));
        }

        /// True if it was woken since the last call.
        fn is_woken(&self) -> bool {
            self.woken.0.swap(0, Ordering::Relaxed) > 0
        }
    }

    #[test]
    fn receivers_of_a_message_take_turns() {
        let turns = Turns::new(2);
        let mut tasks: Vec<_> = (0..5).map(|_| Task::default()).collect();
        for task in &mut tasks {
            assert!(!task.begin(FAN_OUT, &turns), "none runs before all others were asked");
        }
        let mut order = Vec::new();
        while order.len() < 5 {
            let next = tasks.iter().position(Task::is_woken).expect("the next one is woken");
            let task = &mut tasks[next];
            assert!(task.begin(FAN_OUT, &turns));
            order.push(next);
            task.pace.rests();
        }
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_receiver_that_has_other_work_does_not_wait() {
        let turns = Turns::new(1);
        let (mut first, mut second) = (Task::default(), Task::default());
        assert!(!first.begin(FAN_OUT, &turns) && !second.begin(FAN_OUT, &turns));
        assert!(!second.begin(None, &turns), "its socket is no reason");
        assert!(second.begin(DIRECT, &turns));
        second.pace.rests();
        assert!(first.begin(None, &turns), "the first one has its turn");
    }

    #[test]
    fn a_client_that_nobody_floods_does_not_wait() {
        let turns = Turns::new(1);
        let (mut flooded, mut neighbour) = (Task::default(), Task::default());
        assert!(!flooded.begin(FAN_OUT, &turns));
        assert!(neighbour.begin(DIRECT, &turns) && neighbour.begin(None, &turns));
    }

    #[test]
    fn a_long_poll_comes_after_the_other_ready_tasks() {
        let turns = Turns::new(1);
        let (mut first, mut second) = (Task::default(), Task::default());
        first.goes_on(&turns);
        second.goes_on(&turns);
        assert!(first.is_woken() && !second.is_woken());
        assert!(first.begin(None, &turns), "it has its turn");
        first.pace.rests();
        assert!(second.is_woken() && !second.begin(None, &turns), "it has been granted a turn");
        assert!(second.is_woken() && second.begin(None, &turns));
    }
}
