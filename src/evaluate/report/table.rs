//! A table of text: for the terminal, Markdown and CSV.

/// Rows under a heading; the first column is words (to the left), the others numbers (to the
/// right).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub heading: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    #[must_use]
    pub fn new(heading: &[&str]) -> Self {
        Self {
            heading: heading.iter().map(|h| (*h).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |row: &Vec<String>, i: usize| row.get(i).map_or(0, |c| c.chars().count());
        (0..self.heading.len())
            .map(|i| {
                self.rows
                    .iter()
                    .chain([&self.heading])
                    .map(|row| cell(row, i))
                    .max()
                    .unwrap_or(0)
            })
            .collect()
    }

    fn line(row: &[String], widths: &[usize], between: &str) -> String {
        let cells = widths.iter().enumerate().map(|(i, width)| {
            let cell = row.get(i).map_or("", String::as_str);
            if i == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join(between)
    }

    /// Columns in line, two spaces between them.
    #[must_use]
    pub fn plain(&self) -> String {
        let widths = self.widths();
        let rule = widths
            .iter()
            .map(|w| "-".repeat(*w))
            .collect::<Vec<_>>()
            .join("  ");
        let rows = self.rows.iter().map(|row| Self::line(row, &widths, "  "));
        let lines: Vec<String> = [Self::line(&self.heading, &widths, "  "), rule]
            .into_iter()
            .chain(rows)
            .collect();
        lines
            .iter()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect()
    }

    #[must_use]
    pub fn markdown(&self) -> String {
        let widths: Vec<usize> = self.widths().into_iter().map(|w| w.max(3)).collect();
        let side = |(i, w): (usize, &usize)| {
            if i == 0 {
                "-".repeat(*w)
            } else {
                "-".repeat(w - 1) + ":"
            }
        };
        let rule = widths
            .iter()
            .enumerate()
            .map(side)
            .collect::<Vec<_>>()
            .join(" | ");
        let escaped = |row: &Vec<String>| {
            row.iter()
                .map(|c| c.replace('|', "\\|"))
                .collect::<Vec<_>>()
        };
        let rows = self
            .rows
            .iter()
            .map(|row| Self::line(&escaped(row), &widths, " | "));
        let lines = [Self::line(&escaped(&self.heading), &widths, " | "), rule]
            .into_iter()
            .chain(rows);
        lines.map(|line| ["| ", &line, " |\n"].concat()).collect()
    }

    /// RFC 4180.
    #[must_use]
    pub fn csv(&self) -> String {
        let cell = |text: &String| {
            if text.contains([',', '"', '\n']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.clone()
            }
        };
        let line = |row: &Vec<String>| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\r\n";
        [&self.heading]
            .into_iter()
            .chain(&self.rows)
            .map(line)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_write_a_table() {
        let mut table = Table::new(&["model", "c"]);
        table.push(["a | b".to_owned(), "9".to_owned()]);
        table.push(["long, \"quoted\"".to_owned(), "10.5".to_owned()]);
        assert_eq!(
            table.plain(),
            "model              c\n--------------  ----\na | b              9\nlong, \"quoted\"  10.5\n"
        );
        assert!(table.markdown().contains("| a \\| b"));
        assert!(
            table
                .markdown()
                .lines()
                .nth(1)
                .expect("a rule")
                .ends_with("---: |")
        );
        assert_eq!(
            table.csv(),
            "model,c\r\na | b,9\r\n\"long, \"\"quoted\"\"\",10.5\r\n"
        );
    }
}
