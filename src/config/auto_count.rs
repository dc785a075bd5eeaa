//! Counts whose default depends on the machine's memory: `"auto"` or a number.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A number, or as many as the memory that the process may use has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoCount {
    /// As many as the memory of the machine or the container has room for.
    #[default]
    Auto,
    /// This many.
    Set(usize),
}

impl AutoCount {
    /// The number that was set, if one was.
    pub fn set(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Set(count) => Some(count),
        }
    }

    /// The number that was set, or as many as fit into `memory` bytes if each takes `each`
    /// bytes, but at least 1 and at most `most`. If `memory` is unknown, it is `most`.
    pub fn fit(self, memory: Option<u64>, each: u64, most: usize) -> usize {
        let fitting = memory.and_then(|memory| usize::try_from(memory / each.max(1)).ok());
        self.set().unwrap_or_else(|| fitting.unwrap_or(most).clamp(1, most.max(1)))
    }
}

impl FromStr for AutoCount {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Set).map_err(drop)
    }
}

impl fmt::Display for AutoCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Set(count) => count.fmt(f),
        }
    }
}

/// A number is written as a number, not as text.
impl Serialize for AutoCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Set(count) => count.serialize(serializer),
        }
    }
}

deserialize_from_text!(AutoCount, "\"auto\" or a whole number");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_what_fits_into_the_memory_and_never_more_than_the_most() {
        assert_eq!(AutoCount::Auto.fit(Some(128 << 20), 32 << 10, 100_000), 4096);
        assert_eq!(AutoCount::Auto.fit(Some(64 << 30), 32 << 10, 100_000), 100_000);
        assert_eq!(AutoCount::Auto.fit(Some(1), 32 << 10, 100_000), 1);
        assert_eq!(AutoCount::Auto.fit(None, 32 << 10, 100_000), 100_000);
    }

    #[test]
    fn what_is_set_holds_whatever_the_memory() {
        let set: AutoCount = "250000".parse().unwrap();
        assert_eq!(set.fit(Some(1 << 20), 32 << 10, 100_000), 250_000);
        assert_eq!(set.to_string(), "250000");
        assert_eq!("AUTO".parse(), Ok(AutoCount::Auto));
        assert_eq!("-1".parse::<AutoCount>(), Err(()));
    }
}
