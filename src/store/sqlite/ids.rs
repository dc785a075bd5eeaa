//! Reserves ids in blocks, so that they never repeat, even after a restart: the next start
//! continues after the last block.

use rusqlite::Connection;

use crate::message::{DeliveryId, MessageId, SessionId};
use crate::store::batch::Highest;

/// Ids in a block. A restart skips at most this many of 2^63; at a million messages a second a
/// block is extended every eight seconds.
const BLOCK: u64 = 16 << 20;

/// The ends of the reserved blocks, as recorded in the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IdBlocks {
    reserved: Highest,
}

impl IdBlocks {
    /// Reserves the first blocks of this run. Also returns the previous ends: the largest ids
    /// that may have been used.
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<(Self, Highest)> {
        let last = Highest {
            message: MessageId(last(connection, "message")?),
            delivery: DeliveryId(last(connection, "delivery")?),
            session: SessionId(last(connection, "session")?),
        };
        let mut blocks = Self { reserved: last };
        blocks.extend(connection, last)?;
        Ok((blocks, last))
    }

    /// True if [`Self::extended`] has something to write.
    pub(super) fn near_end(&self, highest: Highest) -> bool {
        near(self.reserved.message.0, highest.message.0)
            || near(self.reserved.delivery.0, highest.delivery.0)
            || near(self.reserved.session.0, highest.session.0)
    }

    /// Extends the blocks in the running transaction. Once it is committed, the caller
    /// replaces this with the result.
    pub(super) fn extended(
        &self,
        connection: &Connection,
        highest: Highest,
    ) -> rusqlite::Result<Self> {
        let mut blocks = *self;
        blocks.extend(connection, highest)?;
        Ok(blocks)
    }

    fn extend(&mut self, connection: &Connection, highest: Highest) -> rusqlite::Result<()> {
        extend(connection, "message", &mut self.reserved.message.0, highest.message.0)?;
        extend(connection, "delivery", &mut self.reserved.delivery.0, highest.delivery.0)?;
        extend(connection, "session", &mut self.reserved.session.0, highest.session.0)
    }
}

fn near(reserved: u64, highest: u64) -> bool {
    highest.saturating_add(BLOCK / 2) > reserved
}

fn extend(
    connection: &Connection,
    table: &str,
    reserved: &mut u64,
    highest: u64,
) -> rusqlite::Result<()> {
    if !near(*reserved, highest) {
        return Ok(());
    }
    *reserved = highest.saturating_add(BLOCK);
    let value = i64::try_from(*reserved).unwrap_or(i64::MAX);
    connection
        .prepare_cached("UPDATE meta SET value = ?2 WHERE key = 'reserved_' || ?1")?
        .execute((table, value))?;
    Ok(())
}

/// The end of the block, or the largest row if the file was edited.
fn last(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!(
        "SELECT max((SELECT value FROM meta WHERE key = 'reserved_{table}'),
                    (SELECT coalesce(max(id), 0) FROM {table}))"
    );
    let value: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(u64::try_from(value).unwrap_or(0))
}
