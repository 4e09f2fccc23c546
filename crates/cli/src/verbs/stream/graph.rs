//! `stream graph`.

use clap::Args;

use super::stream_info;
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::graph::{self, Pace, Rate, Unit};
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
            ("Messages Stored/s", Unit::Count),
            ("Messages Removed/s", Unit::Count),
        ];
        let curves = graph::Graph::new(context.out, title, &curves);
        let (mut stored, mut removed) = (Rate::default(), Rate::default());
        graph::watch(context, &self.pace, curves, async || {
            let info = stream_info(&api, &self.stream).await?;
            let count = |pointer| number(&info, pointer);
            let (messages, last) = (count("/state/messages"), count("/state/last_seq"));
            Ok(vec![
                messages as f64,
                count("/state/bytes") as f64,
                stored.of(last),
                // All that was ever stored, without what is there.
                removed.of(last.saturating_sub(messages)),
            ])
        })
        .await?;
        connector.close().await?;
        Ok(())
    }
}
