//! `natterjack consumer add` and `copy`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::fields::Fields;
use super::{Name, consumer_info, nearest_consumer, pause, sheet};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::text;
use crate::units;
use crate::verbs::stream::{check_name, config_from, nanos};

/// Make a consumer. What is not given has the server's default; nothing is asked.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Name of the consumer; with --config it may stand there, with --ephemeral it is not needed
    consumer: Option<String>,
    /// Clients ask for messages (the default without --target)
    #[arg(long, conflicts_with = "target")]
    pull: bool,
    /// Remove it when nobody uses it any more
    #[arg(long)]
    ephemeral: bool,
    /// Where to begin: all, new, last, subject, a sequence, or an age such as 1h (all)
    #[arg(long, value_name = "POLICY")]
    deliver: Option<String>,
    /// As fast as possible, or as slow as messages came (instant)
    #[arg(long, value_name = "POLICY")]
    replay: Option<Replay>,
    /// Queue group of a push consumer
    #[arg(long, value_name = "GROUP", requires = "target")]
    deliver_group: Option<String>,
    /// Have a push consumer wait for slow clients
    #[arg(long, requires = "target")]
    flow_control: bool,
    /// How often a push consumer says that it is there
    #[arg(long, value_name = "DURATION", requires = "target", value_parser = units::parse_duration)]
    heartbeat: Option<Duration>,
    /// Pull requests that may wait at once
    #[arg(long, value_name = "N")]
    max_waiting: Option<i64>,
    /// Keep its state in memory
    #[arg(long)]
    memory: bool,
    /// Begin later: after a span, or at a time
    #[arg(long, value_name = "UNTIL")]
    pause: Option<String>,
    /// Priority groups of which one client at a time is served
    #[arg(long, value_name = "GROUP", value_delimiter = ',', group = "priority")]
    pinned_groups: Vec<String>,
    /// How long a served client may be silent
    #[arg(long, value_name = "DURATION", requires = "pinned_groups", value_parser = units::parse_duration)]
    pinned_ttl: Option<Duration>,
    /// Priority groups that are served when there is much to do
    #[arg(long, value_name = "GROUP", value_delimiter = ',', group = "priority")]
    overflow_groups: Vec<String>,
    /// Priority groups that are served in the order of their priority
    #[arg(long, value_name = "GROUP", value_delimiter = ',', group = "priority")]
    prioritized_groups: Vec<String>,
    #[command(flatten)]
    fields: Fields,
    /// JSON file with a configuration; options change it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Taken for the nats tool's sake: nothing is asked anyway
    #[arg(long, hide = true)]
    defaults: bool,
    /// Print the configuration instead of making the consumer
    #[arg(long)]
    dry_run: bool,
}

/// Make a consumer with the configuration of another one.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Name of the consumer to copy
    #[arg(id = "consumer", add = complete::consumers())]
    source: String,
    /// Name of the new consumer
    destination: String,
    #[command(flatten)]
    fields: Fields,
    /// Print the configuration instead of making the consumer
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Replay {
    Instant,
    Original,
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let config = self.configuration()?;
        let connector = match self.dry_run {
            true => {
                context.out.document(&config);
                return Ok(());
            }
            false => context.connect().await?,
        };
        let api = Api::new(&connector, context);
        create(context, &api, &self.stream, &config).await?;
        connector.close().await?;
        Ok(())
    }

    fn configuration(&self) -> Result<Value, Failure> {
        let mut config = match &self.config {
            Some(path) => config_from(path)?,
            None => json!({
                "ack_policy": "explicit",
                "deliver_policy": "all",
                "replay_policy": "instant",
                "max_deliver": -1,
                "num_replicas": 0,
            }),
        };
        self.name(&mut config)?;
        if let Some(policy) = &self.deliver {
            deliver(policy, &mut config)?;
        }
        if let Some(replay) = self.replay {
            config["replay_policy"] = match replay {
                Replay::Instant => "instant",
                Replay::Original => "original",
            }
            .into();
        }
        if let Some(group) = &self.deliver_group {
            config["deliver_group"] = group.as_str().into();
        }
        for (name, on) in [("flow_control", self.flow_control), ("mem_storage", self.memory)] {
            if on {
                config[name] = true.into();
            }
        }
        // Flow control is asked for in heartbeats: without them a client would not know.
        let heartbeat = self.heartbeat.or(self.flow_control.then_some(Duration::from_secs(30)));
        for (name, value) in
            [("idle_heartbeat", heartbeat.map(nanos)), ("max_waiting", self.max_waiting)]
        {
            if let Some(value) = value {
                config[name] = value.into();
            }
        }
        if let Some(until) = &self.pause {
            config["pause_until"] = pause::moment(until)?.to_string().into();
        }
        for (policy, groups) in [
            ("pinned_client", &self.pinned_groups),
            ("overflow", &self.overflow_groups),
            ("prioritized", &self.prioritized_groups),
        ] {
            if !groups.is_empty() {
                config["priority_policy"] = policy.into();
                config["priority_groups"] = json!(groups);
            }
        }
        if let Some(span) = self.pinned_ttl {
            config["priority_timeout"] = nanos(span).into();
        }
        self.fields.apply(&mut config)?;
        // The last of each subject is asked for by naming the subjects; all of them by this.
        let unfiltered = ["/filter_subject", "/filter_subjects"]
            .iter()
            .all(|filter| config.pointer(filter).is_none());
        if unfiltered && text(&config, "/deliver_policy") == "last_per_subject" {
            config["filter_subject"] = ">".into();
        }
        if self.fields.target().is_some()
            && let Some(object) = config.as_object_mut()
        {
            object.remove("max_waiting");
        }
        Ok(config)
    }

    /// The name, and whether it lasts.
    fn name(&self, config: &mut Value) -> Outcome {
        let name = match (&self.consumer, text(config, "/name"), text(config, "/durable_name")) {
            (Some(name), ..) => name.clone(),
            (None, "", "") if self.ephemeral => random_name(),
            (None, "", "") => {
                return Err(Failure::usage("a consumer needs a name").hint(format!(
                    "natterjack consumer add {} NAME, or --ephemeral",
                    self.stream
                )));
            }
            (None, "", durable) => durable.to_owned(),
            (None, name, _) => name.to_owned(),
        };
        check_name("consumer", &name)?;
        let was_ephemeral = self.config.is_some() && text(config, "/durable_name").is_empty();
        config["name"] = name.as_str().into();
        if self.ephemeral {
            if let Some(object) = config.as_object_mut() {
                object.remove("durable_name");
            }
        } else if !was_ephemeral {
            config["durable_name"] = name.into();
        }
        Ok(())
    }
}

impl Copy {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        check_name("consumer", &self.destination)?;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let source = Name { stream: self.stream.clone(), consumer: self.source };
        let mut config = consumer_info(&api, &source).await?["config"].take();
        config["name"] = self.destination.as_str().into();
        if !text(&config, "/durable_name").is_empty() {
            config["durable_name"] = self.destination.as_str().into();
        }
        if !text(&config, "/deliver_subject").is_empty() && self.fields.target().is_none() {
            return Err(Failure::usage("two push consumers must not deliver to the same subject")
                .hint("give the new one its --target"));
        }
        if let Some(metadata) = config["metadata"].as_object_mut() {
            metadata.retain(|key, _| !key.starts_with("_nats."));
        }
        self.fields.apply(&mut config)?;
        if self.dry_run {
            context.out.document(&config);
            return Ok(());
        }
        create(context, &api, &self.stream, &config).await?;
        connector.close().await?;
        Ok(())
    }
}

async fn create(context: &Context, api: &Api, stream: &str, config: &Value) -> Outcome {
    let info = store(api, stream, config, "create").await?;
    if context.out.json {
        context.out.document(&info);
    } else {
        let name = text(&info, "/name");
        context.out.say(format!("Consumer {stream} > {name} was created\n"));
        sheet::sheet(&info).print(&context.out);
    }
    Ok(())
}

/// Makes a consumer (`create`) or changes one (`update`), and returns the server's object.
pub(super) async fn store(
    api: &Api,
    stream: &str,
    config: &Value,
    action: &str,
) -> Result<Value, Failure> {
    check_name("stream", stream)?;
    let name = text(config, "/name");
    // A single filter stands in the subject, so that permissions may rest on it; one with wildcards
    // could not be sent to.
    let call = match text(config, "/filter_subject") {
        filter if filter.is_empty() || filter.contains(['*', '>']) => {
            format!("CONSUMER.CREATE.{stream}.{name}")
        }
        filter => format!("CONSUMER.CREATE.{stream}.{name}.{filter}"),
    };
    let body = json!({ "stream_name": stream, "config": config, "action": action });
    match api.ask(&call, &body).await {
        Ok(info) => Ok(info),
        Err(failure) => Err(nearest_consumer(api, failure, stream, name).await),
    }
}

/// Where a consumer begins.
fn deliver(policy: &str, config: &mut Value) -> Outcome {
    let word = match policy {
        "all" | "new" | "last" => policy,
        "subject" | "last_per_subject" | "last-per-subject" => "last_per_subject",
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let seq: u64 = number.parse().map_err(|_| {
                Failure::usage(format!("--deliver {number}: the sequence is too large"))
            })?;
            config["opt_start_seq"] = seq.into();
            "by_start_sequence"
        }
        span => {
            let span = units::parse_duration(span).map_err(|_| {
                Failure::usage(format!("--deliver {policy}?"))
                    .hint("all, new, last, subject, a sequence, or an age such as 1h")
            })?;
            let start = Timestamp::now()
                .checked_sub(span)
                .map_err(|_| Failure::usage(format!("--deliver {policy}: that is too long ago")))?;
            config["opt_start_time"] = start.to_string().into();
            "by_start_time"
        }
    };
    config["deliver_policy"] = word.into();
    Ok(())
}

/// A name for a consumer that nobody has to remember.
fn random_name() -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut rng = rand::rng();
    (0..12).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_begins_where_one_says() {
        let begin = |policy: &str| {
            let mut config = json!({});
            deliver(policy, &mut config).map(|()| config)
        };
        assert_eq!(begin("new").unwrap()["deliver_policy"], "new");
        assert_eq!(begin("subject").unwrap()["deliver_policy"], "last_per_subject");
        let seq = begin("10").unwrap();
        assert_eq!(
            (&seq["deliver_policy"], &seq["opt_start_seq"]),
            (&"by_start_sequence".into(), &10.into())
        );
        let hour = begin("1h").unwrap();
        assert_eq!(hour["deliver_policy"], "by_start_time");
        let start: Timestamp = hour["opt_start_time"].as_str().unwrap().parse().unwrap();
        let ago = Timestamp::now().as_second() - start.as_second();
        assert!((3600..3610).contains(&ago));
        assert!(begin("some").is_err());
    }
}
