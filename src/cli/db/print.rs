//! Prints aligned columns, and JSON that is safe on a terminal.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::output::say;
use crate::untrusted_text::escape_json;

/// Prints `name   value` lines with the values below each other.
pub(super) fn pairs(lines: &[(&str, String)]) {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in lines {
        say(format_args!("{name:<width$}  {value}"));
    }
}

/// How the text of a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Prints a table with a head. The last column is not padded.
pub(super) fn table(head: &[(&str, Align)], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|(name, _)| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let names: Vec<String> = head.iter().map(|(name, _)| (*name).to_owned()).collect();
    for row in std::iter::once(&names).chain(rows) {
        let mut line = String::new();
        for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(head) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            // Writing to a string cannot fail.
            let _ = match align {
                Align::Left => write!(line, "{cell:<width$}"),
                Align::Right => write!(line, "{cell:>width$}"),
            };
        }
        say(line.trim_end());
    }
}

/// Prints one JSON document.
pub(super) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(escape_json(&text)),
        // Cannot happen: the values are plain structs of numbers and strings.
        Err(error) => crate::cli::output::complain(&error),
    }
}
