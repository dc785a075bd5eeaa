//! The topics of a rule: a topic filter in which `%u` and `%c` stand for a client's user name
//! and client id.

use std::borrow::Cow;
use std::sync::Arc;

use crate::protocol::{TopicError, TopicFilter};

/// A filter that may have placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    placeholders: Placeholders,
    /// The length of the levels before the first one with a wildcard or a placeholder, without
    /// the slash between them. Filters are at most 65,535 bytes long.
    literal: u16,
}

/// What `%u` and `%c` are in a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholders {
    /// Text like any other.
    None,
    /// A name, anywhere in a level. A name that would be more than a part of a level is unsafe.
    Anywhere,
    /// A name, if they are a whole level (Mosquitto).
    WholeLevels,
}

/// A user name, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    /// The verified name.
    Named(Box<str>),
    /// The client has none.
    Anonymous,
    /// A restart has found the session, and not who owns it.
    Unknown,
}

/// The names that stand in place of the placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) user: User,
    pub(super) client_id: Arc<str>,
}

/// A pattern with a client's names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filled<'a> {
    /// The filter of this client.
    Filter(Cow<'a, str>),
    /// The pattern asks for a user name, and the client has none.
    NoSuchClient,
    /// A name has a character that would change the filter's meaning. This filter matches all
    /// that it could match with any name.
    Unsafe(String),
    /// The pattern asks for a user name that is not known. As above.
    Unknown(String),
}

/// How a level with placeholders compares with the level of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// They are equal: so many bytes of the topic.
    Equal(usize),
    /// They differ, or the client has no such name.
    Differ,
    /// As [`Filled::Unsafe`].
    Unsafe,
    /// As [`Filled::Unknown`].
    Unknown,
}

/// A part of a level with placeholders.
enum Part<'a> {
    Text(&'a str),
    User,
    ClientId,
}

/// The value of a placeholder.
enum Name<'a> {
    Is(&'a str),
    Missing,
    Unknown,
}

impl Names {
    fn of(&self, placeholder: &Part<'_>) -> Name<'_> {
        match (placeholder, &self.user) {
            (Part::User, User::Named(name)) => Name::Is(name),
            (Part::User, User::Anonymous) => Name::Missing,
            (Part::User, User::Unknown) => Name::Unknown,
            _ => Name::Is(&self.client_id),
        }
    }
}

impl Pattern {
    /// Validates a pattern.
    ///
    /// # Errors
    /// It is no topic filter, also with a name in place of its placeholders, or a shared
    /// subscription.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        let filter = TopicFilter::new(&text.replace("%u", "u").replace("%c", "c"))?;
        if filter.shared().is_some() {
            return Err(TopicError::Share);
        }
        let has_placeholders = text.contains("%u") || text.contains("%c");
        let kind = if has_placeholders { Placeholders::Anywhere } else { Placeholders::None };
        Ok(Self::with(text, kind))
    }

    /// A valid filter of Mosquitto, with placeholders of whole levels or with none.
    pub(super) fn of_filter(text: &str, has_placeholders: bool) -> Self {
        let kind = if has_placeholders { Placeholders::WholeLevels } else { Placeholders::None };
        Self::with(text, kind)
    }

    fn with(text: &str, placeholders: Placeholders) -> Self {
        let is_literal = |level: &&str| !matches!(*level, "+" | "#") && !placeholders.are_in(level);
        let levels = text.split('/').take_while(is_literal);
        let len = levels.map(|level| level.len() + 1).sum::<usize>().saturating_sub(1);
        // With less, the others are compared level by level.
        let literal = u16::try_from(len).unwrap_or(0);
        Self { text: text.into(), placeholders, literal }
    }

    /// The levels before the first one with a wildcard or a placeholder, and the rest: it is
    /// empty, begins with the slash between them, or is the whole pattern.
    pub(super) fn split_literal(&self) -> (&str, &str) {
        self.text.split_at_checked(self.literal.into()).unwrap_or(("", &self.text))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn placeholders(&self) -> Placeholders {
        self.placeholders
    }

    /// The pattern for a client with these names.
    pub(super) fn filled(&self, names: &Names) -> Filled<'_> {
        if !self.text.split('/').any(|level| self.placeholders.are_in(level)) {
            return Filled::Filter(Cow::Borrowed(&self.text));
        }
        let mut filter = String::with_capacity(self.text.len());
        for (index, level) in self.text.split('/').enumerate() {
            if index > 0 {
                filter.push('/');
            }
            if !self.placeholders.are_in(level) {
                filter.push_str(level);
                continue;
            }
            let begin = filter.len();
            let mut rest = level;
            while let Some(part) = next_part(&mut rest) {
                if let Part::Text(text) = part {
                    filter.push_str(text);
                    continue;
                }
                match names.of(&part) {
                    Name::Is(name) if self.placeholders.accept(name, filter.is_empty()) => {
                        filter.push_str(name);
                    }
                    Name::Is(_) if self.placeholders == Placeholders::WholeLevels => {
                        return Filled::NoSuchClient;
                    }
                    Name::Is(_) => return Filled::Unsafe(all_below(filter, begin)),
                    Name::Missing => return Filled::NoSuchClient,
                    Name::Unknown => return Filled::Unknown(all_below(filter, begin)),
                }
            }
        }
        Filled::Filter(Cow::Owned(filter))
    }
}

impl Placeholders {
    /// True if a level of a pattern has placeholders.
    pub(super) fn are_in(self, level: &str) -> bool {
        match self {
            Self::None => false,
            Self::Anywhere => level.contains("%u") || level.contains("%c"),
            Self::WholeLevels => level == "%u" || level == "%c",
        }
    }

    /// True if a name may stand in place of a placeholder, which `begins` the filter or not.
    fn accept(self, name: &str, begins: bool) -> bool {
        match self {
            Self::None => true,
            // A name that begins with `$` would open `$SYS` to whoever may choose a name.
            Self::Anywhere => {
                let opens_dollar = begins && name.starts_with('$');
                !name.is_empty() && !name.contains(['+', '#', '/', '\0']) && !opens_dollar
            }
            // A filter that begins with a placeholder matches no topics that begin with `$`.
            Self::WholeLevels => !(name.is_empty() || (begins && name.starts_with('$'))),
        }
    }

    /// Compares a level with placeholders with the beginning of `rest`, the levels of a topic
    /// from there on; `None` if there are none. `begins`: it is the first level.
    pub(super) fn compare(
        self,
        level: &str,
        names: &Names,
        rest: Option<&str>,
        begins: bool,
    ) -> Compared {
        if self == Self::WholeLevels {
            return whole_level(level, names, rest, begins);
        }
        let mut name_rest = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        let (mut parts, mut at_begin) = (level, begins);
        while let Some(part) = next_part(&mut parts) {
            let text = match part {
                Part::Text(text) => text,
                placeholder => match names.of(&placeholder) {
                    Name::Is(name) if self.accept(name, at_begin) => name,
                    Name::Is(_) => return Compared::Unsafe,
                    Name::Missing => return Compared::Differ,
                    Name::Unknown => return Compared::Unknown,
                },
            };
            at_begin = false;
            // Also after a difference: a later name may be unsafe.
            name_rest = name_rest.and_then(|left| left.strip_prefix(text));
        }
        match (name_rest, rest) {
            (Some(""), Some(rest)) => Compared::Equal(rest.find('/').unwrap_or(rest.len())),
            _ => Compared::Differ,
        }
    }
}

/// As [`Placeholders::compare`]. A name with slashes takes several levels of the topic.
fn whole_level(level: &str, names: &Names, rest: Option<&str>, begins: bool) -> Compared {
    let placeholder = if level == "%u" { Part::User } else { Part::ClientId };
    let name = match names.of(&placeholder) {
        Name::Is(name) if Placeholders::WholeLevels.accept(name, begins) => name,
        Name::Is(_) | Name::Missing => return Compared::Differ,
        Name::Unknown => return Compared::Unknown,
    };
    let after = rest.and_then(|rest| rest.strip_prefix(name));
    let is_level = after.is_some_and(|after| after.is_empty() || after.starts_with('/'));
    if is_level { Compared::Equal(name.len()) } else { Compared::Differ }
}

/// Takes the next part of a level.
fn next_part<'a>(level: &mut &'a str) -> Option<Part<'a>> {
    if level.is_empty() {
        return None;
    }
    let is_placeholder = |at: &usize| {
        let after = level.get(*at..).unwrap_or_default();
        after.starts_with("%u") || after.starts_with("%c")
    };
    let found = level.match_indices('%').map(|(at, _)| at).find(is_placeholder);
    let (part, rest) = match found {
        Some(0) => {
            let part = if level.starts_with("%u") { Part::User } else { Part::ClientId };
            (part, level.get(2..).unwrap_or_default())
        }
        Some(at) => {
            let (text, rest) = level.split_at(at);
            (Part::Text(text), rest)
        }
        None => (Part::Text(level), ""),
    };
    *level = rest;
    Some(part)
}

/// The filter of all topics below the levels of `filter` before `begin`.
fn all_below(mut filter: String, begin: usize) -> String {
    filter.truncate(begin);
    filter.push('#');
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(username: Option<&str>, client_id: &str) -> Names {
        let user = username.map_or(User::Anonymous, |name| User::Named(name.into()));
        Names { user, client_id: client_id.into() }
    }

    fn filled<'a>(pattern: &'a Pattern, username: Option<&str>, client_id: &str) -> Filled<'a> {
        pattern.filled(&names(username, client_id))
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    fn filter(text: &str) -> Filled<'_> {
        Filled::Filter(text.into())
    }

    #[test]
    fn names_stand_in_place_of_placeholders() {
        assert_eq!(filled(&pattern("a/%u/%c/#"), Some("ann"), "d1"), filter("a/ann/d1/#"));
        assert_eq!(filled(&pattern("dev-%c/x"), None, "d1"), filter("dev-d1/x"));
        assert_eq!(filled(&pattern("100%/%x"), None, "d1"), filter("100%/%x"));
        assert_eq!(filled(&pattern("a/%u"), None, "d1"), Filled::NoSuchClient);
    }

    #[test]
    fn a_name_that_would_be_more_than_a_name_matches_all_that_it_could() {
        for name in ["+", "#", "a/b", "a+", ""] {
            let pattern = pattern("a/x-%u/b");
            assert_eq!(filled(&pattern, Some(name), "d"), Filled::Unsafe("a/#".into()), "{name}");
        }
        assert_eq!(filled(&pattern("%c/#"), None, "$SYS"), Filled::Unsafe("#".into()));
        assert_eq!(filled(&pattern("a/%c"), None, "$SYS"), filter("a/$SYS"));
    }

    #[test]
    fn a_name_that_is_not_known_matches_all_that_it_could() {
        let names = Names { user: User::Unknown, client_id: "d".into() };
        assert_eq!(pattern("a/%c/%u/b").filled(&names), Filled::Unknown("a/d/#".into()));
        assert_eq!(pattern("a/%c").filled(&names), filter("a/d"));
    }

    #[test]
    fn mosquitto_s_placeholders_are_whole_levels() {
        let pattern = |text| Pattern::of_filter(text, true);
        assert_eq!(filled(&pattern("a/%u/x%c"), Some("ann"), "d"), filter("a/ann/x%c"));
        assert_eq!(filled(&pattern("a/%u"), Some(""), "d"), Filled::NoSuchClient);
        assert_eq!(filled(&pattern("%c/#"), None, "$SYS"), Filled::NoSuchClient);
        assert_eq!(filled(&Pattern::of_filter("a/%u", false), Some("ann"), "d"), filter("a/%u"));
    }

    #[test]
    fn a_pattern_is_a_topic_filter() {
        for wrong in ["", "a/#/b", "a+", "$share/g/a", "%u#"] {
            Pattern::new(wrong).unwrap_err();
        }
    }
}
