//! What monitoring shows of streams and their consumers.

use std::sync::Arc;

use super::JetStream;
use crate::consumer::ConsumerInfo;
use crate::host::Host;
use crate::stream::{Details, StreamCell, StreamInfo};
use crate::time::Now;

impl JetStream {
    /// The streams of `account` by name, as `STREAM.INFO` shows them; with `consumers`, also what
    /// `CONSUMER.INFO` shows of each consumer. Empty when the account never had JetStream.
    pub fn stream_reports(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &str,
        consumers: bool,
    ) -> Vec<(StreamInfo, Vec<ConsumerInfo>)> {
        let Some(account) = self.account(account) else { return Vec::new() };
        let details = Details { leader: true, ..Details::default() };
        let report = |cell: Arc<StreamCell>| {
            let (info, _) = cell.info(now, &details);
            let mut of = Vec::new();
            if consumers {
                let mut stream = cell.lock();
                let names: Vec<String> = stream.consumers.listed().map(str::to_owned).collect();
                of.extend(
                    names.iter().filter_map(|name| stream.consumer_info(host, now, name, true)),
                );
            }
            (info, of)
        };
        account.all_streams().into_iter().map(report).collect()
    }

    /// Whether a stream has a consumer of this name.
    pub fn has_consumer(&self, account: &str, stream: &str, consumer: &str) -> bool {
        let stream = self.stream(account, stream);
        stream.is_some_and(|stream| stream.lock().consumers.listed().any(|name| name == consumer))
    }
}
