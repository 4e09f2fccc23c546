//! `server check kv`.

use bytes::Bytes;
use clap::Args;
use natterjack::Error;
use natterjack::codec::Binary;

use super::result::{Metric, Report};
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::{int, number};

/// A Key/Value bucket, and a key in it.
#[derive(Debug, Args)]
pub(super) struct Kv {
    /// Name of the bucket
    #[arg(long, value_name = "NAME")]
    bucket: String,
    /// Critical at so many values; or fewer, if it is less than the warning number
    #[arg(long, default_value_t = -1, value_name = "N", allow_negative_numbers = true)]
    values_critical: i64,
    /// Warn at so many values; or fewer, if it is more than the critical number
    #[arg(long, default_value_t = -1, value_name = "N", allow_negative_numbers = true)]
    values_warn: i64,
    /// Critical when this key has no value
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Kv {
    pub(super) fn name(&self) -> &str {
        &self.bucket
    }

    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let connector = context.connect().await?;
        let builder = context.jetstream(&connector).kv::<Bytes>(&self.bucket).codec(Binary);
        let kv = match builder.get().await.map_err(Error::from) {
            Ok(kv) => kv,
            Err(Error::NotFound(_)) => {
                report.critical(format!("bucket {} not found", self.bucket));
                return Ok(());
            }
            Err(error) => return Err(Failure::from(error)),
        };
        report.ok(format!("bucket {}", self.bucket));
        let info = kv.status().await?.raw;
        let values = number(&info, "/state/messages");
        let (warn, critical) = (self.values_warn as f64, self.values_critical as f64);
        let help = "How many values are stored in the bucket";
        report.metric(Metric::new("values", values as f64, help).limits(warn, critical));
        if let Some(key) = &self.key {
            match kv.get(key).await? {
                Some(_) => report.ok(format!("key {key} found")),
                None => report.critical(format!("key {key} not found")),
            }
        }
        self.count(values, report);
        let bytes = number(&info, "/state/bytes") as f64;
        report.metric(Metric::new("bytes", bytes, "Bytes stored in the bucket").unit("B"));
        report.metric(Metric::new("replicas", int(&info, "/config/num_replicas") as f64, ""));
        connector.close().await?;
        Ok(())
    }

    /// Here 0 is a limit, and -1 none.
    fn count(&self, values: u64, report: &mut Report) {
        let (warn, critical) = (self.values_warn, self.values_critical);
        let values = i64::try_from(values).unwrap_or(i64::MAX);
        let low = warn >= 0 && critical < warn;
        let reached =
            |limit: i64| limit >= 0 && if low { values <= limit } else { values >= limit };
        let text = format!("{values} values");
        match (warn >= 0 || critical >= 0, reached(critical), reached(warn)) {
            (false, ..) => {}
            (true, true, _) => report.critical(text),
            (true, false, true) => report.warn(text),
            (true, false, false) => report.ok(text),
        }
    }
}
