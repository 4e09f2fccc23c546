//! `server check credential`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::result::{Metric, Report};
use crate::exit::{Failure, Outcome};
use crate::units;

/// When a credentials file expires.
#[derive(Debug, Args)]
pub(super) struct Credential {
    /// The file
    #[arg(long, value_name = "FILE")]
    credential: PathBuf,
    /// Warn when it expires within this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    validity_warn: Option<Duration>,
    /// Critical when it expires within this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    validity_critical: Option<Duration>,
    /// Credentials that never expire are good, too
    #[arg(long)]
    no_require_expiry: bool,
}

impl Credential {
    pub(super) fn run(&self, report: &mut Report) -> Outcome {
        let text = std::fs::read_to_string(&self.credential)
            .map_err(|error| Failure::usage(format!("credential not accessible: {error}")))?;
        let expires = expiry(&text).ok_or_else(|| Failure::usage("invalid credential"))?;
        let seconds = |span: Option<Duration>| span.map_or(0.0, |span| span.as_secs_f64());
        let (warn, critical) = (seconds(self.validity_warn), seconds(self.validity_critical));
        let Some(expires) = expires else {
            match self.no_require_expiry {
                true => report.ok("never expires"),
                false => report.critical("never expires"),
            }
            return Ok(());
        };
        let left = (expires - jiff::Timestamp::now().as_second()) as f64;
        let metric = Metric::new("expiry", left, "Expiry time in seconds").unit("s");
        report.metric(metric.limits(warn, critical));
        let within = |limit: f64| {
            format!("expires sooner than {}", units::duration(Duration::from_secs_f64(limit)))
        };
        if left <= 0.0 {
            let ago = units::duration(Duration::from_secs_f64(-left));
            report.critical(format!("expired {ago} ago"));
        } else if critical > 0.0 && left <= critical {
            report.critical(within(critical));
        } else if warn > 0.0 && left <= warn {
            report.warn(within(warn));
        } else {
            let left = units::duration(Duration::from_secs_f64(left));
            report.ok(format!("expires in {left}"));
        }
        Ok(())
    }
}

/// When the JWT of a credentials file expires, in seconds since 1970; `Some(None)` is never.
fn expiry(text: &str) -> Option<Option<i64>> {
    let jwt = text.lines().map(str::trim).find(|line| line.split('.').count() == 3)?;
    let body = jwt.split('.').nth(1)?;
    let body = data_encoding::BASE64URL_NOPAD.decode(body.as_bytes()).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&body).ok()?;
    claims.get("sub")?;
    Some(claims.get("exp").and_then(serde_json::Value::as_i64).filter(|at| *at > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_stands_in_the_second_part() {
        let jwt = |claims: &str| {
            let part = data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes());
            format!(
                "-----BEGIN NATS USER JWT-----\r\ne30.{part}.c2ln\r\n------END NATS USER JWT------"
            )
        };
        assert_eq!(expiry(&jwt(r#"{"sub":"U","exp":7}"#)), Some(Some(7)));
        assert_eq!(expiry(&jwt(r#"{"sub":"U"}"#)), Some(None));
        assert_eq!(expiry(&jwt("[]")), None);
        assert_eq!(expiry("no credentials"), None);
    }
}
