//! Text tables: columns as wide as their widest cell, two spaces apart, no trailing blanks.

/// How the cells of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table that grows row by row and is rendered at the end.
pub(crate) struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// `header` names the columns; a name that starts with `>` makes its column right-aligned.
    pub(crate) fn new(header: &[&str]) -> Self {
        let columns = header.iter().map(|name| align_of(name)).collect();
        let names = header.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        Self { columns, rows: vec![names] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns.len(), "a row has one cell for each column");
        self.rows.push(cells.into());
    }

    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        self.rows.iter().map(|row| self.render_row(row, &widths) + "\n").collect()
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.columns.len())
            .map(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect()
    }

    fn render_row(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row.iter().zip(widths).zip(&self.columns).map(|((cell, &width), align)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

fn align_of(name: &str) -> Align {
    if name.starts_with('>') { Align::Right } else { Align::Left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["TOPIC", ">PARTITIONS", "STATE"]);
        table.row(["a".into(), "1".into(), "ok".into()]);
        table.row(["größer".into(), "12".into(), String::new()]);
        let expected = "TOPIC   PARTITIONS  STATE\n\
                        a                1  ok\n\
                        größer          12\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(Table::new(&["A", "B"]).render(), "A  B\n");
    }
}
