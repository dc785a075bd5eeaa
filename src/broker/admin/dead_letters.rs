//! Dead letters of bridges: read from the file, and removed from it.

use std::sync::Arc;

use super::NotCommitted;
use crate::broker::{Broker, Step};
use crate::message::{SessionWake, Wake, WakeCause};
use crate::store::{
    DeadLetterPage, DeadLetterQuery, DeadLetterReply, DeadLetterRequest, Op, StoredDeadLetter,
};

/// Dead letters that one commit removes, so that other work is not delayed.
const REMOVED_AT_ONCE: usize = 500;

impl Broker {
    /// Reads some dead letters.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn dead_letters(
        &self,
        query: DeadLetterQuery,
    ) -> Result<DeadLetterPage, NotCommitted> {
        let Some(store) = self.persistence.store() else { return Ok(DeadLetterPage::default()) };
        let (send, receive) = tokio::sync::oneshot::channel();
        let reply = DeadLetterReply(Box::new(move |answer| {
            // An error means that the request was cancelled.
            let _ = send.send(answer);
        }));
        store.dead_letters(DeadLetterRequest { query, reply });
        match receive.await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(_)) | Err(_) => Err(NotCommitted::Down),
        }
    }

    /// Reads one dead letter whole, with up to `payload` bytes of its payload.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn dead_letter_of(
        &self,
        id: u64,
        payload: usize,
    ) -> Result<Option<StoredDeadLetter>, NotCommitted> {
        let Some(after) = id.checked_sub(1) else { return Ok(None) };
        let page = self
            .dead_letters(DeadLetterQuery {
                bridge: None,
                after,
                limit: 1,
                properties: true,
                payload,
                payloads: payload,
            })
            .await?;
        Ok(page.letters.into_iter().next().filter(|letter| letter.id == id))
    }

    /// Removes one dead letter. Returns when the removal is on disk; false if there is none.
    ///
    /// # Errors
    /// The removal is not known to be on disk.
    pub async fn remove_dead_letter(&self, id: u64) -> Result<bool, NotCommitted> {
        if self.dead_letter_of(id, 0).await?.is_none() {
            return Ok(false);
        }
        self.remove_letters(vec![id]).await?;
        Ok(true)
    }

    /// Removes the dead letters of a bridge, in portions, and returns how many. Those that are
    /// written meanwhile may stay.
    ///
    /// # Errors
    /// The last portion is not known to be on disk.
    pub async fn remove_dead_letters(&self, bridge: &str) -> Result<u64, NotCommitted> {
        let last = self.persistence.store().map_or(0, |store| {
            let counts = store.metrics().dead_letters();
            let count = counts.into_iter().find(|(name, _)| &**name == bridge);
            count.map_or(0, |(_, count)| count.kept)
        });
        let mut removed = 0;
        while removed < last {
            let query = DeadLetterQuery {
                bridge: Some(bridge.into()),
                limit: REMOVED_AT_ONCE,
                ..DeadLetterQuery::default()
            };
            let page = self.dead_letters(query).await?;
            if page.letters.is_empty() {
                break;
            }
            removed += page.letters.len() as u64;
            self.remove_letters(page.letters.iter().map(|letter| letter.id).collect()).await?;
        }
        Ok(removed)
    }

    async fn remove_letters(&self, ids: Vec<u64>) -> Result<(), NotCommitted> {
        let wake = Arc::new(Wake::default());
        let mut step = Step::new(self);
        step.write(Op::RemoveDeadLetters(ids));
        let session = Arc::new(SessionWake::of(Arc::clone(&wake)));
        step.wake_at_commit(&session, WakeCause::Direct);
        let commit = step.submit(self).map_err(|_| NotCommitted::Down)?;
        self.until_committed(&wake, commit).await
    }
}
