//! The steps of a connection. Each holds the session's permit, handles what one poll's budget
//! allows, and submits its changes before it releases the permit.

use super::{Client, Close};
use crate::broker::{Budget, Load};
use crate::message::{Revoked, WakeCause};
use crate::protocol::ReasonCode;
use crate::schedule::{self, Point};

const TAKEN_OVER: Close =
    Close::Error(ReasonCode::SessionTakenOver, "another connection has the session");

const DEPRIVED: Close = Close::Error(
    ReasonCode::QuotaExceeded,
    "a message for it could not be kept: it holds most of what limits.max_memory allows",
);

impl Client {
    /// Begins a step with `budget` for input and the same for output. False: the session's
    /// permit is taken, and the connection is woken when it can try again.
    ///
    /// # Errors
    /// The connection has to end: it has lost its session, or the broker shuts down.
    pub fn begin(&mut self, budget: Budget) -> Result<bool, Close> {
        self.is_continuation = self.permit.is_some();
        if !self.is_continuation {
            self.is_last_step = self.wake.revoked().is_some();
        }
        if self.permit.is_none() {
            if let Some(lost) = self.lost()
                && !self.wake.is_closing()
            {
                return Err(lost);
            }
            match self.handle.try_begin() {
                Some(permit) => self.permit = Some(permit),
                None => return Ok(false),
            }
            // A take-over revokes the connection first, so the session's lock, for which
            // publishers compete, is taken only if the connection was revoked.
            if self.wake.revoked().is_some() && !self.handle.look().life.is_held_by(self.epoch) {
                self.permit = None;
                return Err(self.lost().unwrap_or(TAKEN_OVER));
            }
            debug_assert!(self.handle.look().life.is_held_by(self.epoch));
            if self.handle.take_lost_message() {
                return Err(DEPRIVED);
            }
            if self.broker.is_shutting_down() {
                return Err(Close::Error(ReasonCode::ServerShuttingDown, "the broker shuts down"));
            }
        }
        self.refresh_permissions();
        self.step.now = self.broker.clock.now();
        self.budget = budget;
        self.output_budget = budget;
        Ok(true)
    }

    /// Ends a step. If a packet's work continues, nothing is submitted yet: all of its changes
    /// are submitted together when it is done.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn end(&mut self) -> Result<(), Close> {
        if self.work.is_some() {
            self.step.notify();
            return Ok(());
        }
        let submitted = self.submit();
        self.rest();
        self.permit = None;
        if self.is_last_step {
            self.wake.leave();
        }
        submitted
    }

    /// True if the next packet may be handled in this poll.
    pub fn may_go_on(&self) -> bool {
        self.held.is_none() && self.may_take()
    }

    /// True if this step may go on. After a revocation only the last step may.
    fn may_step(&self) -> bool {
        self.wake.revoked().is_none() || self.wake.is_closing()
    }

    /// True if held or unhandled packets may be handled in this poll.
    pub fn may_take(&self) -> bool {
        self.work.is_none() && !self.is_continuation && !self.budget.is_spent() && self.may_step()
    }

    /// True if this poll could not handle all input.
    pub fn has_more_input(&self) -> bool {
        self.work.is_some() || self.is_continuation || self.budget.is_spent()
    }

    /// True if this poll could not do all work, so that another poll is needed.
    pub fn has_more(&self) -> bool {
        self.has_more_input() || self.output_budget.is_spent()
    }

    /// The kind of work that remains, if [`Client::has_more`] is true.
    pub fn load(&self) -> Load {
        if self.output_budget.is_spent() { Load::Output } else { Load::Input }
    }

    /// Submits the step's changes to the store and wakes other connections.
    ///
    /// # Errors
    /// The store is poisoned: nothing may be acknowledged any more.
    pub fn submit(&mut self) -> Result<(), Close> {
        if self.work.is_some() {
            return Ok(());
        }
        if self.step.has_writes() && self.pending.has_new_gates() {
            self.step.wake_at_commit(self.handle.session_wake(), WakeCause::Direct);
        }
        schedule::reached(Point::EndOfStep);
        let commit = self
            .step
            .submit(&self.broker)
            .map_err(|_| Close::Error(ReasonCode::ServerShuttingDown, "the store has failed"))?;
        self.pending.submitted(commit);
        Ok(())
    }

    /// True if the connection has to release its session.
    pub fn is_revoked(&self) -> bool {
        self.wake.revoked().is_some()
    }

    /// True if someone waits for the connection to end, so that it does not wait for a turn.
    pub fn is_awaited(&self) -> bool {
        self.is_revoked() || self.broker.is_shutting_down()
    }

    /// If the connection is revoked, its task takes one more step.
    pub fn begin_close(&self) {
        self.wake.set_closing();
    }

    /// Why the connection has to release its session, if it has to.
    fn lost(&self) -> Option<Close> {
        Some(match self.wake.revoked()? {
            Revoked::TakenOver => TAKEN_OVER,
            Revoked::ByOperator => {
                Close::Error(ReasonCode::AdministrativeAction, "disconnected by an operator")
            }
            Revoked::LogInRemoved => Close::Error(
                ReasonCode::NotAuthorized,
                "its user was removed, or the user's password was changed",
            ),
            Revoked::CertificateRevoked => {
                Close::Error(ReasonCode::NotAuthorized, "its client certificate was revoked")
            }
        })
    }
}
