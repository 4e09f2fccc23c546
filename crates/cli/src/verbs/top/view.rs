//! How it is drawn.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline};
use serde_json::Value;

use super::keys::HELP;
use super::model::{Asked, Model, Rates, Tab};
use super::rows::{Column, Row, columns};
use crate::json::{flag, number, text};
use crate::table::plain;
use crate::units;

/// No name takes more of a narrow screen.
const CELL_MAX: usize = 30;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let lost = u16::from(model.lost.is_some());
    let [head, tabs, banner, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(lost),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title(model), head);
    frame.render_widget(tab_line(model), tabs);
    if let Some((why, since)) = &model.lost {
        let since = units::duration(Duration::from_secs(since.elapsed().as_secs()));
        let line = format!(" server lost {since} ago: {} ", plain(why));
        let style = Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD);
        frame.render_widget(Paragraph::new(line).style(style), banner);
    }
    match (model.tab, model.detail) {
        (Tab::Server, _) => server(frame, model, body),
        (_, true) => detail(frame, model, body),
        (_, false) => table(frame, model, body),
    }
    frame.render_widget(foot_line(model), foot);
    if model.help {
        help(frame);
    }
}

fn title(model: &Model) -> Paragraph<'static> {
    let none = Value::Null;
    let varz = model.sample.as_ref().map_or(&none, |sample| &sample.varz);
    let mut line = match text(varz, "/server_name") {
        "" => "natterjack top".to_owned(),
        name => {
            let name: String = plain(name).chars().take(CELL_MAX).collect();
            format!("{name}  v{}  up {}", text(varz, "/version"), text(varz, "/uptime"))
        }
    };
    if model.paused {
        line.push_str("  PAUSED");
    }
    if !model.filter.is_empty() {
        line.push_str(&format!("  filter: {}", model.filter));
    }
    Paragraph::new(line).style(Style::new().add_modifier(Modifier::BOLD))
}

fn tab_line(model: &Model) -> Line<'static> {
    let mut spans = Vec::new();
    for (at, tab) in Tab::ALL.into_iter().enumerate() {
        let text = format!(" {} {} ", at + 1, tab.title());
        let style = match tab == model.tab {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        spans.push(Span::styled(text, style));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

fn foot_line(model: &Model) -> Paragraph<'static> {
    let text = match (&model.prompt, &model.note) {
        (Some(prompt), _) => match prompt.what {
            Asked::Sort => format!("sort by column: {}_", prompt.text),
            Asked::Limit => format!("most connections ({}): {}_", model.limit, prompt.text),
            Asked::Filter => format!("show only rows with: {}_", prompt.text),
            Asked::Kick(cid) => format!("close connection {cid}? y/n"),
        },
        (None, Some(note)) => note.clone(),
        (None, None) => {
            "? help  o sort  / filter  Enter detail  Space pause  s subs  d DNS  b bytes  q quit"
                .to_owned()
        }
    };
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::DIM))
}

/// What is known of the server, in pairs.
pub(super) fn facts(model: &Model) -> Vec<(&'static str, String)> {
    let Some(sample) = &model.sample else { return Vec::new() };
    let (varz, jsz) = (&sample.varz, &sample.jsz);
    let count = |pointer: &str| units::count(number(varz, pointer));
    let cpu = varz.get("cpu").and_then(Value::as_f64).unwrap_or(0.0);
    let Rates { in_msgs, out_msgs, in_bytes, out_bytes } = model.rates;
    let flow = |messages: f64, bytes: f64, total: &str| {
        let bytes = model.size(bytes.round() as u64);
        let total = model.size(number(varz, total));
        format!("{} msgs/s, {bytes}/s, {total} in all", units::count(messages.round() as u64))
    };
    let mut facts = vec![
        ("Server", format!("{} ({})", text(varz, "/server_name"), text(varz, "/server_id"))),
        ("Version", text(varz, "/version").to_owned()),
        ("Uptime", text(varz, "/uptime").to_owned()),
        ("CPU", format!("{cpu:.1} %")),
        ("Memory", model.size(number(varz, "/mem"))),
        ("Connections", format!("{} of {}", count("/connections"), count("/max_connections"))),
        ("Subscriptions", count("/subscriptions")),
        ("Slow Consumers", count("/slow_consumers")),
        ("In", flow(in_msgs, in_bytes, "/in_bytes")),
        ("Out", flow(out_msgs, out_bytes, "/out_bytes")),
    ];
    let jetstream = match flag(jsz, "/disabled") || jsz.is_null() {
        true => "off".to_owned(),
        false => format!(
            "{} streams, {} consumers, {} messages, {} memory, {} storage",
            units::count(number(jsz, "/streams")),
            units::count(number(jsz, "/consumers")),
            units::count(number(jsz, "/messages")),
            model.size(number(jsz, "/memory")),
            model.size(number(jsz, "/storage"))
        ),
    };
    facts.push(("JetStream", jetstream));
    facts
}

fn server(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let facts = facts(model);
    let lines: Vec<Line<'_>> = facts
        .iter()
        .map(|(label, value)| Line::from(format!("{label:>14}: {}", plain(value))))
        .collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let [sheet, plots] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(lines), sheet);
    let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(plots);
    type Part = fn(&Rates) -> f64;
    let parts: [[(&str, Part); 2]; 2] = [
        [("in msgs/s", |rates| rates.in_msgs), ("out msgs/s", |rates| rates.out_msgs)],
        [("in bytes/s", |rates| rates.in_bytes), ("out bytes/s", |rates| rates.out_bytes)],
    ];
    for (row, parts) in [upper, lower].into_iter().zip(parts) {
        let halves: [Rect; 2] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(1).areas(row);
        for (area, (name, part)) in halves.into_iter().zip(parts) {
            // The newest at the right edge, and no more than there is room for.
            let width = usize::from(area.width);
            let skip = model.history.len().saturating_sub(width);
            let mut data = vec![0; width.saturating_sub(model.history.len())];
            data.extend(model.history.iter().skip(skip).map(|rates| part(rates).round() as u64));
            let most = data.iter().max().copied().unwrap_or(0);
            let title = format!("{name}, at most {}", units::count(most));
            let block = Block::new().title(title);
            frame.render_widget(Sparkline::default().data(data).block(block), area);
        }
    }
}

/// The widths of the columns that there is room for: what stands in them, and no more than is useful.
fn widths(columns: &[Column], rows: &[Row], room: usize) -> Vec<usize> {
    let mut widths = Vec::new();
    let mut used = 0;
    for (at, column) in columns.iter().enumerate() {
        let cells = rows.iter().map(|row| row.cells.get(at).map_or(0, |cell| cell.chars().count()));
        let most = if room < 120 { CELL_MAX } else { CELL_MAX * 2 };
        // One more for the mark of the order.
        let width = cells.max().unwrap_or(0).min(most).max(column.name.len() + 1);
        if used + width > room && at > 0 {
            break;
        }
        used += width + 1;
        widths.push(width);
    }
    widths
}

fn fit(text: &str, width: usize, right: bool) -> String {
    let text = plain(text);
    let length = text.chars().count();
    let text = match length > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text,
    };
    if right { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn table(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let columns = columns(model.tab);
    let rows = model.rows();
    let widths = widths(columns, &rows, usize::from(area.width));
    let sort = model.sorts[model.tab.index()];
    let head: Vec<String> = columns
        .iter()
        .zip(&widths)
        .enumerate()
        .map(|(at, (column, width))| {
            let mark = match (at == sort.column, sort.down) {
                (true, true) => "▼",
                (true, false) => "▲",
                (false, _) => "",
            };
            fit(&format!("{}{mark}", column.name), *width, column.right)
        })
        .collect();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled(head.join(" "), bold)];
    // The selected row stays in sight.
    let room = usize::from(area.height).saturating_sub(2).max(1);
    let first = (model.selected + 1).saturating_sub(room);
    for (at, row) in rows.iter().enumerate().skip(first).take(room) {
        let cells: Vec<String> = columns
            .iter()
            .zip(&widths)
            .zip(&row.cells)
            .map(|((column, width), cell)| fit(cell, *width, column.right))
            .collect();
        let style = match at == model.selected {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        lines.push(Line::styled(cells.join(" "), style));
    }
    let shown = rows.len().saturating_sub(first).min(room);
    let count = format!("{} of {} rows", units::count(shown), units::count(rows.len()));
    let [list, sum] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(lines), list);
    frame.render_widget(Paragraph::new(count).alignment(Alignment::Right), sum);
}

/// All that the server says of the selected row.
fn detail(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let rows = model.rows();
    let Some(row) = rows.get(model.selected) else { return };
    let text = serde_json::to_string_pretty(&row.object).expect("a value of JSON encodes");
    let lines: Vec<Line<'_>> = text.lines().map(|line| Line::from(plain(line))).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn help(frame: &mut Frame<'_>) {
    let widest = HELP.iter().map(|(_, text)| text.len()).max().unwrap_or(0) + 22;
    let (width, height) = (u16::try_from(widest).unwrap_or(80), HELP.len() as u16 + 2);
    let whole = frame.area();
    let area = Rect {
        x: whole.width.saturating_sub(width) / 2,
        y: whole.height.saturating_sub(height) / 2,
        width: width.min(whole.width),
        height: height.min(whole.height),
    };
    let lines: Vec<Line<'_>> =
        HELP.iter().map(|(key, text)| Line::from(format!("{key:>17}  {text}"))).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("Keys")), area);
}
