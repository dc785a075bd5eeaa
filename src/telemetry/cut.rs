//! Truncates long text. Client ids and topics of up to 65,535 bytes appear in logs, and must
//! fill neither a volume nor memory.

use std::fmt::{self, Write};

/// Bytes of one value in a line of the log, and in a pushed record: the limit of similar
/// lines then bounds bytes too. Client ids and topics of the usual sizes are whole.
pub(super) const LOGGED: usize = 1024;

/// `text`, whole if it has at most `bytes`; else as much of it as fits, and `…`.
pub(super) fn cut(text: fmt::Arguments<'_>, bytes: usize) -> String {
    let mut bounded = Bounded { text: String::new(), bytes };
    // The only error is that there was no more room.
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

/// The first characters of `text` that have at most `bytes` together.
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
