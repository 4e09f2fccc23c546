//! A subscriber of the tour's own, which counts what passes on a subject.

use std::collections::BTreeSet;
use std::time::Duration;

use natterjack::codec::Text;
use natterjack::{Auth, Backoff, Connector, millis};
use natterjack_examples::number;
use tokio::task::JoinHandle;

/// What it has seen.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// The numbers of numbered messages.
    pub(super) numbers: BTreeSet<u64>,
    /// Messages without a number.
    pub(super) others: u64,
}

/// Counts the messages of a subject until it is asked.
pub(super) struct Witness {
    connector: Connector,
    reader: JoinHandle<Counted>,
}

impl Witness {
    pub(super) async fn open(url: &str, auth: Auth, subject: &str) -> Result<Self, String> {
        let builder = Connector::builder().servers(url.split(',')).auth(auth);
        let builder = builder.name("natterjack tour").backoff(Backoff::fixed(millis(20)));
        let connector = builder.build().await.map_err(|error| unable(&error))?;
        let opened = connector.on(subject).codec(Text).open::<String>().await;
        let mut messages = opened.map_err(|error| unable(&error))?;
        let reader = tokio::spawn(async move {
            let mut counted = Counted::default();
            while let Some(message) = messages.next().await {
                match message.ok().and_then(|message| number(message.value())) {
                    Some(number) => drop(counted.numbers.insert(number)),
                    None => counted.others += 1,
                }
            }
            counted
        });
        Ok(Self { connector, reader })
    }

    /// What it has seen, with all that the server had passed on by now.
    pub(super) async fn count(self) -> Result<Counted, String> {
        self.connector.drain().await.map_err(|error| unable(&error))?;
        let read = tokio::time::timeout(Duration::from_secs(10), self.reader).await;
        read.map_err(|error| unable(&error))?.map_err(|error| unable(&error))
    }
}

fn unable(error: &dyn std::fmt::Display) -> String {
    format!("the witness: {error}")
}
