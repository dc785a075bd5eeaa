//! Sizes whose default depends on the machine's memory: `"auto"` or a [`ByteSize`].

use std::fmt;
use std::str::FromStr;

use super::ByteSize;

/// A number of bytes, or a part of the memory that the process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoSize {
    /// A part of the memory of the machine or the container.
    #[default]
    Auto,
    /// This much.
    Set(ByteSize),
}

impl AutoSize {
    /// The size that was set, if one was.
    pub fn set(self) -> Option<ByteSize> {
        match self {
            Self::Auto => None,
            Self::Set(size) => Some(size),
        }
    }

    /// The size that was set, or one `part`-th of `memory` bytes, but at most `most`. If
    /// `memory` is unknown, it is `most`.
    pub fn fit(self, memory: Option<u64>, part: u64, most: ByteSize) -> ByteSize {
        let fitting = memory.map_or(most, |memory| ByteSize(memory / part.max(1)));
        self.set().unwrap_or(fitting.min(most))
    }
}

impl FromStr for AutoSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.trim().eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Set)
    }
}

impl fmt::Display for AutoSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Set(size) => size.fmt(f),
        }
    }
}

serde_as_text!(AutoSize, "\"auto\" or a size such as 64KiB, 10MB or 1GiB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_a_part_of_the_memory_and_never_more_than_the_most() {
        let most = ByteSize::mib(512);
        assert_eq!(AutoSize::Auto.fit(Some(128 << 20), 4, most), ByteSize::mib(32));
        assert_eq!(AutoSize::Auto.fit(Some(64 << 30), 4, most), most);
        assert_eq!(AutoSize::Auto.fit(None, 4, most), most);
    }

    #[test]
    fn what_is_set_holds_whatever_the_memory() {
        let set: AutoSize = "1GiB".parse().unwrap();
        assert_eq!(set.fit(Some(1 << 20), 4, ByteSize::mib(1)), ByteSize::gib(1));
        assert_eq!(set.to_string(), "1GiB");
        assert_eq!("AUTO".parse(), Ok(AutoSize::Auto));
        assert_eq!("automatic".parse::<AutoSize>(), Err(()));
    }
}
