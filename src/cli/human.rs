//! Formats numbers and untrusted text for people.
//!
//! Client ids and topics are untrusted: pass them through [`escaped`] before they reach a
//! terminal.

use std::fmt::Write;

use crate::untrusted_text::deceives;

/// `1.5 MiB`: binary units, one digit after the point.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // In tenths, rounded, so that 1023.96 KiB becomes 1.0 MiB and not 1024.0 KiB.
    let mut tenths = u128::from(count) * 10;
    let mut name = "B";
    for unit in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths = (tenths + 512) / 1024;
        name = unit;
    }
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 session`, `1,234 sessions`: for names whose plural adds an s.
pub fn things(number: u64, name: &str) -> String {
    format!("{} {name}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1 delivery`, `2 deliveries`.
pub fn deliveries(number: u64) -> String {
    format!("{} {}", count(number), if number == 1 { "delivery" } else { "deliveries" })
}

/// `45 s`, `3 min 20 s`, `5 h 7 min`, `12 d 4 h`: two units at most.
pub fn seconds(count: u64) -> String {
    let (first, second) = match count {
        0..60 => ((count, "s"), (0, "")),
        60..3600 => ((count / 60, "min"), (count % 60, "s")),
        3600..86_400 => ((count / 3600, "h"), (count % 3600 / 60, "min")),
        _ => ((count / 86_400, "d"), (count % 86_400 / 3600, "h")),
    };
    let mut text = format!("{} {}", first.0, first.1);
    if second.0 > 0 {
        let _ = write!(text, " {} {}", second.0, second.1);
    }
    text
}

/// Escapes everything that a terminal may act upon or that may mislead a reader: control
/// characters, line and paragraph separators, direction marks, zero-width characters. A
/// backslash is doubled.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if deceives(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// As [`escaped`], and cut to `width` characters with `…` as the last.
pub fn shortened(text: &str, width: usize) -> String {
    // The text may be 65,535 bytes long; only its beginning is escaped.
    let start: String = text.chars().take(width + 1).collect();
    let safe = escaped(&start);
    if safe.chars().count() <= width {
        return safe;
    }
    safe.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_one_digit() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (10 << 30, "10.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn counts_are_grouped_and_times_have_two_units() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!((things(1, "row").as_str(), things(0, "row").as_str()), ("1 row", "0 rows"));
        assert_eq!(seconds(59), "59 s");
        assert_eq!(seconds(3600), "1 h");
        assert_eq!(seconds(3661), "1 h 1 min");
        assert_eq!(seconds(604_800), "7 d");
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_act_upon() {
        assert_eq!(escaped("a\x1b[2J\u{9b}0m\u{202e}é\\\n\0"), {
            "a\\u{1b}[2J\\u{9b}0m\\u{202e}é\\\\\\n\\u{0}"
        });
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
        assert_eq!(shortened(&"\x1b".repeat(65_535), 6), "\\u{1b…");
    }
}
