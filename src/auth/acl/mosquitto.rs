//! Mosquitto's `acl_file`, with the meaning that it has in Mosquitto 2.1.
//!
//! - Lines before the first `user` are for clients without a user name.
//! - The lines of a client's user are asked before the patterns, which are for everybody.
//!   Within each, what denies is asked first. So a user's line that allows beats a pattern that
//!   denies.
//! - Wildcards at the first level never match topics that begin with `$`.
//! - If there are patterns, a client with `+` or `#` in its name or id may do nothing that its
//!   user's lines do not decide.
//! - `%u` and `%c` stand for whole levels.

use std::collections::HashMap;
use std::sync::Arc;

use super::access::{Access, Layer};
use super::applies::Applies;
use super::clause::{Clause, Effect, Origin};
use super::index::Index;
use super::pattern::{Names, Pattern, User};
use crate::protocol::{QoS, TopicError, TopicFilter};

/// A line that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {problem}")]
pub struct FileError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Problem {
    /// It begins with another word.
    #[error("`{0}` is none of `topic`, `pattern` and `user`")]
    Keyword(String),
    /// A `user` line without a name.
    #[error("`user` without a name")]
    NoUser,
    /// A `topic` or `pattern` line without a topic filter.
    #[error("`{0}` without a topic filter")]
    NoTopic(&'static str),
    /// Two words, of which the first is not known.
    #[error(
        "`{0}` is none of `read`, `write`, `readwrite` and `deny`; a topic filter with spaces \
         needs one of them before it"
    )]
    Access(String),
    /// The filter is none.
    #[error("{0}")]
    Filter(#[from] TopicError),
}

/// A file.
#[derive(Debug, Clone, Default)]
pub struct MosquittoFile {
    /// For clients without a user name.
    anonymous: Arc<Index>,
    users: HashMap<Box<str>, Arc<Index>>,
    patterns: Arc<Index>,
}

impl PartialEq for MosquittoFile {
    fn eq(&self, other: &Self) -> bool {
        let is = |one: &Index, two: &Index| one.clauses() == two.clauses();
        is(&self.anonymous, &other.anonymous)
            && is(&self.patterns, &other.patterns)
            && self.users.len() == other.users.len()
            && self
                .users
                .iter()
                .all(|(name, one)| other.users.get(name).is_some_and(|two| is(one, two)))
    }
}

impl Eq for MosquittoFile {}

impl MosquittoFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first line that has no meaning.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let (mut anonymous, mut patterns) = (Vec::new(), Vec::new());
        let mut users: HashMap<Box<str>, Vec<Clause>> = HashMap::new();
        let mut user: Option<Box<str>> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fail = |problem| FileError { line: number, problem };
            let (keyword, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let rest = rest.trim_start();
            let (list, kind) = match keyword {
                "user" if rest.is_empty() => return Err(fail(Problem::NoUser)),
                "user" => {
                    user = Some(rest.into());
                    continue;
                }
                "topic" => match &user {
                    None => (&mut anonymous, "topic"),
                    Some(user) => (users.entry(user.clone()).or_default(), "topic"),
                },
                "pattern" => (&mut patterns, "pattern"),
                _ => return Err(fail(Problem::Keyword(keyword.to_owned()))),
            };
            list.push(clause(number, rest, kind).map_err(fail)?);
        }
        let index = |mut clauses: Vec<Clause>| {
            // What denies comes before what allows; otherwise the order stays.
            clauses.sort_by_key(|clause| clause.effect == Effect::Allow);
            Arc::new(Index::new(clauses))
        };
        Ok(Self {
            anonymous: index(anonymous),
            users: users.into_iter().map(|(name, clauses)| (name, index(clauses))).collect(),
            patterns: index(patterns),
        })
    }

    /// What one client may do.
    pub(super) fn access(&self, names: Names) -> Access {
        let own = match &names.user {
            User::Anonymous => Some(&self.anonymous),
            User::Named(name) => self.users.get(name),
            // It may be anybody's, and everybody may be denied something.
            User::Unknown => return Access::of(names, vec![Layer::Deny(Origin::UnknownUser)]),
        };
        let layer = |index: &Arc<Index>| Layer::Rules {
            index: Arc::clone(index),
            applies: Applies::All,
            origin: Origin::Line,
        };
        let mut layers: Vec<_> = own.map(layer).into_iter().collect();
        if !self.patterns.is_empty() {
            let is_unsafe = |name: &str| name.contains(['+', '#']);
            let user = if let User::Named(name) = &names.user { Some(&**name) } else { None };
            if is_unsafe(&names.client_id) || user.is_some_and(is_unsafe) {
                layers.push(Layer::Deny(Origin::UnsafeName));
            } else {
                layers.push(layer(&self.patterns));
            }
        }
        Access::of(names, layers)
    }
}

/// The clause of a `topic` or `pattern` line.
fn clause(number: usize, rest: &str, keyword: &'static str) -> Result<Clause, Problem> {
    let (word, filter) = match rest.split_once([' ', '\t']) {
        Some(words) => words,
        // Mosquitto takes the word for a topic, which nobody means.
        None if matches!(rest, "read" | "write" | "readwrite" | "deny") => ("", ""),
        None => ("", rest),
    };
    let (effect, subscribe, publish) = match word {
        "read" => (Effect::Allow, true, false),
        "write" => (Effect::Allow, false, true),
        "readwrite" | "" => (Effect::Allow, true, true),
        "deny" => (Effect::Deny, true, true),
        other => return Err(Problem::Access(other.to_owned())),
    };
    let filter = filter.trim_start();
    if filter.is_empty() {
        return Err(Problem::NoTopic(keyword));
    }
    TopicFilter::new(filter)?;
    Ok(Clause {
        pattern: Pattern::of_filter(filter, keyword == "pattern"),
        effect,
        publish,
        subscribe,
        max_qos: QoS::ExactlyOnce,
        retain: true,
        matches_dollar: false,
        number,
    })
}
