//! Prints aligned columns, and JSON that is safe on a terminal.

use serde::Serialize;

use crate::cli::output::say;
pub(super) use crate::cli::table::Align;
use crate::untrusted_text::escape_json;

/// Prints `name   value` lines with the values below each other.
pub(super) fn pairs(lines: &[(&str, String)]) {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in lines {
        say(format_args!("{name:<width$}  {value}"));
    }
}

/// Prints a table with a head.
pub(super) fn table(head: &[(&str, Align)], rows: &[Vec<String>]) {
    for line in crate::cli::table::lines(head, rows, 0) {
        say(line);
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
