//! Actors on threads of which one runs at a time, so that a seed decides how steps, timers,
//! commits and operators interleave.
//!
//! Each actor runs on its own thread with the hook of `ferrymq::schedule`. It may stop at a
//! yield point; the scheduler says at each resume how far it runs next. A thread that finds a
//! lock taken stops, and is not resumed before some lock was released. If no actor can run,
//! that is a deadlock.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

use ferrymq::schedule::{Blocked, Point, set_hook};

use crate::wire::Turned;

/// What an actor does.
pub type Job = Box<dyn FnOnce() -> Outcome + Send>;

/// The result of an actor.
pub enum Outcome {
    Step(Box<Turned>),
    /// An operator's request: true if it was answered.
    Operator(bool),
    Done,
}

/// The kind of an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// CONNECT of a link, or a step of its connection.
    Handshake(u64),
    Step(u64),
    Timers,
    Background,
    /// Computes the shares of memory.
    Balance,
    Commit,
    /// Removes the session of a client.
    RemoveSession(usize),
    /// Removes or publishes a retained message, whose number in the model this is.
    Retained(u32),
}

/// How far an actor goes before it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until this many yield points.
    Points(u64),
    /// Until it is about to submit its operations to the store.
    Submit,
    /// To its end, unless it has to wait for a lock.
    End,
}

enum Order {
    Run(Job, Until, Arc<AtomicU64>),
    GoOn(Until),
    GiveUp,
}

enum Report {
    Stopped(Point),
    Waiting(Arc<Rung>),
    Over(Result<Outcome, Box<dyn Any + Send>>),
}

/// A thread that runs actors one after the other.
struct Worker {
    orders: Sender<Order>,
    reports: Receiver<Report>,
}

thread_local! {
    /// Idle threads of the thread that plays a history.
    static IDLE: RefCell<Vec<Worker>> = const { RefCell::new(Vec::new()) };
    static BATON: RefCell<Option<Rc<Baton>>> = const { RefCell::new(None) };
}

impl Worker {
    fn take() -> Self {
        IDLE.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            let (orders, taken) = channel();
            let (report, reports) = channel();
            std::thread::spawn(move || work(taken, report));
            Self { orders, reports }
        })
    }
}

/// The worker's end of the channels.
struct Baton {
    orders: Receiver<Order>,
    reports: Sender<Report>,
    until: Cell<Until>,
    /// Number of locks released by all actors.
    releases: RefCell<Arc<AtomicU64>>,
}

fn work(orders: Receiver<Order>, reports: Sender<Report>) {
    let (until, releases) = (Cell::new(Until::End), RefCell::default());
    let baton = Rc::new(Baton { orders, reports, until, releases });
    BATON.set(Some(Rc::clone(&baton)));
    while let Ok(Order::Run(job, until, releases)) = baton.orders.recv() {
        baton.until.set(until);
        baton.releases.replace(releases);
        let hook = Rc::clone(&baton);
        set_hook(Some(Box::new(move |point| hook.reached(point))));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        set_hook(None);
        if baton.reports.send(Report::Over(result)).is_err() {
            return;
        }
    }
}

impl Baton {
    fn reached(&self, point: Point) {
        if point == Point::Release {
            self.releases.borrow().fetch_add(1, Ordering::Relaxed);
        }
        let stops = match (point, self.until.get()) {
            (Point::Blocked(_), _) => true,
            _ if std::thread::panicking() => false,
            (_, Until::Points(left)) => {
                self.until.set(Until::Points(left.saturating_sub(1)));
                left <= 1
            }
            (point, Until::Submit) => point == Point::Submit,
            (_, Until::End) => false,
        };
        if stops {
            self.hand_over(Report::Stopped(point));
        }
    }

    /// Lets others run. Returns false if the actor must stop waiting.
    fn hand_over(&self, report: Report) -> bool {
        let told = self.reports.send(report);
        match told.ok().and_then(|()| self.orders.recv().ok()) {
            Some(Order::GoOn(until)) => {
                self.until.set(until);
                true
            }
            Some(Order::GiveUp) => false,
            // The history has ended with a broken promise.
            _ => loop {
                std::thread::park();
            },
        }
    }
}

#[derive(Default)]
struct Rung(AtomicBool);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a future on the thread of an actor, and lets others run while it waits. `None`: it was
/// told to stop waiting, so the future was dropped; on other threads as soon as the future has
/// to wait.
pub fn drive<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let rung = Arc::new(Rung::default());
    let waker = Waker::from(Arc::clone(&rung));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if rung.0.swap(false, Ordering::SeqCst) {
            continue;
        }
        let baton = BATON.with_borrow(Clone::clone)?;
        if !baton.hand_over(Report::Waiting(Arc::clone(&rung))) {
            return None;
        }
    }
}

enum State {
    Stopped,
    /// Waits for a lock; with the number of locks released so far.
    Blocked(Blocked, u64),
    Waiting(Arc<Rung>),
}

struct Actor {
    what: What,
    worker: Worker,
    state: State,
}

/// The actors that have begun and not ended.
#[derive(Default)]
pub struct Scheduler {
    actors: Vec<Actor>,
    releases: Arc<AtomicU64>,
}

impl Scheduler {
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    pub fn len(&self) -> usize {
        self.actors.len()
    }

    pub fn all(&self) -> impl Iterator<Item = &What> {
        self.actors.iter().map(|actor| &actor.what)
    }

    /// The actors that can run.
    pub fn runnable(&self) -> Vec<What> {
        let able = self.actors.iter().filter(|actor| self.is_runnable(actor));
        able.map(|actor| actor.what.clone()).collect()
    }

    fn is_runnable(&self, actor: &Actor) -> bool {
        match &actor.state {
            State::Stopped => true,
            State::Blocked(_, then) => self.releases.load(Ordering::Relaxed) > *then,
            State::Waiting(rung) => rung.0.load(Ordering::SeqCst),
        }
    }

    /// Starts an actor. Returns its outcome if it has ended.
    pub fn start(&mut self, what: What, job: Job, until: Until) -> Option<Outcome> {
        let worker = Worker::take();
        let order = Order::Run(job, until, Arc::clone(&self.releases));
        self.actors.push(Actor { what, worker, state: State::Stopped });
        self.order(self.actors.len() - 1, order)
    }

    /// Resumes an actor.
    pub fn resume(&mut self, what: &What, until: Until) -> Option<Outcome> {
        let index = self.actors.iter().position(|actor| actor.what == *what)?;
        self.order(index, Order::GoOn(until))
    }

    /// Makes an actor that waits for something stop waiting.
    pub fn give_up_waiting(&mut self) -> Option<(What, Option<Outcome>)> {
        let waits = |actor: &Actor| matches!(actor.state, State::Waiting(_));
        let index = self.actors.iter().position(waits)?;
        let what = self.actors[index].what.clone();
        Some((what, self.order(index, Order::GiveUp)))
    }

    fn order(&mut self, index: usize, order: Order) -> Option<Outcome> {
        let actor = &mut self.actors[index];
        actor.worker.orders.send(order).expect("its thread is there");
        let report = actor.worker.reports.recv().expect("its thread reports");
        let releases = self.releases.load(Ordering::Relaxed);
        actor.state = match report {
            Report::Stopped(Point::Blocked(blocked)) => State::Blocked(blocked, releases),
            Report::Stopped(_) => State::Stopped,
            Report::Waiting(rung) => State::Waiting(rung),
            Report::Over(result) => {
                let Actor { worker, .. } = self.actors.remove(index);
                IDLE.with_borrow_mut(|idle| idle.push(worker));
                return Some(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        };
        None
    }

    /// Panics if an actor waits for a lock that no actor can release.
    pub fn check_deadlock(&self) {
        let blocked = self.actors.iter().any(|actor| matches!(actor.state, State::Blocked(..)));
        let able = self.actors.iter().any(|actor| self.is_runnable(actor));
        assert!(!blocked || able, "DEADLOCK: {}", self.describe());
    }

    /// The states of the actors as text, for debugging.
    pub fn describe(&self) -> String {
        let lines = self.actors.iter().map(|Actor { what, state, .. }| match state {
            State::Stopped => format!("{what:?} is stopped"),
            State::Blocked(Blocked { lock, at }, _) => {
                format!("{what:?} waits for the lock of {lock} at {at}")
            }
            State::Waiting(_) => format!("{what:?} waits to be rung"),
        });
        lines.collect::<Vec<_>>().join("; ")
    }
}
