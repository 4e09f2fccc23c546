//! `natterjack errors`: what the numbers in JetStream's answers mean.

use clap::Subcommand;
use natterjack_jetstream::error::TABLE;
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::table::{Sheet, Table};

/// Errors of the JetStream API.
#[derive(Debug, Subcommand)]
pub(crate) enum Errors {
    /// Explain an error by its number
    Lookup {
        /// The err_code of an answer, as 10059
        code: u64,
    },
    /// List the errors
    #[command(visible_alias = "list")]
    Ls {
        /// Only those whose text or name has this in it
        filter: Option<String>,
    },
}

/// A row of the table.
struct Row<'a> {
    err_code: u64,
    code: u64,
    constant: &'a str,
    description: &'a str,
    /// Whether one server alone can say it.
    single: bool,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    TABLE.lines().skip(1).filter_map(|line| {
        let mut columns = line.split('\t');
        let (err_code, code) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
        let (constant, description) = (columns.next()?, columns.next()?);
        Some(Row { err_code, code, constant, description, single: columns.next() == Some("yes") })
    })
}

impl Errors {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Lookup { code } => lookup(context, code),
            Self::Ls { filter } => ls(context, &filter.unwrap_or_default()),
        }
    }
}

fn lookup(context: &Context, wanted: u64) -> Outcome {
    let Some(row) = rows().find(|row| row.err_code == wanted) else {
        let text = format!("no error has the number {wanted}");
        return Err(Failure::new(status::NOT_FOUND, "errors.not_found", text)
            .hint("natterjack errors ls; the number is the err_code, not the code"));
    };
    let Failure { exit, code, hint, .. } = Failure::api(row.code, wanted, row.description, "");
    if context.out.json {
        context.out.document(&json!({
            "err_code": wanted,
            "code": row.code,
            "constant": row.constant,
            "description": row.description,
            "clusters_only": !row.single,
            "exit": exit,
            "name": code,
            "hint": hint,
        }));
        return Ok(());
    }
    let mut sheet = Sheet::new(format!("JetStream error {wanted}"));
    sheet.row("Description", row.description);
    sheet.row("Code", row.code.to_string());
    sheet.row("Name in Go", row.constant);
    sheet.row("Comes from", if row.single { "any server" } else { "clusters" });
    sheet.row("Exit status of natterjack", format!("{exit} ({code})"));
    sheet.row_if("Try", Some(hint).filter(|hint| !hint.is_empty()));
    sheet.print(&context.out);
    Ok(())
}

fn ls(context: &Context, filter: &str) -> Outcome {
    let filter = filter.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&filter);
    let found: Vec<Row> = rows().filter(|row| has(row.description) || has(row.constant)).collect();
    if context.out.json {
        let object = |row: &Row| {
            json!({"err_code": row.err_code, "code": row.code, "constant": row.constant,
                "description": row.description})
        };
        context.out.document(&found.iter().map(object).collect::<Vec<_>>());
        return Ok(());
    }
    let head = ["Number", "Code", "Description", "Name in Go"];
    let mut table = Table::new("JetStream Errors", &head).right(&[0, 1]);
    for row in &found {
        table.row([
            row.err_code.to_string(),
            row.code.to_string(),
            row.description.to_owned(),
            row.constant.to_owned(),
        ]);
    }
    table.print(&context.out);
    Ok(())
}
