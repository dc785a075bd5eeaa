//! Formats tables. Widths are those of a terminal: some characters take two columns, some none.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement};

/// How the text of a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Lines of a table with a head, indented by `indent` blanks, without trailing blanks.
pub(super) fn lines(head: &[(&str, Align)], rows: &[Vec<String>], indent: u16) -> Vec<String> {
    let mut table = comfy_table::Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.add_row(head.iter().map(|(name, _)| name));
    table.add_rows(rows);
    for (column, (_, align)) in table.column_iter_mut().zip(head) {
        column.set_padding((if column.index == 0 { indent } else { 2 }, 0));
        column.set_cell_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Rows of cells, the first row being the names of the columns.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    head: Vec<(&'a str, Align)>,
    rows: Vec<Vec<String>>,
}

impl<'a> Table<'a> {
    /// The first `words` columns hold words, aligned to the left; the others hold numbers.
    pub(super) fn new(words: usize, names: &[&'a str]) -> Self {
        let align = |column| if column < words { Align::Left } else { Align::Right };
        let head = names.iter().enumerate().map(|(column, name)| (*name, align(column))).collect();
        Self { head, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Lines indented by two, without trailing blanks.
    pub(super) fn lines(&self) -> Vec<String> {
        lines(&self.head, &self.rows, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = Table::new(1, &["what", "n"]);
        table.row(vec!["µs".to_owned(), "1,000".to_owned()]);
        table.row(vec!["x".to_owned(), String::new()]);
        assert_eq!(table.lines(), ["  what      n", "  µs    1,000", "  x"]);
    }

    #[test]
    fn a_column_is_as_wide_as_a_terminal_shows_it() {
        let rows = [vec!["温度".to_owned(), "1".to_owned()], vec!["e\u{301}".into(), "2".into()]];
        let head = [("id", Align::Left), ("n", Align::Right)];
        assert_eq!(lines(&head, &rows, 0), ["id    n", "温度  1", "e\u{301}     2"]);
    }
}
