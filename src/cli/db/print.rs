//! Aligned columns, and JSON that a terminal may see.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::human::deceives;
use crate::cli::output::say;

/// Prints `name   value` lines with the values below each other.
pub(super) fn pairs(lines: &[(&str, String)]) {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in lines {
        say(format_args!("{name:<width$}  {value}"));
    }
}

/// Where a column's text stands.
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
        Ok(text) => say(safe(&text)),
        // Plain structs of numbers and strings.
        Err(error) => crate::cli::output::complain(&error),
    }
}

/// JSON escapes what is below U+0020. Terminals act upon others too; within strings,
/// the only place where they can be, `\uXXXX` is the same text.
fn safe(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if c != '\n' && deceives(c) {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_the_same_text_without_what_a_terminal_acts_upon() {
        let text = "a\u{1b}[2J\u{9b}1m\u{202e}\u{e0001}é";
        let json = safe(&serde_json::to_string(text).unwrap());
        assert_eq!(json, r#""a\u001b[2J\u009b1m\u202e\udb40\udc01é""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
