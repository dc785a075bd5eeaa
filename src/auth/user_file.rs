//! Files with one line for each user, `user:SECRET`, among comments and empty lines, which stay as
//! they are. What a secret looks like is not known here.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::config::must_be_regular;

/// A file in memory.
#[derive(Debug, Clone)]
pub(super) struct UserFile<T>(Vec<Line<T>>);

#[derive(Debug, Clone)]
enum Line<T> {
    User(String, T),
    /// A comment or an empty line.
    Other(String),
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is missing or may not be read.
    Unreadable(io::Error),
    /// This line, counted from 1, is invalid. The text does not contain the secret.
    Line(usize, String),
}

impl<T> Default for UserFile<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> UserFile<T> {
    /// Reads and checks every line. `form` is what a line looks like, for errors; `parse` is given
    /// its user name and the rest.
    pub(super) fn read(
        path: &Path,
        form: &str,
        parse: impl Fn(&str, &str) -> Result<T, String>,
    ) -> Result<Self, Unusable> {
        let text = must_be_regular(path)
            .and_then(|()| std::fs::read_to_string(path))
            .map_err(Unusable::Unreadable)?;
        let (mut lines, mut names) = (Vec::new(), HashSet::new());
        for (line, number) in text.lines().zip(1..) {
            let invalid = |problem| Unusable::Line(number, problem);
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                lines.push(Line::Other(line.to_owned()));
                continue;
            }
            let parts = line.split_once(':');
            let (user, secret) =
                parts.ok_or_else(|| invalid(format!("expected {form}, found no colon")))?;
            let secret = parse(user, secret.trim_end()).map_err(invalid)?;
            if !names.insert(user) {
                return Err(invalid(format!("the user {user} was already listed above")));
            }
            lines.push(Line::User(user.to_owned(), secret));
        }
        Ok(Self(lines))
    }

    /// Every user with its secret.
    pub(super) fn users(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().filter_map(|line| match line {
            Line::User(user, secret) => Some((user.as_str(), secret)),
            Line::Other(_) => None,
        })
    }

    /// Adds the user, or replaces its secret. True if it is new.
    pub(super) fn set(&mut self, user: &str, secret: T) -> bool {
        for line in &mut self.0 {
            if let Line::User(name, old) = line
                && name == user
            {
                *old = secret;
                return false;
            }
        }
        self.0.push(Line::User(user.to_owned(), secret));
        true
    }

    /// Removes the user. False if there was none.
    pub(super) fn remove(&mut self, user: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|line| !matches!(line, Line::User(name, _) if name == user));
        self.0.len() < before
    }

    /// The text of the file, with the secrets as `show` writes them.
    pub(super) fn text(&self, show: impl Fn(&T) -> String) -> String {
        let line = |line: &Line<T>| match line {
            Line::User(user, secret) => format!("{user}:{}\n", show(secret)),
            Line::Other(text) => format!("{text}\n"),
        };
        self.0.iter().map(line).collect()
    }
}

/// True for a name that a line can begin with.
pub(super) fn is_user_name(user: &str) -> bool {
    !user.is_empty()
        && !user.starts_with(['#', ' ', '\t'])
        && !user.contains([':', '\n', '\r', '\0'])
}
