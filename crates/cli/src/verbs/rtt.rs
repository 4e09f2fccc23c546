//! `natterjack rtt`: the round trip to each address of each server.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::units;

/// Measure the round trip to each address of each server.
#[derive(Debug, Args)]
pub(crate) struct Rtt {
    /// Round trips to average
    #[arg(default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

impl Rtt {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let mut last = None;
        let mut answered = false;
        for server in context.servers()? {
            if !out.json {
                out.line(format!("{}:\n", without_login(&server)));
            }
            for address in addresses(&server).await {
                let shown = without_login(&address);
                match self.measure(context, &address).await {
                    Ok(rtt) => {
                        answered = true;
                        if out.json {
                            let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
                            let server = without_login(&server);
                            out.object(
                                &json!({"server": server, "address": shown, "rtt_ns": nanos}),
                            );
                        } else {
                            out.line(format!("  {shown}: {}", units::duration(rtt)));
                        }
                    }
                    Err(failure) => {
                        if out.json {
                            let mut object = failure.json();
                            object["server"] = without_login(&server).into();
                            object["address"] = shown.into();
                            out.object(&object);
                        } else {
                            out.line(format!("  {shown}: {}", failure.message));
                        }
                        last = Some(failure);
                    }
                }
            }
            if !out.json {
                out.line("");
            }
        }
        match last {
            Some(failure) if answered => {
                Err(Failure { exit: crate::exit::status::PARTLY, ..failure })
            }
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    async fn measure(&self, context: &Context, address: &str) -> Result<Duration, Failure> {
        let connector = context.connect_to(address).await?;
        let mut total = Duration::ZERO;
        for _ in 0..self.count {
            total += connector.rtt().await?;
        }
        connector.close().await?;
        Ok(total / self.count)
    }
}

/// A server's URL with each address that its name has. Servers with TLS keep their name, which the
/// certificate is checked against.
async fn addresses(server: &str) -> Vec<String> {
    let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
    let (login, host) = match rest.rsplit_once('@') {
        Some((login, host)) => (format!("{login}@"), host),
        None => (String::new(), rest),
    };
    let host = host.trim_end_matches('/');
    let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
        (!name.contains(':') || name.ends_with(']')) && port.parse::<u16>().is_ok()
    });
    let host = if has_port { host.to_owned() } else { format!("{host}:4222") };
    if scheme != "nats" {
        return vec![server.to_owned()];
    }
    match tokio::net::lookup_host(&host).await {
        Ok(found) => found.map(|address| format!("nats://{login}{address}")).collect(),
        // The attempt to connect says why.
        Err(_) => vec![server.to_owned()],
    }
}

fn without_login(server: &str) -> String {
    let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_not_shown() {
        assert_eq!(without_login("nats://u:p@h:1"), "nats://h:1");
        assert_eq!(without_login("h:1"), "nats://h:1");
    }
}
