//! Waits until a change is committed.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::broker::Broker;
use crate::message::{CommitNo, Wake};
use crate::store::{Store, StoreState};

/// How long an operator's request waits for the disk: longer than a healthy disk takes, and
/// less than the usual time-outs of users and proxies.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a change is not known to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCommitted {
    /// It will not be committed.
    #[error("the database has failed, and the broker is about to stop")]
    Down,
    /// It may be committed later: the disk is full, or another program has locked the
    /// database.
    #[error(
        "the disk has not confirmed it within 20 seconds: it is done once the database can be written, unless the broker ends before that"
    )]
    Late,
}

impl Broker {
    /// Resolves when `commit` is on disk. Resolves at once without a database.
    pub(super) async fn until_committed(
        &self,
        wake: &Wake,
        commit: CommitNo,
    ) -> Result<(), NotCommitted> {
        self.until(wake, || self.persistence.committed() >= commit).await
    }

    /// Resolves when `done` is true. `done` is evaluated again each time `wake` is rung.
    pub(super) async fn until(
        &self,
        wake: &Wake,
        done: impl Fn() -> bool,
    ) -> Result<(), NotCommitted> {
        let waiting = poll_fn(|context| {
            // The waker is registered first, so that no ring is lost between the check and the
            // wait.
            wake.poll(context);
            if done() {
                return Poll::Ready(Ok(()));
            }
            let state = self.persistence.store().map(Store::state);
            if state == Some(StoreState::Poisoned) {
                return Poll::Ready(Err(NotCommitted::Down));
            }
            Poll::Pending
        });
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or(Err(NotCommitted::Late))
    }
}
