//! One transaction: BEGIN, the statements of a plan, COMMIT.

use std::time::Instant;

use rusqlite::Connection;

use super::ids::IdBlocks;
use super::{SqliteEngine, checkpoint, clock, dead_letters, statements};
use crate::store::clock::ClockMark;
use crate::store::engine::{EngineError, Failure, Result, Scope, Transaction};
use crate::store::failpoint::{self, Moment};

impl SqliteEngine {
    /// Applies and commits one transaction. After an error none of it remains.
    pub(super) fn commit_transaction(&mut self, mut transaction: Transaction<'_>) -> Result<()> {
        self.begin()?;
        let plan = &*transaction.plan;
        let has_letters = plan.letters.chosen() > 0 || !plan.removed_letters.is_empty();
        let letters = has_letters.then(|| self.dead_letters.clone());
        let result = self.apply(&mut transaction).and_then(|ids| {
            failpoint::reached(Moment::BeforeCommit, transaction.plan);
            let start = Instant::now();
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            self.metrics.sync_duration.record_duration(start.elapsed());
            failpoint::reached(Moment::AfterCommit, transaction.plan);
            self.ids = ids;
            self.clock.committed();
            Ok(())
        });
        if result.is_err() {
            self.roll_back()?;
        }
        match letters {
            Some(before) if result.is_err() => self.dead_letters = before,
            Some(_) => self.metrics.set_dead_letters(&self.dead_letters),
            None => {}
        }
        result.map_err(begun)
    }

    /// Writes the clock in its own transaction. On a full disk a later commit writes it.
    pub(super) fn commit_mark(&mut self, mark: &ClockMark) -> Result<()> {
        self.begin()?;
        let result = clock::write(&self.connection, mark)
            .and_then(|()| self.connection.execute_batch("COMMIT"));
        if result.is_err() {
            self.roll_back()?;
        }
        result.map_err(begun)
    }

    /// Marks the database as closed in order, and empties the WAL.
    pub(super) fn close_in_order(self, mark: Option<ClockMark>) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute("UPDATE meta SET value = 1 WHERE key = 'clean'", [])?;
        if let Some(mark) = mark {
            clock::write(&transaction, &mark)?;
        }
        transaction.commit()?;
        if self.checkpointer.is_external() {
            // The program that follows the WAL has yet to read its end.
            return Ok(());
        }
        checkpoint::truncate(&self.connection).map(|_| ())
    }

    fn begin(&self) -> Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    /// SQLite rolls back automatically after some errors, `SQLITE_FULL` among them.
    fn roll_back(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK")
    }

    fn apply(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<IdBlocks> {
        let Transaction { plan, scope, number, references, clock, gives_back } = transaction;
        let connection: &Connection = &self.connection;
        let all = *scope == Scope::All;
        if all {
            statements::insert_messages(connection, plan, *number)?;
            // The end of a session removes its packet identifiers, so these are changed
            // afterwards.
            statements::change_state(connection, plan)?;
        }
        statements::change_incoming(connection, plan)?;
        statements::resolve_drops(connection, plan, references)?;
        plan.sort_deletes();
        statements::change_rows(connection, plan)?;
        dead_letters::remove(connection, plan, &mut self.dead_letters)?;
        if !all {
            return Ok(self.ids);
        }
        dead_letters::write(connection, plan, references, &mut self.dead_letters)?;
        if *gives_back {
            // In this transaction, since a separate one would cost another sync.
            self.surplus = self.space.shrink(connection, plan.pages_to_give_back())?;
        }
        if let Some(mark) = *clock {
            self.clock.write(connection, mark)?;
        }
        if self.ids.near_end(plan.highest) {
            return self.ids.extended(connection, plan.highest);
        }
        Ok(self.ids)
    }
}

/// Converts an error after BEGIN: the plan has made decisions that must not be repeated, so a
/// busy database is fatal.
fn begun(error: rusqlite::Error) -> EngineError {
    let error = EngineError::from(error);
    match error.failure {
        Failure::Busy => EngineError { failure: Failure::Fatal, ..error },
        _ => error,
    }
}
