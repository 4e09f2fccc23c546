//! `consumer graph`.

use clap::Args;

use super::{Name, consumer_info};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::graph::{self, Pace, Unit};
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
            ("Messages Delivered/s", Unit::CountRate),
            ("Messages Acked/s", Unit::CountRate),
        ];
        graph::watch(context, &self.pace, title, &curves, async || {
            let info = consumer_info(&api, &self.name).await?;
            let pointers = [
                "/num_pending",
                "/num_ack_pending",
                "/delivered/consumer_seq",
                "/ack_floor/consumer_seq",
            ];
            Ok(pointers.map(|pointer| number(&info, pointer)).to_vec())
        })
        .await?;
        connector.close().await?;
        Ok(())
    }
}
