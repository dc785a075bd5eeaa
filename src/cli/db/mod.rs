//! `ferrymq db ...`: arguments and printing. The work is done by
//! [`crate::maintenance`].

mod arguments;
mod backup;
mod check;
mod dead_letters;
mod print;
mod purge;
mod queues;
mod restore;
mod status;
mod watch;

use std::path::PathBuf;

use super::Exit;
use super::human::escaped;
use super::output::complain;
use crate::config::Config;
use crate::maintenance::MaintenanceError;
use crate::store::OpenError;
pub(super) use arguments::Args;
use arguments::{Command, Common};

pub(super) fn run(args: &Args, config: &Config) -> Exit {
    let Some(database) = database(&args.common, config) else {
        complain(&"persistence.enabled is false: there is no database; name one with --database");
        return Exit::Usage;
    };
    let json = args.common.json;
    let result = match &args.command {
        Command::Status => status::run(&database, config, json),
        Command::Check => check::run(&database, json),
        Command::Queues(args) => queues::run(&database, args, json),
        Command::DeadLetters(args) => dead_letters::run(database, args, json),
        Command::Backup(args) => backup::run(database, args, json),
        Command::Restore(args) => restore::run(database, args, json),
        Command::Purge(args) => purge::run(database, args, json),
    };
    result.unwrap_or_else(|error| {
        // The text may hold data from the file, or a client identifier.
        complain(&escaped(&explained(&error, args.common.database.is_some())));
        exit_of(&error)
    })
}

/// Names the configuration key in an error only if it decided, that is without `--database`.
fn explained(error: &MaintenanceError, named: bool) -> String {
    match error {
        MaintenanceError::Missing { .. } if !named => {
            format!("{error} (where the database is: --database FILE or persistence.path)")
        }
        MaintenanceError::Open(OpenError::Foreign { path, found }) if named => {
            let path = path.display();
            format!("{path} is not a FerryMQ database ({found}): it was not touched")
        }
        error => error.to_string(),
    }
}

fn database(common: &Common, config: &Config) -> Option<PathBuf> {
    let path = match &common.database {
        Some(path) => Some(path),
        None => config.persistence.enabled.then_some(&config.persistence.path),
    };
    // Files beside a database (`-wal` and others) stand beside the file itself, not beside a
    // symbolic link to it.
    path.map(|path| crate::maintenance::follow(path))
}

/// A problem of the database is 3, as at a start of the broker; a wrong argument is 2.
fn exit_of(error: &MaintenanceError) -> Exit {
    use MaintenanceError as E;
    match error {
        E::Open(_)
        | E::Missing { .. }
        | E::NotAFile { .. }
        | E::Empty { .. }
        | E::InUse { .. }
        | E::OtherName { .. }
        | E::WalUnreadable { .. }
        | E::Busy { .. }
        | E::BadCopy { .. }
        | E::NoBackup { .. }
        | E::MissingBackup { .. }
        | E::DamagedBackup { .. } => Exit::Database,
        E::TargetIsDatabase { .. } | E::TargetNotAFile { .. } | E::BackupIsDatabase { .. } => {
            Exit::Usage
        }
        E::Changed { .. }
        | E::Sqlite { .. }
        | E::Io { .. }
        | E::NoRoom { .. }
        | E::Exists { .. }
        | E::NoSession { .. }
        | E::Interrupted { .. } => Exit::Failure,
    }
}
