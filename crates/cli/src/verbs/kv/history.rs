//! `natterjack kv history`.

use clap::Args;

use super::{Bucket, Change, printable};
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::table::Table;
use crate::units;

/// Show the changes of a key.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Name of the bucket
    #[arg(add = complete::buckets())]
    bucket: String,
    /// The key
    #[arg(add = complete::keys())]
    key: String,
}

/// Characters of a value that a table shows.
const VALUE_MAX: usize = 60;

impl History {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        let changes = bucket.kv.history(&self.key).await?;
        bucket.close().await?;
        if changes.is_empty() {
            let text = format!("key {} > {} has no history", self.bucket, self.key);
            return Err(Failure::new(status::NOT_FOUND, "kv.not_found", text)
                .hint(format!("natterjack kv ls {} shows the keys", self.bucket)));
        }
        let changes = changes.into_iter().map(Change::of);
        if out.json {
            let objects: Vec<_> = changes.map(|change| change.json(&self.bucket)).collect();
            out.document(&objects);
            return Ok(());
        }
        let head = ["Key", "Revision", "Op", "Created", "Length", "Value"];
        let title = format!("History for {} > {}", self.bucket, self.key);
        let mut table = Table::new(title, &head).right(&[1, 4]);
        for change in changes {
            let value = change.value.as_deref().unwrap_or_default();
            table.row([
                change.key.clone(),
                units::count(change.revision),
                change.op.to_owned(),
                change.local_time(),
                units::size(value.len() as u64),
                shortened(&printable(value)),
            ]);
        }
        table.print(&out);
        Ok(())
    }
}

/// The first characters, and `…` for the rest.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
