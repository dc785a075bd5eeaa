//! The fields of a line of text. Client ids, user names and reason strings come from
//! whoever may connect: nothing of them may begin a new line, or move a terminal's
//! cursor.

use std::fmt::{self, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// The message, then `name=value` for each field. Text is quoted, with its quotes
/// escaped, so that no value can look like a further field.
pub(super) fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        if field.name() == "message" {
            return write!(Escaping(writer), "{value:?}");
        }
        let (dim, plain) =
            if writer.has_ansi_escapes() { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        write!(writer, "{dim}{field}={plain}")?;
        write!(Escaping(writer), "{value:?}")
    })
    .delimited(" ")
}

/// Passes on what is printed, and escapes what a terminal or a reader of lines might act
/// upon. Quoted text comes here escaped already, and without such characters.
struct Escaping<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| acts(*c)) {
            let (before, from) = rest.split_at(at);
            self.0.write_str(before)?;
            write!(self.0, "{}", found.escape_default())?;
            rest = from.get(found.len_utf8()..).unwrap_or_default();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, separators of lines and paragraphs, marks of direction.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
