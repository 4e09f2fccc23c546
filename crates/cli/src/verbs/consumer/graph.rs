//! `consumer graph`.

use clap::Args;

use super::{Name, consumer_info};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::graph::{self, Pace, Rate, Unit};
use crate::json::number;

/// Draw how far a consumer is behind, and how fast it goes.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    pace: Pace,
}

impl Graph {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let Name { stream, consumer } = &self.name;
        let title = format!("Consumer Statistics for {stream} > {consumer}");
        let curves = [
            ("Unprocessed Messages", Unit::Count),
            ("Outstanding Acks", Unit::Count),
            ("Messages Delivered/s", Unit::Count),
            ("Messages Acked/s", Unit::Count),
        ];
        let curves = graph::Graph::new(context.out, title, &curves);
        let (mut delivered, mut acked) = (Rate::default(), Rate::default());
        graph::watch(context, &self.pace, curves, async || {
            let info = consumer_info(&api, &self.name).await?;
            let count = |pointer| number(&info, pointer);
            Ok(vec![
                count("/num_pending") as f64,
                count("/num_ack_pending") as f64,
                delivered.of(count("/delivered/consumer_seq")),
                acked.of(count("/ack_floor/consumer_seq")),
            ])
        })
        .await?;
        connector.close().await?;
        Ok(())
    }
}
