//! The broker and the tasks of its connections. Any task may run within the step of another,
//! or within a commit.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::api::{self, Within, World};
use crate::common::rng::Rng;
use crate::executor::{Executor, Job};
use crate::shape::Shape;

pub struct Engine {
    pub world: World,
    executor: RefCell<Executor>,
    rng: RefCell<Rng>,
    committing: Cell<bool>,
    /// Percentage of steps and commits within which others act.
    nested: Cell<u64>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        api::within(None);
    }
}

impl Engine {
    pub fn start(seed: u64, shape: &Shape, rng: Rng) -> Rc<Self> {
        let engine = Rc::new(Self {
            world: World::start(seed, shape),
            executor: RefCell::default(),
            rng: RefCell::new(rng),
            committing: Cell::new(false),
            nested: Cell::new(shape.nested),
        });
        if shape.nested > 0 {
            let weak = Rc::downgrade(&engine);
            api::within(Some(Box::new(move |within| {
                if let Some(engine) = weak.upgrade() {
                    engine.others_act(within);
                }
            })));
        }
        engine
    }

    pub fn spawn(&self, number: u64, job: Job) {
        self.executor.borrow_mut().spawn(number, job);
    }

    pub fn ready(&self) -> Vec<u64> {
        self.executor.borrow().ready()
    }

    pub fn all(&self) -> Vec<u64> {
        self.executor.borrow().all()
    }

    /// Polls one task, even if it was not rung, unless it is being polled.
    pub fn poll(&self, number: u64) {
        let taken = self.executor.borrow_mut().take(number);
        let Some(taken) = taken else { return };
        match taken.poll() {
            Some(taken) => self.executor.borrow_mut().put_back(taken),
            None => self.executor.borrow_mut().remove(number),
        }
    }

    /// Polls one task that was rung. False if there is none.
    pub fn poll_some(&self) -> bool {
        let ready = self.ready();
        if ready.is_empty() {
            return false;
        }
        let number = *self.rng.borrow_mut().pick(&ready);
        self.poll(number);
        true
    }

    pub fn commit(&self, with_held: bool) {
        if self.committing.replace(true) {
            return;
        }
        self.world.commit(with_held);
        self.committing.set(false);
    }

    /// Sets the percentage of steps and commits within which others act; 0 makes them atomic.
    pub fn nest(&self, percent: u64) {
        self.nested.set(percent);
    }

    fn others_act(&self, within: Within) {
        let mut rng = self.rng.borrow_mut();
        if !rng.percent(self.nested.get()) {
            return;
        }
        // Polls the others until none has anything to do, or only some of them.
        let everybody = rng.percent(30);
        let count = rng.between(1, 5);
        drop(rng);
        for _ in 0..count {
            if everybody {
                for number in self.ready() {
                    self.poll(number);
                }
            } else {
                self.poll_some();
            }
            if within == Within::Step && self.rng.borrow_mut().percent(40) {
                self.commit(true);
            }
        }
    }
}
