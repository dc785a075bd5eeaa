//! Topic names and topic filters (MQTT 5.0 sections 4.7 and 4.8.2). Older versions have the
//! same rules, and may use shared subscriptions as well.
//!
//! A [`TopicName`] or [`TopicFilter`] is always valid. The router finds the filters that match
//! a name; [`matches()`] is the plain rule, with which it is compared in tests.

use std::fmt;
use std::sync::Arc;

/// The prefix of a shared subscription's filter [MQTT-4.8.2-1].
const SHARE: &str = "$share/";

/// Why a string is not a topic name or topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// [MQTT-4.7.3-1]
    #[error("empty, where at least one character is required [MQTT-4.7.3-1]")]
    Empty,
    /// [MQTT-4.7.3-2]
    #[error("holds U+0000 [MQTT-4.7.3-2]")]
    Nul,
    /// [MQTT-4.7.3-3]
    #[error("longer than 65,535 bytes [MQTT-4.7.3-3]")]
    TooLong,
    /// [MQTT-4.7.0-1]
    #[error("a topic name with a wildcard [MQTT-4.7.0-1]")]
    Wildcard,
    /// [MQTT-4.7.1-1]
    #[error("`#` that is not the whole last level [MQTT-4.7.1-1]")]
    MultiLevelWildcard,
    /// [MQTT-4.7.1-2]
    #[error("`+` that is not a whole level [MQTT-4.7.1-2]")]
    SingleLevelWildcard,
    /// [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    #[error("a shared subscription without a proper group or filter [MQTT-4.8.2-2]")]
    Share,
}

/// A valid topic name, as in PUBLISH.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Validates and copies a name.
    ///
    /// # Errors
    /// It is empty, too long, or holds U+0000 or a wildcard.
    pub fn new(name: &str) -> Result<Self, TopicError> {
        check_text(name)?;
        if name.bytes().any(is_wildcard) {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(name.into()))
    }

    /// The name as published.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The number of levels of a topic. Counts bytes, because it is called for every publish.
pub fn level_count(topic: &str) -> usize {
    topic.bytes().filter(|&byte| byte == b'/').count() + 1
}

/// A valid topic filter, as in SUBSCRIBE; may be a shared subscription.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter {
    text: Arc<str>,
    /// The end of the group name in `text`; 0 if the filter is not shared.
    group_end: u16,
}

impl TopicFilter {
    /// Validates and copies a filter.
    ///
    /// # Errors
    /// It is empty, too long, contains U+0000, has a misplaced wildcard, or begins with
    /// `$share/` and is not a valid shared subscription.
    pub fn new(filter: &str) -> Result<Self, TopicError> {
        let group_end = Self::check(filter)?;
        Ok(Self { text: filter.into(), group_end })
    }

    /// Validates a filter. Returns the end of its group name.
    pub(super) fn check(filter: &str) -> Result<u16, TopicError> {
        check_text(filter)?;
        let Some(shared) = filter.strip_prefix(SHARE) else {
            check_levels(filter)?;
            return Ok(0);
        };
        let (group, matched) = shared.split_once('/').ok_or(TopicError::Share)?;
        if group.is_empty() || group.bytes().any(is_wildcard) || matched.is_empty() {
            return Err(TopicError::Share);
        }
        check_levels(matched)?;
        u16::try_from(SHARE.len() + group.len()).map_err(|_| TopicError::TooLong)
    }

    /// The full filter, including `$share/...`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The group of a shared subscription.
    pub fn shared(&self) -> Option<&str> {
        self.text.get(SHARE.len()..usize::from(self.group_end))
    }

    /// The part that is matched with topic names: without `$share/GROUP/`.
    pub fn matched(&self) -> &str {
        match self.group_end {
            0 => &self.text,
            end => self.text.get(usize::from(end) + 1..).unwrap_or_default(),
        }
    }

    /// The levels of [`TopicFilter::matched`].
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.matched().split('/')
    }
}

/// True if a valid filter (without `$share/GROUP/`) matches a valid topic name.
pub fn matches(filter: &str, topic: &str) -> bool {
    // A leading `#` or `+` does not match topics that begin with `$` [MQTT-4.7.2-1].
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    for level in filter.split('/') {
        // `#` also matches the parent level, so no level may be left.
        if level == "#" {
            return true;
        }
        match topic_levels.next() {
            Some(found) if level == "+" || level == found => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'+' | b'#')
}

fn check_text(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        1..=65_535 if text.as_bytes().contains(&0) => Err(TopicError::Nul),
        1..=65_535 => Ok(()),
        _ => Err(TopicError::TooLong),
    }
}

fn check_levels(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MultiLevelWildcard);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::SingleLevelWildcard);
        }
    }
    Ok(())
}

macro_rules! shown_as_its_text {
    ($name:ident) => {
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = TopicError;

            fn from_str(text: &str) -> Result<Self, TopicError> {
                Self::new(text)
            }
        }
    };
}

shown_as_its_text!(TopicName);
shown_as_its_text!(TopicFilter);
