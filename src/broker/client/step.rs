//! The steps of a connection: each holds its session's permit, handles what one poll's
//! budget allows, and submits what it has decided before it gives the permit back.

use super::{Client, Close};
use crate::broker::{Budget, Load};
use crate::message::Revoked;
use crate::protocol::ReasonCode;
use crate::schedule::{self, Point};

const TAKEN_OVER: Close =
    Close::Error(ReasonCode::SessionTakenOver, "another connection has the session");

const DEPRIVED: Close = Close::Error(
    ReasonCode::QuotaExceeded,
    "a message for it could not be kept: it holds most of what limits.max_memory allows",
);

impl Client {
    /// Begins a step of a poll that may cost `budget` each way. False: somebody else acts on the session, and the wake-up is rung
    /// when it is this connection's turn.
    ///
    /// # Errors
    /// The connection has to end: it has lost its session, or the broker shuts down.
    pub fn begin(&mut self, budget: Budget) -> Result<bool, Close> {
        self.carries_on = self.permit.is_some();
        if !self.carries_on {
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
            // Who takes the session away revokes the connection first, so the lock, which
            // publishers want too, is asked only then.
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
        self.step.now = self.broker.clock.now();
        self.budget = budget;
        self.output_budget = budget;
        Ok(true)
    }

    /// Ends a step, unless a packet's work goes on: then all of it is submitted at once when
    /// it is done.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn end(&mut self) -> Result<(), Close> {
        if self.work.is_some() {
            self.step.ring();
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

    /// Its last step may still be under way after it was revoked.
    fn may_step(&self) -> bool {
        self.wake.revoked().is_none() || self.wake.is_closing()
    }

    /// True if a packet that was left over may be looked at again in this poll.
    pub fn may_take(&self) -> bool {
        self.work.is_none() && !self.carries_on && !self.budget.is_spent() && self.may_step()
    }

    /// True if more of what the client sent may be there than one poll may handle.
    pub fn has_more_input(&self) -> bool {
        self.work.is_some() || self.carries_on || self.budget.is_spent()
    }

    /// True if there is more to do than one poll may: it is to be polled again.
    pub fn has_more(&self) -> bool {
        self.has_more_input() || self.output_budget.is_spent()
    }

    /// What there is more of, if [`Client::has_more`].
    pub fn load(&self) -> Load {
        if self.output_budget.is_spent() { Load::Output } else { Load::Input }
    }

    /// Hands what was decided to the store and wakes whom it concerns.
    ///
    /// # Errors
    /// The store is poisoned: nothing may be acknowledged any more.
    pub fn submit(&mut self) -> Result<(), Close> {
        if self.work.is_some() {
            return Ok(());
        }
        if self.step.has_writes() && self.pending.has_new_gates() {
            self.step.wake_at_commit(self.handle.session_wake());
        }
        schedule::reached(Point::EndOfStep);
        let commit = self
            .step
            .submit(&self.broker)
            .map_err(|_| Close::Error(ReasonCode::ServerShuttingDown, "the store has failed"))?;
        self.pending.submitted(commit);
        Ok(())
    }

    /// True if it has to let go of its session.
    pub fn is_revoked(&self) -> bool {
        self.wake.revoked().is_some()
    }

    /// True if somebody waits for its end, so that it does not wait for its turn.
    pub fn is_awaited(&self) -> bool {
        self.is_revoked() || self.broker.is_shutting_down()
    }

    /// The task takes one more step when the connection is revoked.
    pub fn begin_close(&self) {
        self.wake.set_closing();
    }

    /// Why the connection has lost its session, or has to let go of it.
    fn lost(&self) -> Option<Close> {
        Some(match self.wake.revoked()? {
            Revoked::TakenOver => TAKEN_OVER,
            Revoked::ByOperator => {
                Close::Error(ReasonCode::AdministrativeAction, "disconnected by an operator")
            }
        })
    }
}
