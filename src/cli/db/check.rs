//! `ferrymq db check`.

use std::path::Path;

use super::print;
use super::watch::watched;
use crate::cli::Exit;
use crate::cli::human::{bytes, count, deliveries, escaped, things};
use crate::cli::output::say;
use crate::maintenance::{self, Access, MaintenanceError, Report, Severity};

pub(super) fn run(database: &Path, json: bool) -> Result<Exit, MaintenanceError> {
    let report = watched(|watch| maintenance::check(database, watch))?;
    if json {
        print::json(&report);
    } else {
        show(&report);
    }
    Ok(if report.sound { Exit::Ok } else { Exit::Database })
}

fn show(report: &Report) {
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Damage => "damage",
            Severity::Leftover => "leftover",
        };
        say(format_args!("{severity}: {}: {}", finding.rule, escaped(&finding.detail)));
    }
    let rows = &report.rows;
    let looked = format!(
        "{}, {}, {}, {}, {}, {} retained, {}",
        things(report.pages, "page"),
        things(rows.sessions, "session"),
        things(rows.subscriptions, "subscription"),
        things(rows.messages, "message"),
        deliveries(rows.deliveries),
        count(rows.retained),
        things(rows.dead_letters, "dead letter")
    );
    let name = escaped(&report.database);
    if report.sound {
        say(format_args!("{name} is sound: {looked}"));
    } else {
        say(format_args!(
            "{name} is damaged: keep a copy of it and of its -wal file, then put a backup in its \
             place with `ferrymq db restore FILE` ({looked})"
        ));
    }
    if report.access == Access::Live {
        let wal = bytes(report.wal_peak_bytes);
        say(format_args!("the broker's write-ahead log had up to {wal} meanwhile"));
    }
}
