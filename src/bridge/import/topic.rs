//! `topic PATTERN [[[out | in | both] QOS] LOCAL REMOTE]`.

use super::line::Line;
use crate::config::BridgeRule;

/// The directions of a topic line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Out,
    In,
    Both,
}

impl Direction {
    pub fn is_out(self) -> bool {
        self != Self::In
    }

    pub fn is_in(self) -> bool {
        self != Self::Out
    }
}

/// Two quotes stand for nothing.
const NOTHING: &str = "\"\"";

/// Why a line is none.
pub(super) type Why = String;

pub(super) fn parse(line: Line<'_>) -> Result<(Direction, BridgeRule), Why> {
    let (pattern, rest) = pattern(line.rest)?;
    // A comment may follow, though not a direction.
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let direction = match words.next().map(str::to_ascii_lowercase).as_deref() {
        None | Some("out") => Direction::Out,
        Some("in") => Direction::In,
        Some("both") => Direction::Both,
        Some(other) => return Err(format!("`{other}` is none of out, in and both")),
    };
    let mut words = words.take_while(|word| !word.starts_with('#'));
    let qos = match words.next() {
        None => 0,
        Some(word) => match word.parse() {
            Ok(qos @ 0..=2) => qos,
            _ => return Err(format!("`{word}` is no QoS")),
        },
    };
    let mut prefix = || match words.next() {
        None | Some(NOTHING) => String::new(),
        Some(prefix) => prefix.to_owned(),
    };
    let (local_prefix, remote_prefix) = (prefix(), prefix());
    if words.next().is_some() {
        return Err("there is something behind the remote prefix".to_owned());
    }
    let rule = BridgeRule { filter: pattern, qos, local_prefix, remote_prefix, retain: true };
    Ok((direction, rule))
}

/// The pattern, which may stand in quotes because of its spaces, and what follows it.
fn pattern(text: &str) -> Result<(String, &str), Why> {
    let (pattern, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or("there is no closing quote")?,
        None => text.split_once(' ').unwrap_or((text, "")),
    };
    if text.is_empty() {
        return Err("there is no topic".to_owned());
    }
    Ok((pattern.to_owned(), rest))
}
