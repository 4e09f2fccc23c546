//! Plots of characters, for a terminal and for files.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget as _};

use crate::units;

/// How wide a plot is where nobody says it.
pub(crate) const WIDTH: u16 = 80;

/// The width of the terminal, if there is one.
pub(crate) fn width() -> u16 {
    match ratatui::crossterm::terminal::size() {
        Ok((width, _)) if width >= 40 => width,
        _ => WIDTH,
    }
}

/// A line through `values`, the newest at the right, below a title. `name` writes a value at the axis.
pub(crate) fn line(
    title: &str,
    values: &[f64],
    (width, height): (u16, u16),
    name: impl Fn(f64) -> String,
) -> String {
    let top = values.iter().copied().fold(0.0, f64::max);
    let top = if top > 0.0 { top } else { 1.0 };
    let points: Vec<(f64, f64)> =
        values.iter().enumerate().map(|(at, value)| (at as f64, *value)).collect();
    let dataset =
        Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).data(&points);
    let last = (values.len().max(2) - 1) as f64;
    let chart = Chart::new(vec![dataset])
        .x_axis(Axis::default().bounds([0.0, last]))
        .y_axis(Axis::default().bounds([0.0, top]).labels([name(0.0), name(top / 2.0), name(top)]));
    let mut buffer = Buffer::empty(Rect::new(0, 0, width.max(20), height.max(3)));
    chart.render(buffer.area, &mut buffer);
    format!("{title}\n{}", text(&buffer))
}

/// The characters of a buffer, without spaces at the ends of lines.
pub(crate) fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in area.top()..area.bottom() {
        let mut row = String::new();
        for x in area.left()..area.right() {
            row.push_str(buffer.cell((x, y)).map_or(" ", |cell| cell.symbol()));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A bar for each row, as long as its count is large; the counts stand behind the bars.
pub(crate) fn bars(rows: &[(String, u64)], width: u16) -> String {
    let labels = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let room = usize::from(width).saturating_sub(labels + 14).max(10);
    let mut text = String::new();
    for (label, count) in rows {
        let eighths = (*count as f64 / most as f64 * room as f64 * 8.0).round() as usize;
        let mut bar = "█".repeat(eighths / 8);
        if let Some(part) = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(eighths % 8) {
            bar.push_str(part);
        }
        // What is there at all can be seen.
        if bar.is_empty() && *count > 0 {
            bar.push('▏');
        }
        text.push_str(&format!("{label:>labels$}  {bar} {}\n", units::count(*count)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_rises_to_the_right() {
        let plot = line("rate", &[0.0, 1.0, 2.0, 4.0], (40, 6), |value| format!("{value:.0}"));
        let lines: Vec<&str> = plot.lines().collect();
        assert_eq!((lines[0], lines.len()), ("rate", 7), "{plot}");
        assert!(lines[1].starts_with('4') && lines[6].starts_with('0'), "{plot}");
        let filled =
            |line: &str| line.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        assert!(filled(lines[1]) > 0 && filled(lines[6]) > 0, "{plot}");
        // Nothing at all is a line at the bottom.
        assert!(line("", &[], (40, 6), |value| format!("{value:.0}")).contains('0'));
    }

    #[test]
    fn bars_are_as_long_as_counts_are_large() {
        let rows = [("1ms".to_owned(), 10), ("10ms".to_owned(), 5), ("1s".to_owned(), 0)];
        let text = bars(&rows, 38);
        let lengths: Vec<usize> = text.lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(lengths, [20, 10, 0], "{text}");
        assert!(text.lines().nth(2).unwrap().ends_with("1s   0"), "{text}");
        assert!(bars(&[("a".to_owned(), 1), ("b".to_owned(), 1000)], 38).contains('▏'));
    }
}
