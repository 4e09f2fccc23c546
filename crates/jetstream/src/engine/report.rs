//! What monitoring shows of streams and their consumers.

use std::sync::Arc;

use super::JetStream;
use crate::consumer::{self, ConsumerInfo};
use crate::host::Host;
use crate::stream::{Details, StreamCell, StreamInfo};
use crate::time::Now;

/// A stream as monitoring shows it.
#[derive(Debug, Clone)]
pub struct StreamReport {
    /// What `STREAM.INFO` shows.
    pub info: StreamInfo,
    /// What `CONSUMER.INFO` shows of each consumer that lists show.
    pub consumers: Vec<ConsumerInfo>,
    /// The same of the consumers of mirrors and sources.
    pub direct: Vec<ConsumerInfo>,
}

impl JetStream {
    /// The streams of `account` by name, and with `consumers` what consumers each has. Empty when the
    /// account never had JetStream.
    pub fn stream_reports(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &str,
        consumers: bool,
    ) -> Vec<StreamReport> {
        let Some(account) = self.account(account) else { return Vec::new() };
        let details = Details { leader: true, ..Details::default() };
        let report = |cell: Arc<StreamCell>| {
            let (info, _) = cell.info(now, &details);
            let (mut listed, mut direct) = (Vec::new(), Vec::new());
            if consumers {
                let mut stream = cell.lock();
                let of =
                    |(name, config): (&str, &consumer::Config)| (name.to_owned(), config.direct);
                let names: Vec<(String, bool)> = stream.consumers.configs().map(of).collect();
                for (name, is_direct) in names {
                    let list = if is_direct { &mut direct } else { &mut listed };
                    list.extend(stream.consumer_info(host, now, &name, true));
                }
            }
            StreamReport { info, consumers: listed, direct }
        };
        account.all_streams().into_iter().map(report).collect()
    }

    /// Whether a stream has a consumer of this name, in lists or not.
    pub fn has_consumer(&self, account: &str, stream: &str, consumer: &str) -> bool {
        let stream = self.stream(account, stream);
        stream.is_some_and(|stream| stream.lock().consumers.get(consumer).is_some())
    }
}
