//! An executor that polls a task only if its waker was rung.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

pub type Job = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Debug)]
struct Rung(AtomicBool);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Task {
    /// `None` while it is being polled.
    job: Option<Job>,
    rung: Arc<Rung>,
}

/// The tasks, by the number of their connection.
#[derive(Default)]
pub struct Executor {
    tasks: BTreeMap<u64, Task>,
}

/// A task taken out of the executor to be polled, so that others can be polled within its
/// poll.
pub struct Taken {
    number: u64,
    job: Job,
    waker: Waker,
}

impl Taken {
    /// Polls it once. `None` if it has ended.
    pub fn poll(mut self) -> Option<Self> {
        match self.job.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(()) => None,
            Poll::Pending => Some(self),
        }
    }
}

impl Executor {
    pub fn spawn(&mut self, number: u64, job: Job) {
        // Tokio's task budget would be shared by all of them.
        let job: Job = Box::pin(tokio::task::unconstrained(job));
        let rung = Arc::new(Rung(AtomicBool::new(true)));
        self.tasks.insert(number, Task { job: Some(job), rung });
    }

    /// Tasks that were rung and are not being polled.
    pub fn ready(&self) -> Vec<u64> {
        let ready = |task: &Task| task.job.is_some() && task.rung.0.load(Ordering::SeqCst);
        self.tasks.iter().filter(|(_, task)| ready(task)).map(|(number, _)| *number).collect()
    }

    pub fn all(&self) -> Vec<u64> {
        self.tasks.keys().copied().collect()
    }

    /// Takes a task out to be polled, rung or not.
    pub fn take(&mut self, number: u64) -> Option<Taken> {
        let task = self.tasks.get_mut(&number)?;
        let job = task.job.take()?;
        // Before the poll, so that a ring during the poll counts.
        task.rung.0.store(false, Ordering::SeqCst);
        Some(Taken { number, job, waker: Waker::from(Arc::clone(&task.rung)) })
    }

    /// Puts a task back that has not ended.
    pub fn put_back(&mut self, taken: Taken) {
        if let Some(task) = self.tasks.get_mut(&taken.number) {
            task.job = Some(taken.job);
        }
    }

    /// Removes a task that has ended.
    pub fn remove(&mut self, number: u64) {
        self.tasks.remove(&number);
    }
}
