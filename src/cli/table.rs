//! Formats tables.

/// Rows of cells, the first row being the names of the columns.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Number of columns from the left that hold words, aligned to the left; the others hold
    /// numbers.
    words: usize,
}

impl Table {
    pub(super) fn new(words: usize, names: &[&str]) -> Self {
        Self { rows: vec![names.iter().map(|&name| name.to_owned()).collect()], words }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Lines indented by two, without trailing blanks.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                line.push_str("  ");
                let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (left, right) =
                    if column < self.words { ("", blanks.as_str()) } else { (blanks.as_str(), "") };
                line.extend([left, cell.as_str(), right]);
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
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
}
