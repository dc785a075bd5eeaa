//! `ferrymq db dead-letters`.

use std::path::{Path, PathBuf};

use super::arguments::{DeadLettersArgs, DeadLettersCommand};
use super::print::{self, Align};
use super::watch::watched;
use crate::cli::Exit;
use crate::cli::human::{bytes, count, escaped, seconds, shortened, things};
use crate::cli::output::say;
use crate::maintenance::{
    self, DeadLetterLine, DeadLetterPurge, DeadLetterPurgeOptions, DeadLetters, MaintenanceError,
};
use crate::protocol::ReasonCode;
use crate::untrusted_text::escape_json;

/// Most characters of a topic or text in the table; the JSON holds them in full.
const WIDTH: usize = 40;

pub(super) fn run(
    database: PathBuf,
    args: &DeadLettersArgs,
    json: bool,
) -> Result<Exit, MaintenanceError> {
    let bridge = args.bridge.as_deref();
    match args.command {
        DeadLettersCommand::List { limit } => list(&database, bridge, limit, json)?,
        DeadLettersCommand::Export => export(&database, bridge)?,
        DeadLettersCommand::Purge { dry_run } => {
            let bridge = args.bridge.clone();
            let options = DeadLetterPurgeOptions { database, bridge, dry_run };
            let purge = watched(|watch| maintenance::purge_dead_letters(&options, watch))?;
            if json {
                print::json(&purge);
            } else {
                show_purge(&purge);
            }
        }
    }
    Ok(Exit::Ok)
}

fn list(
    database: &Path,
    bridge: Option<&str>,
    limit: usize,
    json: bool,
) -> Result<(), MaintenanceError> {
    let found = watched(|watch| maintenance::dead_letters(database, bridge, limit, watch))?;
    if json {
        print::json(&found);
    } else {
        show(&found);
    }
    Ok(())
}

fn show(found: &DeadLetters) {
    if found.dead_letters.is_empty() {
        say("no dead letters");
        return;
    }
    let head = [
        ("id", Align::Right),
        ("bridge", Align::Left),
        ("age", Align::Right),
        ("QoS", Align::Right),
        ("size", Align::Right),
        ("topic", Align::Left),
        ("reason", Align::Left),
    ];
    let rows: Vec<Vec<String>> = found.dead_letters.iter().map(row).collect();
    print::table(&head, &rows);
    let more = found.total.saturating_sub(rows.len() as u64);
    if more > 0 {
        say(format_args!("... and {} more (--limit 0 shows all)", count(more)));
    }
}

fn row(letter: &DeadLetterLine) -> Vec<String> {
    vec![
        letter.id.to_string(),
        shortened(&letter.bridge, WIDTH),
        seconds(letter.age_seconds),
        letter.qos.to_string(),
        bytes(letter.bytes),
        shortened(&letter.topic, WIDTH),
        reason(letter),
    ]
}

/// The code with its name, and what the other end said.
fn reason(letter: &DeadLetterLine) -> String {
    let code = letter.reason.and_then(|code| u8::try_from(code).ok());
    let name = code.map(|code| match ReasonCode::from_u8(code) {
        Some(known) => format!("0x{code:02X} {}", known.description()),
        None => format!("0x{code:02X}"),
    });
    let detail = Some(shortened(&letter.detail, WIDTH)).filter(|detail| !detail.is_empty());
    match (name, detail) {
        (Some(name), Some(detail)) => format!("{name}: {detail}"),
        (name, detail) => name.or(detail).unwrap_or_default(),
    }
}

/// One JSON object a line, whether `--json` is given or not.
fn export(database: &Path, bridge: Option<&str>) -> Result<(), MaintenanceError> {
    watched(|watch| {
        maintenance::export_dead_letters(database, bridge, watch, |letter| {
            match serde_json::to_string(letter) {
                Ok(text) => say(escape_json(&text)),
                // Cannot happen: the values are plain structs of numbers and strings.
                Err(error) => crate::cli::output::complain(&error),
            }
            true
        })
    })
}

fn show_purge(purge: &DeadLetterPurge) {
    if purge.bridges.is_empty() {
        say("no dead letters");
        return;
    }
    let head = [("bridge", Align::Left), ("dead letters", Align::Right)];
    let row = |bridge: &maintenance::PurgedBridge| {
        vec![escaped(&bridge.bridge), count(bridge.dead_letters)]
    };
    let rows: Vec<Vec<String>> = purge.bridges.iter().map(row).collect();
    print::table(&head, &rows);
    let total = purge.bridges.iter().map(|bridge| bridge.dead_letters).sum();
    let letters = things(total, "dead letter");
    if purge.dry_run {
        say(format_args!("would delete {letters}; nothing was changed"));
    } else {
        let (before, after) = (bytes(purge.file_before_bytes), bytes(purge.file_after_bytes));
        say(format_args!("deleted {letters}; the file went from {before} to {after}"));
    }
}
