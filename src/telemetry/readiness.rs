//! The readiness state of the broker.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use super::Label;

/// The states of a broker from start to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Recovering, or listeners are not up yet.
    Starting = 0,
    /// Serving.
    Ready = 1,
    /// Serving, but the disk is full: new durable messages are refused.
    Full = 2,
    /// Shutting down in order.
    ShuttingDown = 3,
    /// The database failed: nothing is acknowledged any more.
    Poisoned = 4,
}

impl Label for State {
    const NAME: &'static str = "state";
    const ALL: &'static [Self] =
        &[Self::Starting, Self::Ready, Self::Full, Self::ShuttingDown, Self::Poisoned];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Full => "full",
            Self::ShuttingDown => "shutting_down",
            Self::Poisoned => "poisoned",
        }
    }
}

impl State {
    /// True if clients may be sent to this broker. A full disk does not change that:
    /// subscribers can drain the queues that fill it.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Full)
    }

    /// A description for the response of a probe.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Starting => "reading the database back",
            Self::Ready => "serving",
            Self::Full => "serving, but the disk is full: durable messages are refused",
            Self::ShuttingDown => "shutting down",
            Self::Poisoned => "the database failed: nothing is acknowledged any more",
        }
    }

    fn from_u8(value: u8) -> Self {
        Self::ALL.get(usize::from(value)).copied().unwrap_or(Self::Poisoned)
    }
}

/// Set by the broker, read by probes. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: AtomicU8,
    full: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.state).finish()
    }
}

impl Readiness {
    /// The current state.
    pub fn get(&self) -> State {
        let is_full = || self.0.full.get().is_some_and(|full| full());
        match State::from_u8(self.0.state.load(Ordering::Acquire)) {
            State::Ready if is_full() => State::Full,
            state => state,
        }
    }

    /// Sets the function that tells whether the disk is full, which [`Readiness::get`] calls
    /// for a broker that is ready. Only the first call has an effect.
    pub fn ask(&self, full: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.0.full.set(Box::new(full));
    }

    /// Enters `state`, unless the broker is ending: a shutdown can only be followed by a
    /// poisoned store, and that state is final.
    pub fn set(&self, state: State) {
        let enter = |current: u8| {
            let leaving = current >= State::ShuttingDown as u8;
            (!leaving || state as u8 > current).then_some(state as u8)
        };
        // An error means that the state stays as it is.
        let _ = self.0.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_can_recover() {
        let readiness = Readiness::default();
        assert_eq!(readiness.get(), State::Starting);
        for state in [State::Ready, State::Full, State::Ready] {
            readiness.set(state);
            assert_eq!(readiness.get(), state);
            assert!(state.is_ready());
        }
    }

    #[test]
    fn a_full_disk_is_seen_by_the_next_who_asks() {
        let (readiness, full) = (Readiness::default(), Arc::new(AtomicU8::new(1)));
        let disk = Arc::clone(&full);
        readiness.ask(move || disk.load(Ordering::Relaxed) == 1);
        assert_eq!(readiness.get(), State::Starting);
        readiness.set(State::Ready);
        assert_eq!(readiness.get(), State::Full);
        full.store(0, Ordering::Relaxed);
        assert_eq!(readiness.get(), State::Ready);
        full.store(1, Ordering::Relaxed);
        readiness.set(State::ShuttingDown);
        assert_eq!(readiness.get(), State::ShuttingDown);
    }

    #[test]
    fn there_is_no_way_back_from_the_end() {
        let readiness = Readiness::default();
        readiness.set(State::ShuttingDown);
        readiness.set(State::Ready);
        assert_eq!(readiness.get(), State::ShuttingDown);
        readiness.set(State::Poisoned);
        readiness.set(State::ShuttingDown);
        assert_eq!(readiness.get(), State::Poisoned);
        assert!(!readiness.get().is_ready());
    }
}
