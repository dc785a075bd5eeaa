//! The writer on a full disk: which messages are refused or parked, what continues with the
//! last space, and when the state ends.
//!
//! A batch that would leave the volume without room to copy the log back is not begun: a volume
//! that is full to its last block could neither delete nor checkpoint. When the engine finds no
//! room, the transaction is rolled back and the batch's messages are refused, those to be
//! retained among them, or set aside if their publishers wait. The rest is tried with the
//! headroom beyond the quota, then without the reserve, then only deletes, and those a few at a
//! time; what is left is kept and tried again.
//!
//! Room for what grows the file and is no message (`allowance`) has been promised before: a
//! batch's messages are refused if they would take it, since a batch that is kept holds up
//! every CONNACK that waits for it.
//!
//! It is over when as much as was refused has been written or would fit, or when something was
//! written and nobody was refused for ten seconds (`fullness`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Fault, Outcome, Writer, ring_publishers};
use crate::message::CommitNo;
use crate::store::batch::Batch;
use crate::store::engine::{Failure, Growth, Limit, Scope};
use crate::store::metrics::add;
use crate::store::room::allowance::Promise;
use crate::store::room::fullness::LEAST;
use crate::store::shared::StoreState;

/// How often what is parked is tried although the room that can be counted does not
/// suffice: pages that are partly empty do not count.
const PROBE: Duration = Duration::from_secs(1);

impl Writer {
    /// True if the batch's messages would take room on the volume that copying the WAL
    /// back, or deleting, may need later.
    pub(super) fn is_short_of_room(&mut self) -> Result<bool, Fault> {
        let bytes = self.plan.insert_bytes();
        if bytes == 0 {
            return Ok(false);
        }
        let over = match self.engine.is_over_quota() {
            // No room to move pages, or somebody holds the lock: there is a next time.
            Err(error) if error.failure != Failure::Fatal => true,
            over => self.check(over)?,
        };
        if over {
            return Ok(true);
        }
        let has_room = self.engine.has_room_for(bytes);
        Ok(!self.check(has_room)? || !self.leaves_what_is_promised(bytes)?)
    }

    /// True if the rest of what was promised to sessions and subscriptions is still there
    /// when the messages have taken their room. No more is promised meanwhile.
    fn leaves_what_is_promised(&mut self, bytes: u64) -> Result<bool, Fault> {
        let beyond = self.unless_locked(self.engine.growth(), Growth::default())?.beyond_quota;
        // Pages are at least half full: see `sqlite::space`.
        Ok(self.shared.allowance.allow_messages(bytes.saturating_mul(2), beyond))
    }

    /// After a commit, or a try: so much may be promised to what grows the file.
    pub(super) fn allow_growth(&mut self, committed: Option<Promise>) -> Result<(), Fault> {
        let growth = self.unless_locked(self.engine.growth(), Growth::default())?;
        // Room that is counted and not there, as with a quota of the file system, is none.
        let is_full = self.shared.state() == StoreState::Full;
        let room = if is_full { growth.room.min(growth.beyond_quota) } else { growth.room };
        self.shared.allowance.set(room, growth.beyond_quota, committed);
        Ok(())
    }

    /// Deletes that find no room in the WAL all at once find it a few at a time: each
    /// part is copied back before the next one. What does not fit even so stays.
    pub(super) fn delete_in_parts(&mut self, number: CommitNo) -> Result<(), Fault> {
        /// Rows of each table: at most as many pages, and a few of the free list.
        const PART: usize = 32;
        /// Parts in one go, so that others get their turn.
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

    /// No room. Messages are refused, so that their publishers hear of it, or wait;
    /// the rest is tried again: acknowledgements have to go on.
    pub(super) fn commit_without_messages(&mut self, number: CommitNo) -> Result<Outcome, Fault> {
        let no_room = self.plan.reject_messages(self.engine.largest_message());
        self.full.no_room(Instant::now(), no_room.bytes, no_room.largest);
        if self.room()? >= no_room.bytes.max(LEAST) {
            self.full.doubt();
        }
        self.full.count(no_room.refused.len());
        add(&self.shared.metrics.refused_messages, no_room.refused.len());
        // Only now: whoever looks has to see it.
        ring_publishers(no_room.refused.iter().chain(self.plan.parked.messages()));
        // What stands behind a message that is refused may go, whatever becomes of the rest.
        self.ring_waiters();
        if self.shared.set_state(StoreState::Full) != StoreState::Full {
            self.tell_full();
        }
        // What has been copied back leaves its place in the WAL to new pages.
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

    /// Takes what is parked along with the next batch, as far as there is room.
    pub(super) fn unpark(&mut self, batch: &Batch) -> Result<(), Fault> {
        if self.plan.parked.is_empty() {
            return Ok(());
        }
        // Not with messages beside it: they would be refused along with it.
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

    /// The next batch may try what is parked, whatever room can be counted.
    pub(in crate::store) fn allow_probe(&mut self) {
        self.probed = self.probed.checked_sub(PROBE).unwrap_or(self.probed);
    }

    pub(super) fn count_parked(&self) {
        let parked = self.plan.parked.len() as u64;
        self.shared.metrics.stalled.store(parked, Ordering::Relaxed);
    }

    /// Ends the full disk's state if what was refused would be taken now.
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

    /// True if time alone may change something: what waits has to be tried, or the
    /// state looked at.
    pub(super) fn is_full(&self) -> bool {
        self.shared.state() == StoreState::Full || !self.plan.parked.is_empty()
    }

    /// Bytes of messages for which there is room, carefully estimated.
    fn room(&self) -> Result<u64, Fault> {
        self.unless_locked(self.engine.room(), 0)
    }
}
