//! The steps of a client with their times, on a clock that other processes share, so that its
//! state can be compared with what the broker had done at the same moment.

use std::collections::VecDeque;

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

#[derive(Clone)]
pub struct Journal<S> {
    steps: Option<VecDeque<(u64, S)>>,
}

impl<S> Default for Journal<S> {
    fn default() -> Self {
        Self { steps: None }
    }
}

impl<S: Clone> Journal<S> {
    pub fn begin(&mut self) {
        self.steps = Some(VecDeque::new());
    }

    pub fn note(&mut self, step: S) {
        if let Some(steps) = &mut self.steps {
            steps.push_back((now(), step));
        }
    }

    /// The steps up to and including that moment.
    pub fn until(&self, moment: u64) -> impl Iterator<Item = S> + '_ {
        let steps = self.steps.iter().flatten();
        steps.take_while(move |(at, _)| *at <= moment).map(|(_, step)| step.clone())
    }

    /// Times of the steps that match.
    pub fn moments<'a>(
        &'a self,
        is_meant: impl Fn(&S) -> bool + 'a,
    ) -> impl Iterator<Item = u64> + 'a {
        let steps = self.steps.iter().flatten();
        steps.filter(move |(_, step)| is_meant(step)).map(|(at, _)| *at)
    }
}
