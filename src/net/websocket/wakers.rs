//! Wake-ups of two tasks by one stream. A stream remembers one task for writing, but here a
//! reader writes too: pongs, and the close frame. If it takes the place of a writer of another
//! task, both are woken.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// The tasks that wait until bytes have been written.
#[derive(Debug, Default)]
pub struct Wakers {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// On whose behalf bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Of one who reads, for what reading has to answer.
    Reader,
    /// Of one who writes, flushes or shuts down.
    Writer,
}

impl Wakers {
    /// Polls for `side`. While that is pending, a wait of the other side is kept.
    pub fn poll<T>(
        &mut self,
        side: Side,
        context: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waker = context.waker();
        let other = match side {
            Side::Reader => &self.writer,
            Side::Writer => &self.reader,
        };
        // One task for both is the rule.
        let polled = match other.as_ref().filter(|other| !other.will_wake(waker)) {
            None => poll(&mut Context::from_waker(waker)),
            Some(other) => {
                let both = Arc::new(Both(waker.clone(), other.clone()));
                poll(&mut Context::from_waker(&both.into()))
            }
        };
        if polled.is_pending() {
            self.wait(side, context);
        } else {
            self.forget(side);
        }
        polled
    }

    /// `side` waits for the other one to get further: [`Self::wake`].
    pub fn wait(&mut self, side: Side, context: &Context<'_>) {
        match self.of(side) {
            Some(own) => own.clone_from(context.waker()),
            own => *own = Some(context.waker().clone()),
        }
    }

    /// `side` waits no longer.
    pub fn forget(&mut self, side: Side) {
        *self.of(side) = None;
    }

    /// Wakes `side` if it waits, as the other one has got further.
    pub fn wake(&mut self, side: Side) {
        if let Some(waker) = self.of(side).take() {
            waker.wake();
        }
    }

    fn of(&mut self, side: Side) -> &mut Option<Waker> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }
}

struct Both(Waker, Waker);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
    }
}
