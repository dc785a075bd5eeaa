//! The report as tables and sentences.

use crate::cli::human;
use crate::cli::table::Table;
use crate::drill::{Report, Round, Row};
use crate::sandbox::Level;

pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!(
            "FerryMQ {} on the volume of {}: {} kills, durability {}, seed {}",
            report.version,
            human::escaped(&report.directory.to_string_lossy()),
            report.rounds.len(),
            report.durability.as_str(),
            report.seed
        ),
        String::new(),
    ];
    lines.extend(rounds(&report.rounds));
    lines.push(String::new());
    lines.extend(receivers(report));
    lines.push(String::new());
    lines.push(format!(
        "Retained messages: {} of {} were there after a restart. Clients were cut off {} times. Everything was drained after {:.1} s; the database ended at {}.",
        human::count(report.retained.checked - report.retained.lost),
        human::count(report.retained.checked),
        human::count(report.cuts),
        report.drained_seconds,
        human::bytes(report.database_bytes)
    ));
    lines.push(format!(
        "{} messages acknowledged. Over all receivers: {} lost, {} out of order; {} repeats at QoS 1, which are allowed, and {} at QoS 2, which are not.",
        human::count(report.acknowledged),
        human::count(report.lost),
        human::count(report.reordered),
        human::count(report.repeated_qos1),
        human::count(report.repeated_qos2)
    ));
    lines.push(String::new());
    lines.push(if report.held {
        "Every promise held.".to_owned()
    } else {
        format!("BROKEN: {}.", report.broken.join("; "))
    });
    lines.push(meaning(report.durability, report.held).to_owned());
    lines
}

fn rounds(rounds: &[Round]) -> Vec<String> {
    let names = ["kill", "after s", "acknowledged by then", "ready again after ms", "database"];
    let mut table = Table::new(0, &names);
    for (number, round) in (1..).zip(rounds) {
        let number: u32 = number;
        table.row(vec![
            number.to_string(),
            format!("{:.2}", round.killed_after_seconds),
            human::count(round.acknowledged),
            format!("{:.0}", round.ready_seconds * 1000.0),
            human::bytes(round.database_bytes),
        ]);
    }
    table.lines()
}

fn receivers(report: &Report) -> Vec<String> {
    let names = [
        "receiver",
        "acknowledged",
        "received",
        "lost",
        "repeated QoS 1",
        "repeated QoS 2",
        "reordered",
    ];
    let mut table = Table::new(1, &names);
    for row in &report.receivers {
        table.row(receiver(row));
    }
    table.lines()
}

fn receiver(row: &Row) -> Vec<String> {
    let numbers =
        [row.expected, row.received, row.lost, row.repeated_qos1, row.repeated_qos2, row.reordered];
    let mut cells = vec![row.receiver.to_owned()];
    cells.extend(numbers.map(human::count));
    cells
}

/// What the drill has shown at this durability, and what it cannot show.
fn meaning(level: Level, held: bool) -> &'static str {
    match level {
        Level::Fsync | Level::Commit if !held => {
            "This must not happen with durability \"fsync\" or \"commit\": please report it, with this output and what the disk and its file system are."
        }
        Level::Fsync => {
            "What this shows: a killed process loses nothing. It does not show what a power cut does: that rests on fsync, and on a disk that honours it."
        }
        Level::Commit => {
            "What this shows: a killed process loses nothing. A power cut may: durability \"commit\" does not wait for fsync. Choose \"fsync\" if it must not."
        }
        Level::Async if held => {
            "Durability \"async\" acknowledges before it commits, so this result is not guaranteed: a kill may lose what came within persistence.flush_interval."
        }
        Level::Async | Level::Memory => {
            "Durability \"async\" acknowledges before it commits: losing what came within persistence.flush_interval is what it gives up. \"commit\" survives a kill, \"fsync\" a power cut as well."
        }
    }
}
