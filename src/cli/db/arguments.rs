//! Arguments of `ferrymq db`, with their help texts.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::config::ByteSize;
use crate::maintenance::QueueOrder;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// The database file, instead of persistence.path of the configuration
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) database: Option<PathBuf>,
    /// Print JSON, with the fields that docs/tools.md lists
    #[arg(long, global = true)]
    pub(super) json: bool,
}

const STATUS: &str = "\
Reads only, in short transactions: a running broker is not held up. Without one, and
with an empty write-ahead log, it works on a read-only volume too and makes no file.

Examples:
  ferrymq db status
  ferrymq db status --database /data/ferrymq.db
  ferrymq db status --json | jq .deliveries";

const CHECK: &str = "\
Runs SQLite's integrity_check, then the broker's own rules: every delivery has its
message, topics and filters are valid, ids are in range, tables and views are as they
were made. Leftovers that a crash may leave are listed and are no damage.

Beside a running broker it blocks no commit, but each of the two parts is one read
transaction: until it ends the write-ahead log cannot be cut and grows by what is
committed. With a large database and a busy broker, check a backup instead:
  ferrymq db backup b.db && ferrymq db check --database b.db

Exit codes: 0 sound, 3 damaged (or it cannot be opened), 1 the check was interrupted.

Examples:
  ferrymq db check
  ferrymq db check --json | jq '.findings[]'";

const QUEUES: &str = "\
One line for each durable session, also for those without a message. Reads in short
transactions: beside a running broker the lines are not of the very same moment.
Client ids and topics are printed with control characters escaped.

Examples:
  ferrymq db queues
  ferrymq db queues --sort oldest --limit 10
  ferrymq db queues --client boat-17 --limit 5 --payload";

const DEAD_LETTERS: &str = "\
A dead letter is a message that the other end of a bridge has refused for good. Each
bridge keeps the last ones; they stay until they are purged, also when their bridge is
removed. list and export read in short transactions, beside a running broker too. purge
needs the broker to be stopped (not for --dry-run); beside a running one use the API:
DELETE /api/v1/dead-letters?bridge=NAME.

export prints one JSON object a line, with payload and properties in Base64.

Examples:
  ferrymq db dead-letters list --bridge cloud
  ferrymq db dead-letters export > dead-letters.jsonl
  ferrymq db dead-letters purge --bridge cloud";

const BACKUP: &str = "\
Copies one state of the database while the broker runs: everything that was
acknowledged before the command began is in it. The copy is made as FILE.partial,
synced, checked and then renamed, so FILE is complete or not there.

While it copies, commits go on, and the write-ahead log cannot be cut: it grows by what
is committed meanwhile, and is cut at a later checkpoint. --rate spares the disk, and
makes that time longer.

Examples:
  ferrymq db backup /backup/ferrymq-$(date +%F).db
  ferrymq db backup --rate 50MiB --force /backup/latest.db";

const RESTORE: &str = "\
The broker has to be stopped. The backup is copied and checked in full before anything
is touched; the database that is there is kept beside it, with its write-ahead log, as
DATABASE.before-restore-<time>, unless --discard is given.

A backup is the past. Messages that were acknowledged since are not in it: they are
lost, unless the kept database can still be read. Messages that receivers have taken
since are in it again: they will be delivered once more, QoS 2 too. Sessions and
subscriptions are as they were then. Restore after damage, not to undo.

Examples:
  ferrymq db restore /backup/latest.db
  ferrymq db restore --database /data/ferrymq.db --discard /backup/latest.db";

const PURGE: &str = "\
The broker has to be stopped (not for --dry-run). Deletes the sessions, their
subscriptions, packet ids and queues, and messages that no other session waits for;
then gives the room back to the volume. Wills of these sessions are not published. A
client that comes back begins with a new session.

Examples:
  ferrymq db purge --client boat-17 --dry-run
  ferrymq db purge --client boat-17 --client boat-18
  ferrymq db purge --expired";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show sizes, counts, and whether a broker has the database open
    #[command(after_help = STATUS)]
    Status,
    /// Look for damage: exit 0 if the database is sound, 3 if not
    #[command(after_help = CHECK)]
    Check,
    /// Show the queued messages of each client
    #[command(after_help = QUEUES)]
    Queues(QueuesArgs),
    /// Show, export or delete what bridges could not deliver
    #[command(after_help = DEAD_LETTERS)]
    DeadLetters(DeadLettersArgs),
    /// Save the database to a file, while the broker runs or not
    #[command(after_help = BACKUP)]
    Backup(BackupArgs),
    /// Replace the database with a backup, with the broker stopped
    #[command(after_help = RESTORE)]
    Restore(RestoreArgs),
    /// Delete sessions and their queued messages, with the broker stopped
    #[command(after_help = PURGE)]
    Purge(PurgeArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct QueuesArgs {
    /// Show one client's session, subscriptions and first messages
    #[arg(long, value_name = "ID")]
    pub(super) client: Option<String>,
    /// Sort by
    #[arg(long, value_enum, default_value = "messages", conflicts_with = "client")]
    pub(super) sort: Sort,
    /// Lines, or with --client messages; 0 for all
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(super) limit: usize,
    /// Show payloads as well: text, or hexadecimal digits
    #[arg(long, requires = "client")]
    pub(super) payload: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Sort {
    /// The most messages
    Messages,
    /// The most bytes
    Bytes,
    /// The message that has waited longest
    Oldest,
}

impl From<Sort> for QueueOrder {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Messages => Self::Messages,
            Sort::Bytes => Self::Bytes,
            Sort::Oldest => Self::Oldest,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct DeadLettersArgs {
    /// Only those of this bridge
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) bridge: Option<String>,
    #[command(subcommand)]
    pub(super) command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// Show when, why and under which topic each was refused
    List {
        /// Lines; 0 for all
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Print all of them with their payloads, one JSON object a line
    Export,
    /// Delete them, with the broker stopped
    Purge {
        /// Only show what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The backup file to create
    #[arg(value_name = "FILE")]
    pub(super) target: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    pub(super) force: bool,
    /// Copy at most this much per second, such as 50MiB or 50MiB/s; without it, as fast as
    /// possible
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(super) rate: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup; it is only read
    #[arg(value_name = "FILE")]
    pub(super) backup: PathBuf,
    /// Delete the current database instead of keeping it
    #[arg(long)]
    pub(super) discard: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct PurgeArgs {
    /// The client id of a session; may be given several times
    #[arg(long, value_name = "ID", required_unless_present = "expired")]
    pub(super) client: Vec<String>,
    /// Delete all sessions that have been disconnected for longer than their session expiry
    #[arg(long)]
    pub(super) expired: bool,
    /// Only show what would be deleted
    #[arg(long)]
    pub(super) dry_run: bool,
}

fn rate(text: &str) -> Result<u64, String> {
    let size: Result<ByteSize, ()> = text.strip_suffix("/s").unwrap_or(text).parse();
    match size {
        Ok(size) if size.bytes() > 0 => Ok(size.bytes()),
        _ => Err("expected a size larger than 0, such as 50MiB/s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_with_or_without_its_second() {
        assert_eq!(rate("50MiB/s"), Ok(50 << 20));
        assert_eq!(rate("1000"), Ok(1000));
        for text in ["0", "fast", "50MiB/h", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
