//! Connection, clock, credentials, permissions, slow clients.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use natterjack::codec::Binary;
use natterjack::{Connector, Error};
use serde_json::Value;

use super::super::server::ask;
use super::Finding;
use crate::api::Api;
use crate::connect::Context;
use crate::exit::Failure;
use crate::json::{flag, number, text};
use crate::monitor::Monitor;
use crate::units;

/// Clocks that differ by less are as good as can be measured over a network.
const SKEW_WARN: Duration = Duration::from_secs(2);

/// Clocks that differ by more make JWTs invalid and ages of messages wrong.
const SKEW_FAIL: Duration = Duration::from_secs(60);

/// A connection to be looked at.
pub(super) struct Patient<'a> {
    pub(super) context: &'a Context,
    pub(super) connector: &'a Connector,
}

/// What the server says about the user, and when it said so.
pub(super) struct User {
    /// `None` if it does not answer.
    answer: Option<Value>,
    /// In the middle of the round trip.
    at: SystemTime,
}

impl Patient<'_> {
    pub(super) fn api(&self) -> Api {
        Api::new(self.connector, self.context)
    }

    pub(super) async fn connection(&self, rtt_warn: Duration) -> Result<Vec<Finding>, Failure> {
        let info = self.connector.raw()?.server_info();
        let address = self.connector.server().map(|server| server.address).unwrap_or_default();
        let server = format!("{} v{}", info.server_name, info.version);
        let mut findings = vec![Finding::ok("connection", format!("{address}, server {server}"))];
        findings.push(match self.connector.rtt().await {
            Ok(rtt) if rtt > rtt_warn => Finding::warn(
                "round trip",
                units::duration(rtt),
                "look at the network and at the server's load; or connect to a nearer server",
            ),
            Ok(rtt) => Finding::ok("round trip", units::duration(rtt)),
            Err(error) => Finding::failed("round trip", &error.into()),
        });
        Ok(findings)
    }

    /// Asks what the server knows of this user (servers from 2.10 on).
    pub(super) async fn user(&self) -> User {
        let before = SystemTime::now();
        let ask = self.connector.ask("$SYS.REQ.USER.INFO").codec(Binary);
        let answer = ask.send_msg::<[u8], Bytes>(b"").await;
        let half = before.elapsed().unwrap_or_default() / 2;
        let answer = answer.ok().and_then(|answer| serde_json::from_slice(&answer.payload).ok());
        User { answer, at: before + half }
    }

    /// A message to oneself needs what every request needs.
    pub(super) async fn permissions(&self) -> Result<Finding, Failure> {
        let look = "permissions";
        let inbox = self.connector.raw()?.new_inbox();
        let denied = |what: &str, error: Error| match error {
            Error::PermissionDenied(_) => Finding::fail(
                look,
                format!("the user may not {what} inboxes ({inbox})"),
                "allow `_INBOX.>` to the user, or use the --inbox-prefix that is allowed",
            ),
            error => Finding::failed(look, &error.into()),
        };
        let mut own = match self.connector.on(&inbox).codec(Binary).open::<Bytes>().await {
            Ok(own) => own,
            Err(error) => return Ok(denied("subscribe to", error.into())),
        };
        let sent = self.connector.to(&inbox).codec(Binary).confirmed().send(b"look").await;
        let limit = self.context.timeout()?;
        Ok(match sent.map_err(Error::from) {
            // Who answers requests needs this; who asks does not.
            Err(Error::PermissionDenied(_)) => Finding::warn(
                look,
                "the user may not publish to inboxes, so it cannot answer requests",
                "allow it to publish to `_INBOX.>`, or `allow_responses`, if it has to answer",
            ),
            Err(error) => denied("publish to", error),
            Ok(()) => match tokio::time::timeout(limit, own.next()).await {
                Ok(Some(Ok(_))) => Finding::ok(look, "may subscribe and publish to its inboxes"),
                _ => Finding::fail(
                    look,
                    "a message to its own inbox did not arrive",
                    "see the server's log; a longer --timeout, if it is far away",
                ),
            },
        })
    }

    /// Clients that the server has cut off, because they did not read what they had asked for.
    pub(super) async fn slow_consumers(&self) -> Finding {
        let look = "slow clients";
        let subject = "$SYS.REQ.ACCOUNT.PING.STATZ";
        let answers = ask(self.context, self.connector, subject, &Value::Null, None).await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(failure) => return Finding::unknown(look, failure.message),
        };
        let mut slow = 0;
        for answer in &answers {
            let accounts = answer.value.pointer("/data/account_statz").and_then(Value::as_array);
            slow += accounts
                .into_iter()
                .flatten()
                .map(|account| number(account, "/slow_consumers"))
                .sum::<u64>();
        }
        match slow {
            0 => Finding::ok(look, "none was cut off"),
            slow => {
                let count = units::count(slow);
                Finding::warn(look, format!("{count} cut off since the server began"), SLOW_FIX)
            }
        }
    }
}

const SLOW_FIX: &str = "read faster, share the work in a queue group, or raise the server's \
                        max_pending; `natterjack top` shows whose bytes wait";

/// Whether server and this machine agree on the time.
pub(super) fn clock(user: &User) -> Finding {
    let look = "clock";
    let Some(answer) = &user.answer else {
        return Finding::unknown(look, "the server does not say its time");
    };
    let Ok(time) = text(answer, "/server/time").parse::<jiff::Timestamp>() else {
        return Finding::unknown(look, "the server does not say its time");
    };
    let time = SystemTime::from(time);
    let (skew, words) = match time.duration_since(user.at) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let found =
        format!("the server's clock is {} {words} that of this machine", units::duration(skew));
    let fix = "let both take the time from the network (NTP); what expires depends on it";
    match skew {
        skew if skew >= SKEW_FAIL => Finding::fail(look, found, fix),
        skew if skew >= SKEW_WARN => Finding::warn(look, found, fix),
        _ => Finding::ok(look, "the server's clock and that of this machine agree"),
    }
}

/// How long the login is valid.
pub(super) fn credentials(user: &User, warn: Duration) -> Finding {
    let look = "credentials";
    let Some(answer) = &user.answer else {
        return Finding::unknown(look, "the server does not say who the user is");
    };
    let who = match text(answer, "/data/user") {
        "" => "no login".to_owned(),
        name => format!("user {name} of account {}", text(answer, "/data/account")),
    };
    match number(answer, "/data/expires") {
        0 => Finding::ok(look, format!("{who}, never expires")),
        nanos => {
            let left = Duration::from_nanos(nanos);
            let found = format!("{who}, expires in {}", units::duration(left));
            match left <= warn {
                true => Finding::warn(
                    look,
                    found,
                    "issue new credentials; programs take a replaced file at their next reconnect",
                ),
                false => Finding::ok(look, found),
            }
        }
    }
}

/// What a monitoring port tells of the whole server.
pub(super) async fn monitor(monitor: &Monitor) -> Vec<Finding> {
    let health = match monitor.get("/healthz").await {
        Ok((_, health)) => match text(&health, "/status") {
            "ok" => Finding::ok("health", "the server says it is well"),
            status => Finding::fail(
                "health",
                format!("{status}: {}", text(&health, "/error")),
                "see the server's log",
            ),
        },
        Err(failure) => return vec![Finding::failed("health", &failure)],
    };
    let mut findings = vec![health];
    let varz = match monitor.get("/varz").await {
        Ok((_, varz)) => varz,
        Err(failure) => {
            findings.push(Finding::failed("server", &failure));
            return findings;
        }
    };
    let slow = number(&varz, "/slow_consumers");
    findings.push(match slow {
        0 => Finding::ok("all clients", "none was cut off"),
        slow => {
            let count = units::count(slow);
            Finding::warn(
                "all clients",
                format!("{count} cut off since the server began"),
                SLOW_FIX,
            )
        }
    });
    let (used, most) = (number(&varz, "/connections"), number(&varz, "/max_connections"));
    let found = format!("{} of {} connections", units::count(used), units::count(most));
    findings.push(match most > 0 && used.saturating_mul(10) >= most.saturating_mul(9) {
        true => Finding::warn("room", found, "raise max_connections"),
        false => Finding::ok("room", found),
    });
    if !flag(&varz, "/auth_required") && !is_local(text(&varz, "/host")) {
        findings.push(Finding::warn(
            "open door",
            format!("no login is asked for on {}", text(&varz, "/host")),
            "configure users, or listen on 127.0.0.1 only",
        ));
    }
    findings
}

fn is_local(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "::1" | "localhost")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Verdict;
    use super::*;

    fn user(answer: Value) -> User {
        User { answer: Some(answer), at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) }
    }

    #[test]
    fn clocks_may_differ_by_a_little() {
        for (time, verdict, words) in [
            ("1970-01-12T13:46:41Z", Verdict::Ok, "agree"),
            ("1970-01-12T13:46:45Z", Verdict::Warn, "5.00s ahead of"),
            ("1970-01-12T12:46:40Z", Verdict::Fail, "1h0m0s behind"),
            ("nonsense", Verdict::Unknown, "does not say"),
        ] {
            let finding = clock(&user(json!({"server": {"time": time}})));
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn a_login_is_to_last_for_a_while() {
        let week = Duration::from_secs(7 * 86_400);
        let of = |nanos: u64| {
            let answer = json!({"data": {"user": "u", "account": "A", "expires": nanos}});
            credentials(&user(answer), week).verdict
        };
        assert_eq!(of(0), Verdict::Ok);
        assert_eq!(of(3_600_000_000_000), Verdict::Warn);
        assert_eq!(of(30 * 86_400_000_000_000), Verdict::Ok);
    }
}
