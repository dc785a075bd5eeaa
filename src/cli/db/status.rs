//! `ferrymq db status`.

use std::path::Path;

use super::print;
use super::watch::watched;
use crate::cli::Exit;
use crate::cli::human::{bytes, count, escaped, seconds};
use crate::config::Config;
use crate::maintenance::{self, Access, LastStop, MaintenanceError, Status};

pub(super) fn run(database: &Path, config: &Config, json: bool) -> Result<Exit, MaintenanceError> {
    let limit = config.persistence.max_size.bytes();
    let status = watched(|watch| maintenance::status(database, limit, watch))?;
    if json {
        print::json(&status);
    } else {
        print::pairs(&lines(&status));
    }
    Ok(Exit::Ok)
}

fn lines(status: &Status) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("database", escaped(&status.database)),
        ("in use", in_use(status)),
        ("last stop", last_stop(status)),
        ("file", bytes(status.file_bytes)),
        ("pages", pages(status)),
        ("used", used(status)),
        ("write-ahead log", bytes(status.wal_bytes)),
        ("reserve", bytes(status.reserve_bytes)),
    ];
    if let Some(volume) = status.volume {
        let (left, all) = (bytes(volume.available_bytes), bytes(volume.total_bytes));
        lines.push(("volume", format!("{left} available of {all}")));
    }
    lines.extend([
        ("sessions", sessions(status)),
        ("subscriptions", count(status.subscriptions)),
        ("messages", count(status.messages)),
        ("deliveries", count(status.deliveries)),
        ("retained", count(status.retained)),
        ("incoming ids", count(status.incoming_ids)),
        ("dead letters", count(status.dead_letters)),
        (
            "oldest message",
            match status.oldest_message {
                Some(oldest) => format!("{} old", seconds(oldest.age_seconds)),
                None => "none".to_owned(),
            },
        ),
        ("schema", format!("version {}", status.schema_version)),
        ("SQLite", status.sqlite_version.clone()),
    ]);
    lines
}

fn in_use(status: &Status) -> String {
    match (&status.in_use_by, status.access) {
        (Some(holder), _) => match holder.pid {
            Some(pid) => format!("by the process {pid}"),
            None => "by a process with an unknown process id".to_owned(),
        },
        (None, Access::Immutable) => {
            "no; read as immutable, since the write-ahead log is empty".to_owned()
        }
        (None, _) => "no; read together with the write-ahead log".to_owned(),
    }
}

fn last_stop(status: &Status) -> String {
    let text = match status.last_stop {
        LastStop::Running => "none, it is running",
        LastStop::Clean => "in order",
        LastStop::Unclean => "not in order: the next start checks the file",
    };
    if status.marked_damaged {
        format!("{text}; marked as damaged: run `ferrymq db check`")
    } else {
        text.to_owned()
    }
}

/// Includes pages in the write-ahead log, so there may be more than the file holds.
fn pages(status: &Status) -> String {
    let (pages, size) = (count(status.pages), bytes(status.page_size));
    format!("{pages} of {size}, {} free ({})", count(status.free_pages), bytes(status.free_bytes))
}

fn used(status: &Status) -> String {
    match status.max_size_bytes {
        // In tenths of a percent.
        Some(limit) => {
            let share = u128::from(status.used_bytes) * 1000 / u128::from(limit.max(1));
            let (used, limit) = (bytes(status.used_bytes), bytes(limit));
            format!("{used} of {limit} (persistence.max_size), {}.{}%", share / 10, share % 10)
        }
        None => format!("{}, no limit", bytes(status.used_bytes)),
    }
}

fn sessions(status: &Status) -> String {
    let sessions = status.sessions;
    let all = count(sessions.connected + sessions.away);
    let connected = match status.last_stop {
        LastStop::Running => "connected",
        LastStop::Clean | LastStop::Unclean => "connected when the broker ended",
    };
    format!("{all} ({} {connected}, {} away)", count(sessions.connected), count(sessions.away))
}
