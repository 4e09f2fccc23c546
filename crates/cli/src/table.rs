//! Tables and aligned sheets.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, TableStyle};

use crate::output::{Format, Output, Scheme};

/// Rounded lines around, none between rows.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('╭', '─', '┬', '╮'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('╰', '─', '┴', '╯'));

/// The same with double lines.
const DOUBLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('╔', '═', '╦', '╗'))
    .header_lines(ContentLineStyle::new('║', '║', '║'))
    .header_separator(LineStyle::new('╠', '═', '╬', '╣'))
    .content_lines(ContentLineStyle::new('║', '║', '║'))
    .bottom_border(LineStyle::new('╚', '═', '╩', '╝'));

/// Rows under a title, written as `--output` asks.
pub(crate) struct Table {
    title: String,
    head: Vec<&'static str>,
    /// Columns of numbers, which stand at the right.
    right: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, head: &[&'static str]) -> Self {
        Self { title: title.into(), head: head.to_vec(), right: Vec::new(), rows: Vec::new() }
    }

    /// Columns (from 0) that hold numbers.
    pub(crate) fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn print(&self, out: &Output) {
        let text = match out.format {
            Format::Table | Format::Json => out.paint_lines(&self.lines(out.scheme)),
            format => self.render(format),
        };
        out.line(text.trim_end());
    }

    pub(crate) fn render(&self, format: Format) -> String {
        match format {
            Format::Table | Format::Json => self.lines(Scheme::default()),
            Format::Md => self.markdown(),
            Format::Csv => self.separated(",", |cell| {
                if cell.contains([',', '"', '\n', '\r']) {
                    format!("\"{}\"", cell.replace('"', "\"\""))
                } else {
                    cell.to_owned()
                }
            }),
            Format::Tsv => self.separated("\t", |cell| cell.replace(['\t', '\n', '\r'], " ")),
        }
    }

    fn lines(&self, scheme: Scheme) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(if scheme == Scheme::Double { DOUBLE } else { STYLE })
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(&self.head);
        for row in &self.rows {
            // A control character in a name would break the frame, or the terminal.
            table.add_row(row.iter().map(|cell| plain(cell)));
        }
        for column in &self.right {
            if let Some(column) = table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let text = table.to_string();
        let width = text.lines().next().map_or(0, |line| line.chars().count());
        format!("{}\n{text}", format!("{:^width$}", self.title).trim_end())
    }

    fn markdown(&self) -> String {
        let cell = |text: &str| plain(text).replace('|', "\\|");
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(self.head.iter().map(|name| cell(name)).collect());
        let rule = |at: usize| if self.right.contains(&at) { "---:" } else { "---" };
        text.push_str(&line((0..self.head.len()).map(|at| rule(at).to_owned()).collect()));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(|text| cell(text)).collect()));
        }
        text
    }

    fn separated(&self, by: &str, cell: impl Fn(&str) -> String) -> String {
        let line = |cells: Vec<String>| cells.join(by) + "\n";
        let mut text = line(self.head.iter().map(|name| cell(name)).collect());
        for row in &self.rows {
            text.push_str(&line(row.iter().map(|text| cell(text)).collect()));
        }
        text
    }
}

/// Text without control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Labels and values in sections, the colons below each other.
#[derive(Default)]
pub(crate) struct Sheet {
    title: String,
    sections: Vec<(String, Vec<(String, String)>)>,
}

impl Sheet {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), sections: Vec::new() }
    }

    /// Begins a section.
    pub(crate) fn section(&mut self, name: &str) {
        self.sections.push((name.to_owned(), Vec::new()));
    }

    /// A line in the present section.
    pub(crate) fn row(&mut self, label: &str, value: impl Into<String>) {
        if self.sections.is_empty() {
            self.section("");
        }
        if let Some((_, rows)) = self.sections.last_mut() {
            rows.push((label.to_owned(), value.into()));
        }
    }

    /// As [`row`](Self::row), unless there is no value.
    pub(crate) fn row_if(&mut self, label: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.row(label, value);
        }
    }

    pub(crate) fn print(&self, out: &Output) {
        out.line(self.render().trim_end());
    }

    fn render(&self) -> String {
        let rows = self.sections.iter().flat_map(|(_, rows)| rows);
        let width = rows.map(|(label, _)| label.chars().count()).max().unwrap_or(0) + 2;
        let mut text = String::new();
        if !self.title.is_empty() {
            text.push_str(&self.title);
            text.push_str("\n\n");
        }
        for (name, rows) in &self.sections {
            if rows.is_empty() {
                continue;
            }
            if !name.is_empty() {
                let _ = writeln!(text, "{name}:\n");
            }
            for (label, value) in rows {
                let _ = writeln!(text, "{label:>width$}: {}", plain(value));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new("Things", &["Name", "Size"]).right(&[1]);
        table.row(["a,\"b\"|".to_owned(), "10".to_owned()]);
        table.row(["bell\u{7}".to_owned(), "2".to_owned()]);
        table
    }

    #[test]
    fn each_format_escapes_its_own_marks() {
        let table = sample();
        assert_eq!(table.render(Format::Csv), "Name,Size\n\"a,\"\"b\"\"|\",10\nbell\u{7},2\n");
        assert_eq!(table.render(Format::Tsv), "Name\tSize\na,\"b\"|\t10\nbell\u{7}\t2\n");
        assert_eq!(
            table.render(Format::Md),
            "| Name | Size |\n| --- | ---: |\n| a,\"b\"\\| | 10 |\n| bell\u{fffd} | 2 |\n"
        );
        let lines = table.render(Format::Table);
        assert!(lines.contains("Things") && lines.contains('╭') && !lines.contains('\u{7}'));
        let widths: Vec<usize> = lines.lines().skip(1).map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{lines}");
    }

    #[test]
    fn colons_of_a_sheet_stand_below_each_other() {
        let mut sheet = Sheet::new("Title");
        sheet.row("A", "1");
        sheet.section("Empty");
        sheet.section("Limits");
        sheet.row("Longer", "2");
        sheet.row_if("Absent", None::<String>);
        assert_eq!(sheet.render(), "Title\n\n       A: 1\n\nLimits:\n\n  Longer: 2\n\n");
    }
}
