//! What the writer does when the disk is full: who is refused, who waits, what goes
//! on with the last room, and when it is over.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::allowance::Promise;
use super::batch::Batch;
use super::error::Failure;
use super::fullness::LEAST;
use super::metrics::add;
use super::shared::StoreState;
use super::space::{self, Growth, Limit};
use super::writer::{Fault, Outcome, Scope, Writer, ring_publishers};
use crate::message::CommitNo;

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
        let over = match self.space.is_over_quota(&self.connection) {
            // No room to move pages, or somebody holds the lock: there is a next time.
            Err(error) if Failure::of(&error) != Failure::Fatal => true,
            over => over.map_err(|error| self.fault(&error))?,
        };
        Ok(over || self.volume_is_short_of_room(bytes)? || !self.leaves_what_is_promised(bytes)?)
    }

    /// True if the rest of what was promised to sessions and subscriptions is still there
    /// when the messages have taken their room. No more is promised meanwhile.
    fn leaves_what_is_promised(&mut self, bytes: u64) -> Result<bool, Fault> {
        let wal = self.checkpointer.wal_bytes();
        let growth = self.space.growth(&self.connection, wal);
        let beyond = self.tolerate_busy(growth, Growth::default())?.beyond_quota;
        // Pages are at least half full: see `Space::room`.
        Ok(self.shared.allowance.allow_messages(bytes.saturating_mul(2), beyond))
    }

    /// After a commit, or a try: so much may be promised to what grows the file.
    pub(super) fn allow_growth(&mut self, committed: Option<Promise>) -> Result<(), Fault> {
        let wal = self.checkpointer.wal_bytes();
        let growth = self.space.growth(&self.connection, wal);
        let growth = self.tolerate_busy(growth, Growth::default())?;
        // Room that is counted and not there, as with a quota of the file system, is none.
        let is_full = self.shared.state() == StoreState::Full;
        let room = if is_full { growth.room.min(growth.beyond_quota) } else { growth.room };
        self.shared.allowance.set(room, growth.beyond_quota, committed);
        Ok(())
    }

    fn volume_is_short_of_room(&mut self, bytes: u64) -> Result<bool, Fault> {
        if self.space.has_room_for(bytes, self.checkpointer.wal_bytes()) {
            return Ok(false);
        }
        // What has been copied back need not be counted, nor pages that are given back.
        // Publishers that try again keep the idle moment away in which both would happen.
        self.cut()?;
        if !self.space.has_room_for(bytes, self.checkpointer.wal_bytes()) {
            let result = space::give_back(&self.connection);
            self.tolerate_full(result)?;
            self.cut()?;
        }
        Ok(!self.space.has_room_for(bytes, self.checkpointer.wal_bytes()))
    }

    fn cut(&mut self) -> Result<(), Fault> {
        let result = self.checkpointer.cut(&self.connection, &self.shared.metrics);
        self.tolerate_full(result)
    }

    /// On a volume that the batch's pages in the WAL might fill to the last block, what
    /// the WAL holds is copied back first. A batch that finds no room leaves the WAL
    /// grown, and a database that still has to grow by what is in it could then neither
    /// be copied back nor written to.
    pub(super) fn make_room_in_the_log(&mut self) -> Result<(), Fault> {
        if self.checkpointer.wal_bytes() == 0 || !self.space.may_be_filled(self.plan.changes()) {
            return Ok(());
        }
        let result = self.checkpointer.cut(&self.connection, &self.shared.metrics);
        self.tolerate_full(result)
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
            let result = self.checkpointer.cut(&self.connection, &self.shared.metrics);
            self.tolerate_full(result)?;
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
    pub(super) fn make_do(&mut self, number: CommitNo) -> Result<Outcome, Fault> {
        let no_room = self.plan.give_up_messages(self.space.most());
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
        let _ = self.checkpointer.passive(&self.connection, &self.shared.metrics);
        let result = self.with_headroom(number);
        self.limit(Limit::Messages)?;
        result
    }

    pub(super) fn limit(&self, limit: Limit) -> Result<(), Fault> {
        self.space.limit(&self.connection, limit).map_err(|error| self.fault(&error))
    }

    fn tell_full(&self) {
        let room = self.space.describe(&self.connection);
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
    pub(super) fn allow_probe(&mut self) {
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
        let wal = self.checkpointer.wal_bytes();
        self.tolerate_busy(self.space.room(&self.connection, wal), 0)
    }

    /// What counts while another program has the database locked: `otherwise`.
    fn tolerate_busy<T>(&self, counted: rusqlite::Result<T>, otherwise: T) -> Result<T, Fault> {
        match counted {
            Err(error) if Failure::of(&error) == Failure::Busy => Ok(otherwise),
            counted => counted.map_err(|error| self.fault(&error)),
        }
    }
}
