//! The table of a comparison, for a terminal and for a document.

use std::fmt::Write as _;

use super::scenarios::Figure;

/// One run of a scenario on one server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// What the scenario compares, in the unit of its [`Figure`].
    pub(super) value: f64,
    /// Seconds of processor time of the server for a million messages.
    pub(super) cpu_per_million: f64,
    /// Resident bytes of the server at the end.
    pub(super) memory: f64,
}

impl Outcome {
    /// Each figure's median; `None` without any run.
    fn medians(runs: &[Self]) -> Option<Self> {
        Some(Self {
            value: median(runs.iter().map(|run| run.value))?,
            cpu_per_million: median(runs.iter().map(|run| run.cpu_per_million))?,
            memory: median(runs.iter().map(|run| run.memory))?,
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let high = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], high)
    } else {
        high
    })
}

/// A scenario's runs on both servers.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) figure: Figure,
    pub(super) theirs: Vec<Outcome>,
    pub(super) ours: Vec<Outcome>,
}

/// Cells of a row: what is not known is `-`.
const HEADINGS: [&str; 9] = [
    "scenario",
    "unit",
    "nats-server",
    "natterjack",
    "ratio",
    "CPU s/M theirs",
    "ours",
    "MB theirs",
    "ours",
];

impl Row {
    /// How many times better ours is: more messages, or less time.
    fn ratio(&self) -> Option<f64> {
        let (theirs, ours) = (Outcome::medians(&self.theirs)?, Outcome::medians(&self.ours)?);
        let ratio = match self.figure {
            Figure::Rate => ours.value / theirs.value,
            Figure::Median | Figure::Tail => theirs.value / ours.value,
        };
        ratio.is_finite().then_some(ratio)
    }

    fn cells(&self) -> [String; 9] {
        let (theirs, ours) = (Outcome::medians(&self.theirs), Outcome::medians(&self.ours));
        let cell = |outcome: Option<Outcome>, show: fn(&Outcome) -> String| {
            outcome.as_ref().map_or_else(|| "-".to_owned(), show)
        };
        let (unit, value): (_, fn(&Outcome) -> String) = match self.figure {
            Figure::Rate => ("msgs/s", |outcome| short(outcome.value)),
            Figure::Median => ("p50 us", |outcome| format!("{:.1}", outcome.value)),
            Figure::Tail => ("p99 us", |outcome| format!("{:.1}", outcome.value)),
        };
        let cpu = |outcome: &Outcome| format!("{:.3}", outcome.cpu_per_million);
        let memory = |outcome: &Outcome| format!("{:.1}", outcome.memory / 1e6);
        [
            self.name.to_owned(),
            unit.to_owned(),
            cell(theirs, value),
            cell(ours, value),
            self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            cell(theirs, cpu),
            cell(ours, cpu),
            cell(theirs, memory),
            cell(ours, memory),
        ]
    }
}

/// Three digits, as `1.23M`.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    match value {
        value if value >= 100.0 => format!("{value:.0}{unit}"),
        value if value >= 10.0 => format!("{value:.1}{unit}"),
        value => format!("{value:.2}{unit}"),
    }
}

/// The geometric mean of the ratios, and how many they are.
fn mean(rows: &[Row]) -> Option<(f64, usize)> {
    let ratios: Vec<f64> = rows.iter().filter_map(Row::ratio).collect();
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| ((sum / ratios.len() as f64).exp(), ratios.len()))
}

/// All rows, for people or as Markdown.
pub(super) fn render(rows: &[Row], markdown: bool) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let mut text = String::new();
    if markdown {
        let row = |cells: &[String; 9]| format!("| {} |\n", cells.join(" | "));
        text.push_str(&row(&lines[0]));
        text.push_str("|---|---|---|---|---|---|---|---|---|\n");
        lines[1..].iter().for_each(|cells| text.push_str(&row(cells)));
    } else {
        let width = |at: usize| lines.iter().map(|cells| cells[at].len()).max().unwrap_or(0);
        for cells in &lines {
            let mut line = format!("{:<1$}  {2:<3$}", cells[0], width(0), cells[1], width(1));
            for (at, cell) in cells.iter().enumerate().skip(2) {
                write!(line, "  {cell:>0$}", width(at)).expect("a String takes every write");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    if let Some((mean, number)) = mean(rows) {
        let line =
            format!("geometric mean of {number} ratios: {mean:.2} (above 1: ours is better)");
        write!(text, "\n{line}\n").expect("a String takes every write");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(value: f64) -> Outcome {
        Outcome { value, cpu_per_million: value / 1e6, memory: 15e6 }
    }

    fn row(figure: Figure, theirs: &[f64], ours: &[f64]) -> Row {
        let runs = |values: &[f64]| values.iter().copied().map(outcome).collect();
        Row { name: "a", figure, theirs: runs(theirs), ours: runs(ours) }
    }

    #[test]
    fn a_ratio_above_one_is_better_for_rates_and_times() {
        assert_eq!(row(Figure::Rate, &[100.0], &[250.0]).ratio(), Some(2.5));
        assert_eq!(row(Figure::Median, &[100.0], &[50.0]).ratio(), Some(2.0));
        assert_eq!(row(Figure::Median, &[], &[50.0]).ratio(), None);
        assert_eq!(row(Figure::Median, &[100.0], &[0.0]).ratio(), None);
    }

    #[test]
    fn medians_are_of_all_runs() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn a_document_gets_markdown_and_the_mean() {
        let rows = [
            row(Figure::Rate, &[1_000_000.0], &[4_000_000.0]),
            row(Figure::Median, &[40.0], &[40.0]),
            row(Figure::Rate, &[], &[2.0]),
        ];
        let text = render(&rows, true);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("| scenario | unit | nats-server |"), "{text}");
        assert_eq!(lines[2], "| a | msgs/s | 1.00M | 4.00M | 4.00 | 1.000 | 4.000 | 15.0 | 15.0 |");
        assert!(lines[4].starts_with("| a | msgs/s | - | 2.00 | - | - |"), "{text}");
        assert_eq!(
            lines.last(),
            Some(&"geometric mean of 2 ratios: 2.00 (above 1: ours is better)")
        );
    }

    #[test]
    fn numbers_keep_three_digits() {
        for (value, text) in
            [(1.0, "1.00"), (999.4, "999"), (12_340.0, "12.3k"), (2_345_678.0, "2.35M")]
        {
            assert_eq!(short(value), text);
        }
    }
}
