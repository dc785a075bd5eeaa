//! A line of `mosquitto.conf`: a keyword, and the rest of the line.

use super::Note;
use crate::untrusted_text::deceives;

/// Lines whose value is a secret.
const SECRETS: [&str; 4] = ["remote_password", "password", "local_password", "bridge_psk"];

/// One line with a setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub number: usize,
    pub keyword: &'a str,
    /// What follows the keyword, without spaces around it.
    pub rest: &'a str,
}

impl<'a> Line<'a> {
    /// The lines of a file that are neither empty nor comments.
    pub fn all(text: &'a str) -> impl Iterator<Item = Self> {
        (1..).zip(text.lines()).filter_map(|(number, line)| {
            let line = line.trim();
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            let is_setting = !line.is_empty() && !line.starts_with('#');
            is_setting.then_some(Self { number, keyword, rest: rest.trim() })
        })
    }

    /// The words of the value.
    pub fn words(self) -> impl Iterator<Item = &'a str> {
        self.rest.split(' ').filter(|word| !word.is_empty())
    }

    /// `true` and `1`, `false` and `0`; `None` for anything else.
    pub fn flag(self) -> Option<bool> {
        match self.words().next()? {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// A whole number, the first word.
    pub fn number<T: std::str::FromStr>(self) -> Option<T> {
        self.words().next()?.parse().ok()
    }

    /// A note about this line.
    pub fn note(self, why: impl Into<String>) -> Note {
        let Self { number, keyword, rest } = self;
        let rest = if SECRETS.contains(&keyword) && !rest.is_empty() { "***" } else { rest };
        let text = format!("{keyword} {rest}");
        let mut shown = String::with_capacity(text.len());
        for c in text.trim_end().chars() {
            if deceives(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
        }
        Note { line: number, text: shown, why: why.into() }
    }
}
