//! The fields of a text line. Client ids, user names and reason strings are untrusted: they
//! must not start a new line, move a terminal's cursor, or exceed a maximum length.

use std::fmt::{self, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::telemetry::cut::{LOGGED, head};
use crate::untrusted_text::deceives;

/// The message, then `name=value` for each field. Text is quoted, with its quotes
/// escaped, so that no value can look like a further field.
pub(super) fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        if field.name() != "message" {
            let (dim, plain) =
                if writer.has_ansi_escapes() { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
            write!(writer, "{dim}{field}={plain}")?;
        }
        Value::write(writer, value)
    })
    .delimited(" ")
}

/// Writes a value up to a maximum length, and escapes characters that a terminal or a line
/// reader might act on. Quoted text arrives already escaped, without such characters.
struct Value<'a, 'w> {
    writer: &'a mut Writer<'w>,
    /// Bytes that still fit.
    room: usize,
    quoted: bool,
    /// The last character is a backslash that escapes the next one.
    escaping: bool,
}

impl<'a, 'w> Value<'a, 'w> {
    fn write(writer: &'a mut Writer<'w>, value: &dyn fmt::Debug) -> fmt::Result {
        let mut this = Self { writer, room: LOGGED, quoted: false, escaping: false };
        match write!(this, "{value:?}") {
            Err(fmt::Error) if this.room == 0 => this.end(),
            result => result,
        }
    }

    /// Ends a truncated value: closes its quote, so that what follows is not part of it.
    fn end(&mut self) -> fmt::Result {
        let rest = match (self.quoted, self.escaping) {
            (true, true) => "\\\"…",
            (true, false) => "\"…",
            (false, _) => "…",
        };
        self.writer.write_str(rest)
    }

    fn put(&mut self, text: &str) -> fmt::Result {
        if self.room == LOGGED {
            self.quoted = text.starts_with('"');
        }
        let kept = head(text, self.room);
        self.writer.write_str(kept)?;
        self.escaping = kept.chars().fold(self.escaping, |escaping, c| c == '\\' && !escaping);
        if kept.len() < text.len() {
            self.room = 0;
            return Err(fmt::Error);
        }
        self.room -= kept.len();
        Ok(())
    }
}

impl Write for Value<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| deceives(*c)) {
            let (before, from) = rest.split_at(at);
            self.put(before)?;
            self.put(&found.escape_default().to_string())?;
            rest = from.get(found.len_utf8()..).unwrap_or_default();
        }
        self.put(rest)
    }
}
