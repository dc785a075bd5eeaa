//! The writer's work between batches and when idle: checkpoints, gauges, cleanup after ended
//! sessions, free pages, and the orderly shutdown.

use std::time::{Duration, Instant};

use super::{Fault, Writer, until_unlocked};
use crate::store::checkpoint_request::CheckpointReply;
use crate::store::engine::{Failure, GiveBack, Scope};
use crate::store::shared::StoreState;

/// Deliveries without a session that one batch removes beside its own work: 1 to 2 ms if each
/// costs as much as a delete in `benches/store.rs`.
const ORPHANS_PER_STEP: usize = 1024;

impl Writer {
    pub(super) fn take_orphans(&mut self) {
        let orphans = self.orphans.take_front(ORPHANS_PER_STEP);
        self.plan.drops.extend(orphans.iter().map(|entry| entry.id.0));
    }

    pub(super) fn checkpoint(&mut self) -> Result<(), Fault> {
        let done = self.engine.after_commit();
        self.check(done)?;
        if self.measured.elapsed() >= Duration::from_secs(1) {
            self.measure()?;
        }
        Ok(())
    }

    fn measure(&mut self) -> Result<(), Fault> {
        self.measured = Instant::now();
        self.check_files()?;
        let measured = self.engine.measure();
        self.check(measured)
    }

    /// Fails if the database or the WAL is no longer at its path: what is acknowledged from
    /// here on would be lost with the process.
    pub(super) fn check_files(&mut self) -> Result<(), Fault> {
        self.engine.check_files().map_err(Fault)
    }

    /// One step of housekeeping. True if there is more to do.
    pub(in crate::store) fn idle(&mut self) -> Result<bool, Fault> {
        if !self.orphans.is_empty() {
            self.take_orphans();
            if self.fits(Scope::Deletes, 0)? {
                self.plan.without_deletes();
            }
            return Ok(true);
        }
        let done = self.engine.when_idle();
        self.check(done)?;
        if self.shared.state() == StoreState::Running {
            self.engine.restore_reserve();
        }
        self.give_back(GiveBack::WhenIdle)?;
        self.measure()?;
        Ok(self.has_surplus())
    }

    /// Returns some free pages between two commits, for a broker that is never idle. True if
    /// there are more.
    pub(super) fn pause(&mut self) -> Result<bool, Fault> {
        self.give_back(GiveBack::BetweenCommits)?;
        self.checkpoint()?;
        Ok(self.has_surplus())
    }

    fn give_back(&mut self, when: GiveBack) -> Result<(), Fault> {
        let given = self.engine.give_back(when);
        self.check(given)
    }

    /// True if there are free pages to return.
    pub(super) fn has_surplus(&self) -> bool {
        self.engine.has_surplus()
    }

    /// Runs one checkpoint for all requests.
    pub(in crate::store) fn checkpoint_on_demand(
        &mut self,
        replies: Vec<CheckpointReply>,
    ) -> Result<(), Fault> {
        let done = self.engine.checkpoint();
        let done = self.check(done)?;
        for CheckpointReply(reply) in replies {
            reply(done);
        }
        Ok(())
    }

    /// Writes the broker's clock, in its own transaction. On a full disk a later commit writes
    /// it.
    pub(super) fn write_clock(&mut self) -> Result<(), Fault> {
        let Some(mark) = self.shared.clock() else { return Ok(()) };
        let engine = &mut self.engine;
        let written = until_unlocked(&self.shared, || engine.commit_clock(&mark));
        match written {
            Err(error) if error.failure == Failure::Full => {
                self.shared.metrics.count_error(error.code);
                Ok(())
            }
            written => self.check(written),
        }
    }

    /// Closes the engine in order. Everything is committed already.
    pub(in crate::store) fn close(self) -> Result<(), Fault> {
        let Self { engine, shared, .. } = self;
        match engine.close(shared.clock()) {
            Ok(()) => Ok(()),
            // Everything is committed; the next start only runs a check that was not
            // necessary.
            Err(error) if error.failure != Failure::Fatal => {
                tracing::warn!(%error, "database not closed cleanly: everything is committed, the next start checks the file");
                Ok(())
            }
            Err(error) => {
                shared.metrics.count_error(error.code);
                Err(Fault::from(error))
            }
        }
    }
}
