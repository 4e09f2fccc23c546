//! `stream graph`.

use clap::Args;

use super::stream_info;
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::graph::{self, Pace, Unit};
use crate::json::number;

/// Draw what a stream holds, and how fast messages come and go.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    #[command(flatten)]
    pace: Pace,
}

impl Graph {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let title = format!("Stream Statistics for {}", self.stream);
        let curves = [
            ("Messages Stored", Unit::Count),
            ("Bytes Stored", Unit::Bytes),
            ("Messages Stored/s", Unit::CountRate),
            ("Messages Removed/s", Unit::CountRate),
        ];
        graph::watch(context, &self.pace, title, &curves, async || {
            let info = stream_info(&api, &self.stream).await?;
            let [messages, bytes, stored] = ["/state/messages", "/state/bytes", "/state/last_seq"]
                .map(|pointer| number(&info, pointer));
            // Of all that was ever stored, what is not there was removed.
            Ok(vec![messages, bytes, stored, stored.saturating_sub(messages)])
        })
        .await?;
        connector.close().await?;
        Ok(())
    }
}
