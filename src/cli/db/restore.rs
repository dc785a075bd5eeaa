//! `ferrymq db restore FILE`.

use std::path::PathBuf;

use super::arguments::RestoreArgs;
use super::print;
use super::watch::watched;
use crate::cli::Exit;
use crate::cli::human::{bytes, count, deliveries, escaped, things};
use crate::cli::output::say;
use crate::maintenance::{self, MaintenanceError, Restore, RestoreOptions};

pub(super) fn run(
    database: PathBuf,
    args: &RestoreArgs,
    json: bool,
) -> Result<Exit, MaintenanceError> {
    let options = RestoreOptions { database, backup: args.backup.clone(), discard: args.discard };
    let restored = watched(|watch| maintenance::restore(&options, watch))?;
    if json {
        print::json(&restored);
    } else {
        show(&restored);
    }
    Ok(Exit::Ok)
}

fn show(restored: &Restore) {
    say(format_args!(
        "restored {} from {}: {}, {}, {}, {}, {} retained",
        escaped(&restored.database),
        escaped(&restored.backup),
        bytes(restored.bytes),
        things(restored.sessions, "session"),
        things(restored.messages, "message"),
        deliveries(restored.deliveries),
        count(restored.retained)
    ));
    match &restored.kept_as {
        Some(path) => say(format_args!(
            "the database that was there is now {}; remove it (and its -wal and -shm files) when you need \
             it no longer",
            escaped(path)
        )),
        None => say("no other database was kept"),
    }
    say("a backup is the past: what was acknowledged since is missing, and what receivers have \
         taken since will come again, QoS 2 too");
}
