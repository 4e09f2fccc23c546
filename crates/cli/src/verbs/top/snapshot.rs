//! What is shown, as text and as an object.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::model::{Model, Tab};
use super::rows::columns;
use super::view;
use crate::table::{Table, plain};

/// A look: the server in lines, then the rows as a table, or with `delimiter` between their cells.
pub(super) fn text(model: &Model, delimiter: Option<&str>) -> String {
    let columns = columns(model.tab);
    let rows = model.rows();
    if let Some(delimiter) = delimiter.filter(|_| !columns.is_empty()) {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let mut text = names.join(delimiter) + "\n";
        for row in &rows {
            let cells: Vec<String> = row.cells.iter().map(|cell| plain(cell)).collect();
            text.push_str(&(cells.join(delimiter) + "\n"));
        }
        return text;
    }
    let mut text = String::new();
    for (label, value) in view::facts(model) {
        let _ = writeln!(text, "{label:>14}: {}", plain(&value));
    }
    if !columns.is_empty() {
        let names: Vec<&'static str> = columns.iter().map(|column| column.name).collect();
        let right: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].right).collect();
        let mut table = Table::new(model.tab.title(), &names).right(&right);
        rows.into_iter().for_each(|row| table.row(row.cells));
        let _ = write!(text, "\n{}", table.render(crate::output::Format::Table));
    }
    text.push('\n');
    text
}

/// A look as an object.
pub(super) fn object(model: &Model) -> Value {
    let rates = model.rates;
    let mut object = json!({
        "rates": {
            "in_msgs": rates.in_msgs,
            "out_msgs": rates.out_msgs,
            "in_bytes": rates.in_bytes,
            "out_bytes": rates.out_bytes,
        },
        "varz": model.sample.as_ref().map(|sample| &sample.varz),
    });
    if model.tab != Tab::Server {
        let name = model.tab.title().to_lowercase();
        object[name] = model.rows().into_iter().map(|row| row.object).collect();
    }
    object
}
