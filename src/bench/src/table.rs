//! Tables for people.

use std::fmt;

/// Rows of the same number of cells, the first one left-aligned, the others right-aligned.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Table {
        Table { rows: vec![head.map(str::to_owned).into()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A number with as many digits as say something: three, or all before the point.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(["variant", "per s"]);
        table.row(["café".to_owned(), number(12_345.6)]);
        table.row(["a longer one".to_owned(), number(1.5)]);
        assert_eq!(table.to_string(), "variant       per s\ncafé          12346\na longer one   1.50\n");
    }

    #[test]
    fn numbers_have_three_digits_or_more() {
        let shown = [0.0, 0.456, 9.994, 45.67, 456.7, 4567.8].map(number);
        assert_eq!(shown, ["0.00", "0.46", "9.99", "45.7", "457", "4568"]);
    }
}
