//! Truncates long text. Client ids and topics of up to 65,535 bytes appear in logs, and must
//! not fill a volume or memory.

use std::fmt::{self, Write};

/// Maximum bytes of one value in a log line or a pushed record: the limit of similar lines
/// then also limits bytes. Client ids and topics of usual sizes are not truncated.
pub(super) const LOGGED: usize = 1024;

/// Returns `text` if it has at most `bytes` bytes, otherwise as much of it as fits, followed
/// by `…`.
pub(super) fn cut(text: fmt::Arguments<'_>, bytes: usize) -> String {
    let mut bounded = Bounded { text: String::new(), bytes };
    // The only error is that the text did not fit.
    let _ = bounded.write_fmt(text);
    bounded.text
}

struct Bounded {
    text: String,
    bytes: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let kept = head(part, self.bytes.saturating_sub(self.text.len()));
        self.text.push_str(kept);
        if kept.len() == part.len() {
            return Ok(());
        }
        self.text.push('…');
        Err(fmt::Error)
    }
}

/// The longest prefix of whole characters that has at most `bytes` bytes.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    let end = bytes.min(text.len());
    let end = (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut(format_args!("boat"), 4), "boat");
        assert_eq!(cut(format_args!("boats"), 4), "boat…");
        assert_eq!(cut(format_args!("boaü{}", 7), 4), "boa…");
        assert_eq!(cut(format_args!("{}{}", "bo", "ats"), 4), "boat…");
        assert_eq!(cut(format_args!(""), 0), "");
    }
}
