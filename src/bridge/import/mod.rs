//! What a configuration of Mosquitto means here: its bridges in, `[bridges.NAME]` out, with a
//! note for each line that has no counterpart.
//!
//! The text is read as Mosquitto 2.1 reads it. No file is opened: `include_dir` and the files
//! that a line names are the caller's. Passwords get neither into the result nor into a note.

mod address;
mod connection;
mod line;
mod no_counterpart;
mod topic;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use connection::Connection;
use line::Line;

use crate::config::{Bridge, check_bridges};

/// What a configuration of Mosquitto became.
#[derive(Debug, Default)]
pub struct Imported {
    /// By name, which is Mosquitto's with other characters where a name may not have them.
    pub bridges: BTreeMap<String, Bridge>,
    /// In the order of the lines.
    pub notes: Vec<Note>,
    /// What has to be changed before the result can be used; empty if nothing has to.
    pub problem: Option<String>,
}

/// A line that has no counterpart, or one that its author should know something about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The number of the line, from 1.
    pub line: usize,
    /// The line, without secrets and without characters that act on a terminal.
    pub text: String,
    /// Why, and what to do.
    pub why: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text, why } = self;
        write!(f, "line {line}, `{text}`: {why}")
    }
}

impl Imported {
    /// The bridges as a part of `config/ferrymq.toml`; empty if there is none.
    pub fn to_toml(&self) -> String {
        write::toml(&self.bridges)
    }
}

/// Reads the text of a `mosquitto.conf`.
pub fn import(text: &str) -> Imported {
    let mut imported = Imported::default();
    let mut current: Option<Connection<'_>> = None;
    for line in Line::all(text) {
        if line.keyword == "connection" {
            finish(current.take(), &mut imported);
            current = Some(Connection::new(line));
        } else if !current.as_mut().is_some_and(|it| it.apply(line, &mut imported.notes)) {
            imported.notes.push(line.note(no_counterpart::outside(line)));
        }
    }
    finish(current, &mut imported);
    imported.notes.sort_by_key(|note| note.line);
    imported.problem = check_bridges(&imported.bridges).err();
    imported
}

fn finish(connection: Option<Connection<'_>>, imported: &mut Imported) {
    if let Some(connection) = connection {
        let name = free_name(&connection, imported);
        let bridge = connection.finish(&name, &mut imported.notes);
        imported.bridges.insert(name, bridge);
    }
}

/// The most characters of a bridge's name.
const LONGEST_NAME: usize = 64;

/// The connection's name as a bridge may have it, and as no other has it.
fn free_name(connection: &Connection<'_>, imported: &mut Imported) -> String {
    let given = connection.line.rest;
    let mut wanted = String::new();
    for c in given.chars().map(|c| c.to_ascii_lowercase()) {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
        // Two _ in a row would end a table's name in the environment.
        let c = if c == '_' && wanted.ends_with('_') { '-' } else { c };
        if wanted.len() < LONGEST_NAME {
            wanted.push(c);
        }
    }
    if wanted.is_empty() {
        wanted.push_str("bridge");
    }
    let mut name = wanted.clone();
    for number in 2.. {
        if !imported.bridges.contains_key(&name) {
            break;
        }
        let end = format!("-{number}");
        wanted.truncate(LONGEST_NAME - end.len());
        name = format!("{wanted}{end}");
    }
    if name != given {
        imported.notes.push(connection.line.note(format!(
            "the bridge is named {name}: a name is made of a-z, 0-9, - and _, and is used once"
        )));
    }
    name
}

#[cfg(test)]
mod tests;
