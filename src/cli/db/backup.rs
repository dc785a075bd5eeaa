//! `ferrymq db backup FILE`.

use std::path::PathBuf;

use super::arguments::BackupArgs;
use super::print;
use super::watch::watched;
use crate::cli::Exit;
use crate::cli::human::{bytes, count, escaped};
use crate::cli::output::say;
use crate::maintenance::{self, Access, Backup, BackupOptions, MaintenanceError};

pub(super) fn run(
    database: PathBuf,
    args: &BackupArgs,
    json: bool,
) -> Result<Exit, MaintenanceError> {
    let options = BackupOptions {
        database,
        target: args.target.clone(),
        force: args.force,
        rate: args.rate.unwrap_or(0),
    };
    let backup = watched(|watch| maintenance::backup(&options, watch))?;
    if json {
        print::json(&backup);
    } else {
        show(&backup);
    }
    Ok(Exit::Ok)
}

fn show(backup: &Backup) {
    let took = format!("{}.{:03} s", backup.milliseconds / 1000, backup.milliseconds % 1000);
    say(format_args!(
        "saved {} to {}: {} ({} pages), checked, in {took}",
        escaped(&backup.database),
        escaped(&backup.backup),
        bytes(backup.bytes),
        count(backup.pages)
    ));
    if backup.access == Access::Live {
        say(format_args!(
            "meanwhile the broker's write-ahead log had up to {} ({} at the beginning); \
             a checkpoint cuts it again",
            bytes(backup.wal_peak_bytes),
            bytes(backup.wal_before_bytes)
        ));
    }
}
