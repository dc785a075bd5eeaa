//! The writer on a full disk: which messages are refused or parked, what continues with the
//! remaining space, and when the state ends.
//!
//! A batch that would leave the volume without space for a checkpoint is not started: a volume
//! that is full to its last block could neither delete nor checkpoint. When the engine finds
//! no space, the transaction is rolled back and the batch's messages, retained ones included,
//! are refused, or parked if their publishers wait. The rest is tried with the headroom beyond
//! the quota, then without the reserve, then deletes only, and those in small parts; what
//! remains is kept and tried again.
//!
//! Space for growth that is not messages has been promised before (`allowance`): a batch's
//! messages are refused if they would use it, since a batch that is kept delays every CONNACK
//! that waits for it.
//!
//! The state ends when as much as was refused has been written or would fit, or when something
//! was written and nothing was refused for ten seconds (`fullness`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Fault, Outcome, Writer, notify_publishers};
use crate::message::CommitNo;
use crate::store::batch::Batch;
use crate::store::engine::{Failure, Growth, Limit, Scope};
use crate::store::metrics::add;
use crate::store::room::allowance::Promise;
use crate::store::room::fullness::LEAST;
use crate::store::shared::StoreState;

/// How often parked messages are tried although the counted space does not suffice: free space
/// on partly filled pages is not counted.
const PROBE: Duration = Duration::from_secs(1);

impl Writer {
    /// True if the batch's messages would use space on the volume that a checkpoint or deletes
    /// may need later.
    pub(super) fn is_short_of_room(&mut self) -> Result<bool, Fault> {
        let bytes = self.plan.insert_bytes();
        if bytes == 0 {
            return Ok(false);
        }
        let over = match self.engine.is_over_quota() {
            // There is no space to move pages, or another program holds the lock: a later
            // batch tries again.
            Err(error) if error.failure != Failure::Fatal => true,
            over => self.check(over)?,
        };
        if over {
            return Ok(true);
        }
        let has_room = self.engine.has_room_for(bytes);
        Ok(!self.check(has_room)? || !self.leaves_what_is_promised(bytes)?)
    }

    /// True if the space promised to sessions and subscriptions remains after the messages
    /// have taken theirs. Further promises are limited accordingly.
    fn leaves_what_is_promised(&mut self, bytes: u64) -> Result<bool, Fault> {
        let beyond = self.unless_locked(self.engine.growth(), Growth::default())?.beyond_quota;
        // Pages are assumed to be half full: see `sqlite::space`.
        Ok(self.shared.allowance.allow_messages(bytes.saturating_mul(2), beyond))
    }

    /// Called after a commit or a failed attempt: sets how much may be promised for growth.
    pub(super) fn allow_growth(&mut self, committed: Option<Promise>) -> Result<(), Fault> {
        let growth = self.unless_locked(self.engine.growth(), Growth::default())?;
        // In the full state the counted space may not exist, as with a file system quota.
        let is_full = self.shared.state() == StoreState::Full;
        let room = if is_full { growth.room.min(growth.beyond_quota) } else { growth.room };
        self.shared.allowance.set(room, growth.beyond_quota, committed);
        Ok(())
    }

    /// Deletes that find no space in the WAL in one transaction are split: each part is
    /// checkpointed before the next one. Deletes that still do not fit are kept.
    pub(super) fn delete_in_parts(&mut self, number: CommitNo) -> Result<(), Fault> {
        /// Rows per table and part: they change at most as many pages, and a few of the free
        /// list.
        const PART: usize = 32;
        /// Maximum number of parts per call, so that other batches are committed too.
        const PARTS: usize = 200;
        let mut deliveries = std::mem::take(&mut self.plan.deleted_deliveries);
        let mut messages = std::mem::take(&mut self.plan.deleted_messages);
        for _ in 0..PARTS {
            let part = |ids: &mut Vec<u64>| ids.split_off(ids.len().saturating_sub(PART));
            self.plan.deleted_deliveries = part(&mut deliveries);
            self.plan.deleted_messages = part(&mut messages);
            let emptied = self.engine.empty_log();
            self.check(emptied)?;
            if !self.fits(Scope::Deletes, number)? {
                break;
            }
            self.plan.without_deletes();
            if deliveries.is_empty() && messages.is_empty() {
                break;
            }
        }
        self.plan.deleted_deliveries.append(&mut deliveries);
        self.plan.deleted_messages.append(&mut messages);
        Ok(())
    }

    /// Handles a batch without enough space: messages are refused, and their publishers
    /// notified, or parked. The rest is tried again, since acknowledgements must continue.
    pub(super) fn commit_without_messages(&mut self, number: CommitNo) -> Result<Outcome, Fault> {
        self.plan.letters.set_aside();
        let no_room = self.plan.reject_messages(self.engine.largest_message());
        self.full.no_room(Instant::now(), no_room.bytes, no_room.largest);
        if self.room()? >= no_room.bytes.max(LEAST) {
            self.full.doubt();
        }
        self.full.count(no_room.refused.len());
        add(&self.shared.metrics.refused_messages, no_room.refused.len());
        // Only after the counters are updated, so that a woken publisher sees them.
        notify_publishers(no_room.refused.iter().chain(self.plan.parked.messages()));
        // What waits behind a refused message may proceed, whatever happens to the rest.
        self.notify_waiters();
        if self.shared.set_state(StoreState::Full) != StoreState::Full {
            self.tell_full();
        }
        // Frames that are checkpointed make space in the WAL for new pages.
        let _ = self.engine.copy_log_back();
        let result = self.commit_with_headroom(number);
        self.set_limit(Limit::Messages)?;
        result
    }

    pub(super) fn set_limit(&mut self, limit: Limit) -> Result<(), Fault> {
        let set = self.engine.set_limit(limit);
        self.check(set)
    }

    fn tell_full(&self) {
        let room = self.engine.describe_room();
        tracing::error!(
            room,
            "the disk is full: messages for durable sessions are refused until there is room; let \
             subscribers drain their queues, or enlarge persistence.max_size or the volume"
        );
    }

    /// Adds parked messages to the next batch, as far as there is space.
    pub(super) fn unpark(&mut self, batch: &Batch) -> Result<(), Fault> {
        if self.plan.parked.is_empty() {
            return Ok(());
        }
        // Not beside other messages, which would be refused together with it.
        let probe = self.probed.elapsed() >= PROBE && !batch.has_messages();
        if probe {
            self.probed = Instant::now();
        }
        let room = self.room()?;
        if room < LEAST && !probe {
            return Ok(());
        }
        let refused = self.plan.unpark(room, probe);
        self.full.count(refused);
        add(&self.shared.metrics.refused_messages, refused);
        Ok(())
    }

    /// Lets the next batch try parked messages regardless of the counted space.
    pub(in crate::store) fn allow_probe(&mut self) {
        self.probed = self.probed.checked_sub(PROBE).unwrap_or(self.probed);
        self.letters_at = self.letters_at.map(|_| Instant::now());
    }

    pub(super) fn count_parked(&self) {
        let parked = self.plan.parked.len() as u64;
        self.shared.metrics.stalled.store(parked, Ordering::Relaxed);
    }

    /// Ends the full state if what was refused would be accepted now.
    pub(super) fn look_for_room(&mut self) -> Result<(), Fault> {
        if self.shared.state() != StoreState::Full || !self.plan.parked.is_empty() {
            return Ok(());
        }
        let (now, room) = (Instant::now(), self.room()?);
        if self.full.is_over(now, room)
            && let Some(ended) = self.full.end(now)
        {
            self.shared.set_state(StoreState::Running);
            tracing::info!(
                refused = ended.refused,
                seconds = ended.lasted.as_secs_f64(),
                "the disk has room again"
            );
        }
        Ok(())
    }

    /// True if the writer must act without new work: parked messages or dead letters are to be
    /// tried, or the end of the full state checked.
    pub(super) fn is_full(&self) -> bool {
        self.shared.state() == StoreState::Full
            || !self.plan.parked.is_empty()
            || !self.plan.letters.is_empty()
    }

    /// Bytes of messages for which there is space: a conservative estimate.
    pub(super) fn room(&self) -> Result<u64, Fault> {
        self.unless_locked(self.engine.room(), 0)
    }
}
