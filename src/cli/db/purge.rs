//! `ferrymq db purge`.

use std::path::PathBuf;

use super::arguments::PurgeArgs;
use super::print::{self, Align};
use super::watch::watched;
use crate::cli::Exit;
use crate::cli::human::{bytes, count, deliveries, shortened, things};
use crate::cli::output::say;
use crate::maintenance::{self, MaintenanceError, Purge, PurgeOptions, Purged};

pub(super) fn run(
    database: PathBuf,
    args: &PurgeArgs,
    json: bool,
) -> Result<Exit, MaintenanceError> {
    let options = PurgeOptions {
        database,
        clients: args.client.clone(),
        expired: args.expired,
        dry_run: args.dry_run,
    };
    let purge = watched(|watch| maintenance::purge(&options, watch))?;
    if json {
        print::json(&purge);
    } else {
        show(&purge);
    }
    Ok(Exit::Ok)
}

fn show(purge: &Purge) {
    if purge.sessions.is_empty() {
        say("no session has expired");
        return;
    }
    let head = [
        ("client", Align::Left),
        ("messages", Align::Right),
        ("size", Align::Right),
        ("subscriptions", Align::Right),
        ("incoming ids", Align::Right),
        ("will", Align::Left),
    ];
    let rows: Vec<Vec<String>> = purge.sessions.iter().map(row).collect();
    print::table(&head, &rows);
    let sessions = things(purge.sessions.len() as u64, "session");
    let deliveries = deliveries(purge.sessions.iter().map(|session| session.deliveries).sum());
    let messages = things(purge.messages, "message");
    let (before, after) = (bytes(purge.file_before_bytes), bytes(purge.file_after_bytes));
    if purge.dry_run {
        say(format_args!(
            "would delete {sessions}, {deliveries} and {messages} that nobody else waits for; \
             nothing was changed"
        ));
    } else {
        say(format_args!(
            "deleted {sessions}, {deliveries} and {messages} that nobody else waited for; the \
             file went from {before} to {after}"
        ));
    }
}

fn row(session: &Purged) -> Vec<String> {
    vec![
        shortened(&session.client_id, 48),
        count(session.deliveries),
        bytes(session.bytes),
        count(session.subscriptions),
        count(session.incoming_ids),
        if session.had_will { "not published" } else { "-" }.to_owned(),
    ]
}
