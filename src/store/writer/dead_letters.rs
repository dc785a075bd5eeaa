//! Dead letters: beside a batch if there is room for both, otherwise alone.
//!
//! A dead letter replaces a delivery and mostly its message, whose pages it uses, so it can be
//! written on a full disk too, within some of the pages beyond the quota and some of what the
//! volume keeps for deletes. Otherwise a queue of messages that are all refused would fill the
//! disk for ever. What finds no room even so waits, with its delivery still on disk, and holds
//! up nothing else.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Fault, Writer};
use crate::message::CommitNo;
use crate::store::engine::{Growth, Limit, Scope};
use crate::store::metrics::add;
use crate::store::shared::StoreState;

/// The pause after an attempt that found no room.
const PAUSE: Duration = Duration::from_secs(1);

/// Dead letters that one transaction writes alone.
const PORTION: usize = 32;
/// Bytes of them, if there are several.
const PORTION_BYTES: u64 = 1 << 20;
/// Transactions after one batch.
const PORTIONS: usize = 16;

impl Writer {
    /// Chooses the dead letters that are written with the batch. On a full disk there are none:
    /// for lack of room it would be refused with them.
    pub(super) fn choose_dead_letters(&mut self) -> Result<(), Fault> {
        if self.plan.letters.is_empty() {
            return Ok(());
        }
        self.plan.letters.set_aside();
        if self.shared.state() == StoreState::Running {
            let room = self.room()?.saturating_sub(self.plan.insert_bytes());
            self.plan.letters.choose(usize::MAX, room);
        }
        Ok(())
    }

    /// To be called after a commit of everything, before the plan is reset: the deliveries
    /// that were replaced are released.
    pub(super) fn settle_dead_letters(&mut self) {
        let left = self.plan.letters.committed(&self.shared.references);
        self.plan.late_messages.extend(left.into_iter().map(|message| message.0));
    }

    /// Writes what was not written with the batch, as far as there is room. The rest waits.
    pub(super) fn commit_dead_letters(&mut self, number: CommitNo) -> Result<(), Fault> {
        if self.plan.letters.is_empty() {
            return Ok(());
        }
        if self.letters_at.is_none_or(|at| at <= Instant::now()) {
            self.commit_in_portions(number)?;
        }
        let forgotten = self.plan.letters.forget_surplus();
        if forgotten > 0 {
            tracing::warn!(
                forgotten,
                "too many dead letters wait for room on the disk: these messages stay in the \
                 bridge's queue and are sent again after the next start"
            );
        }
        add(&self.shared.metrics.dead_letters_forgotten, forgotten);
        let waiting = self.plan.letters.len() as u64;
        self.shared.metrics.dead_letters_waiting.store(waiting, Ordering::Relaxed);
        Ok(())
    }

    fn commit_in_portions(&mut self, number: CommitNo) -> Result<(), Fault> {
        for _ in 0..PORTIONS {
            self.plan.letters.choose_decided(PORTION, PORTION_BYTES);
            if self.plan.letters.chosen() == 0 {
                return Ok(());
            }
            if !self.may_commit_letters()? || !self.commit_letters(number)? {
                self.plan.letters.set_aside();
                if self.letters_at.is_none() {
                    tracing::warn!(
                        waiting = self.plan.letters.len(),
                        room = self.engine.describe_room(),
                        "no room on the disk for dead letters of bridges: they wait, and their \
                         messages stay in the queue; let subscribers drain their queues, or \
                         enlarge persistence.max_size or the volume"
                    );
                }
                self.letters_at = Some(Instant::now() + PAUSE);
                return Ok(());
            }
            self.letters_at = None;
        }
        Ok(())
    }

    /// True if the chosen ones leave what sessions and deletes need. What they take beside the
    /// pages of what they replace is limited by [`Limit::DeadLetters`]; on the volume their
    /// whole size counts, in the log.
    fn may_commit_letters(&mut self) -> Result<bool, Fault> {
        let growth = self.unless_locked(self.engine.growth(), Growth::default())?;
        let spare = growth.room.saturating_sub(growth.beyond_quota / 2);
        let bytes = self.plan.letters.bytes();
        if spare == 0 {
            return Ok(false);
        }
        if bytes <= spare {
            return Ok(true);
        }
        let has_room = self.engine.has_room_for(bytes);
        self.check(has_room)
    }

    fn commit_letters(&mut self, number: CommitNo) -> Result<bool, Fault> {
        self.set_limit(Limit::DeadLetters)?;
        let fits = self.fits(Scope::All, number)?;
        self.set_limit(Limit::Messages)?;
        if fits {
            self.plan.without_deletes();
            self.settle_dead_letters();
            self.plan.add_late_messages();
        }
        Ok(fits)
    }
}
