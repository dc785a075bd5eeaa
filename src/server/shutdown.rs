//! Stops the broker.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Running, ServeError};

impl Running {
    /// Resolves when there is a reason to stop: `stop`, or a failed store.
    pub(super) async fn until_told(
        &mut self,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        tokio::select! {
            () = stop => Ok(()),
            reason = poisoned(&mut self.poisoned) => Err(ServeError::Poisoned(reason)),
        }
    }

    /// Disconnects the clients, writes what is left, and closes the database. Half of `time`
    /// is for the clients, the rest for the disk.
    ///
    /// # Errors
    /// [`ServeError::Unclosed`]: what was acknowledged is safe, but the database file is not
    /// complete without its WAL.
    pub(super) async fn stop(
        self,
        mut tasks: JoinSet<()>,
        time: Duration,
    ) -> Result<(), ServeError> {
        self.broker.note_stop();
        self.broker.shut_down();
        let clients = Instant::now() + time / 2;
        let _ = timeout(time / 4, async { while tasks.join_next().await.is_some() {} }).await;
        // The last quarter of the clients' time is for redistributing what ended sessions
        // leave.
        let gone = timeout_at(clients - time / 8, self.broker.until_all_left()).await;
        if gone.is_err() {
            tracing::warn!(
                "connections still open after their share of runtime.shutdown_timeout were closed"
            );
        }
        if timeout_at(clients, self.broker.clean_up_all()).await.is_err() {
            tracing::warn!(
                "messages of ended sessions could not all be redistributed within \
                 runtime.shutdown_timeout"
            );
        }
        let Some(store) = self.store else { return Ok(()) };
        let closed = tokio::task::spawn_blocking(move || store.shutdown(time / 2)).await;
        let closed = closed.map_err(|error| ServeError::Unclosed(error.to_string()))?;
        closed.map_err(|error| ServeError::Unclosed(error.to_string()))?;
        tracing::info!("the database is closed");
        Ok(())
    }
}

async fn poisoned(watch: &mut tokio::sync::watch::Receiver<Option<String>>) -> String {
    match watch.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        // There is no store, or it is being closed: it cannot be poisoned any more.
        Err(_) => std::future::pending().await,
    }
}
