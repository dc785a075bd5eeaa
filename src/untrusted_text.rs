//! Untrusted text (client ids, topics, user names) that is shown to people: finds the
//! characters that must not be output unchanged. No output happens here.

use std::fmt::Write as _;

/// True for characters that control a terminal, change how others are shown, or are invisible:
/// control characters, line and paragraph separators, direction marks, characters without
/// width.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            0xAD | 0x061C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
                | 0xFEFF | 0xFFF9..=0xFFFB | 0xE0000..=0xE007F
        )
}

/// The same JSON with these characters escaped. JSON requires that below U+0020 only. The
/// others occur only within strings, where `\uXXXX` is the same text. Line feeds between
/// values are kept.
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if c != '\n' && deceives(c) {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_the_same_text_without_what_a_terminal_acts_upon() {
        let text = "a\u{1b}[2J\u{9b}1m\u{202e}\u{e0001}é";
        let json = escape_json(&serde_json::to_string(text).unwrap());
        assert_eq!(json, r#""a\u001b[2J\u009b1m\u202e\udb40\udc01é""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
