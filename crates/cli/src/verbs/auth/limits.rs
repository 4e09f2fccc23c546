//! Options for what users and accounts may do.

use std::time::Duration;

use clap::{Args, ValueEnum};
use natterjack_core::auth::is_network;
use natterjack_core::jwt::{
    AccountClaimLimits, JetStreamClaimLimits, ResponseClaims, UserPermissionLimits,
};

use crate::exit::{Failure, Outcome};
use crate::units;

/// What a user may do. Lists replace what was there; an empty text clears them.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Permissions")]
pub(super) struct Permissions {
    /// Subjects that may be published to, may be given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    pub_allow: Option<Vec<String>>,
    /// Subjects that may not be published to, may be given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    pub_deny: Option<Vec<String>>,
    /// Subjects that may be subscribed to, may be given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    sub_allow: Option<Vec<String>>,
    /// Subjects that may not be subscribed to, may be given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    sub_deny: Option<Vec<String>>,
    /// Answers to each request that it receives, wherever they go; -1 is any number
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    response_max: Option<i64>,
    /// How long it may answer a request
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, requires = "response_max")]
    response_ttl: Option<Duration>,
    /// Most subscriptions; -1 is no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    subscriptions: Option<i64>,
    /// Largest message; -1 is no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = units::parse_size)]
    payload: Option<i64>,
    /// Networks that it may come from, as 10.0.0.0/8
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    source: Option<Vec<String>>,
    /// Kinds of connections that it may use
    #[arg(long, value_name = "KIND", value_delimiter = ',', ignore_case = true)]
    connection: Option<Vec<Connection>>,
    /// The token alone is enough to log in, without the seed
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    bearer: Option<bool>,
}

/// Kinds of connections, as servers name them.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
enum Connection {
    Standard,
    Websocket,
    Leafnode,
    LeafnodeWs,
    Mqtt,
    MqttWs,
    InProcess,
}

impl Permissions {
    /// Whether anything is asked for.
    pub(super) fn is_set(&self) -> bool {
        self.pub_allow.is_some()
            || self.pub_deny.is_some()
            || self.sub_allow.is_some()
            || self.sub_deny.is_some()
            || self.response_max.is_some()
            || self.subscriptions.is_some()
            || self.payload.is_some()
            || self.source.is_some()
            || self.connection.is_some()
            || self.bearer.is_some()
    }

    /// Puts what is asked for in the place of what is there.
    ///
    /// # Errors
    /// A subject or a network is none.
    pub(super) fn apply(&self, to: &mut UserPermissionLimits) -> Outcome {
        for (given, place) in [
            (&self.pub_allow, &mut to.publish.allow),
            (&self.pub_deny, &mut to.publish.deny),
            (&self.sub_allow, &mut to.subscribe.allow),
            (&self.sub_deny, &mut to.subscribe.deny),
        ] {
            if let Some(subjects) = given {
                *place = subjects.iter().filter(|one| !one.is_empty()).cloned().collect();
                place.iter().try_for_each(|subject| check(subject))?;
            }
        }
        if let Some(max) = self.response_max {
            let ttl = self.response_ttl.unwrap_or_default();
            let ttl = i64::try_from(ttl.as_nanos())
                .map_err(|_| Failure::usage("--response-ttl is too long"))?;
            to.responses = (max != 0).then_some(ResponseClaims { max, ttl });
        }
        if let Some(networks) = &self.source {
            to.src = networks.iter().filter(|one| !one.is_empty()).cloned().collect();
            // One that cannot be read keeps a user out from everywhere.
            if let Some(bad) = to.src.iter().find(|network| !is_network(network)) {
                return Err(Failure::usage(format!("`{bad}` is no network"))
                    .hint("an address and the bits that count, as 10.0.0.0/8 or 10.1.2.3/32"));
            }
        }
        if let Some(kinds) = &self.connection {
            let name =
                |kind: &Connection| kind.to_possible_value().map(|v| v.get_name().to_owned());
            to.allowed_connection_types = kinds.iter().filter_map(name).collect();
        }
        for (given, place) in [(self.subscriptions, &mut to.subs), (self.payload, &mut to.payload)]
        {
            *place = given.unwrap_or(*place);
        }
        to.bearer_token = self.bearer.unwrap_or(to.bearer_token);
        Ok(())
    }
}

/// Subjects may have a queue group behind them, and variables of roles in them.
fn check(subject: &str) -> Outcome {
    let mut words = subject.split(' ');
    let first = words.next().unwrap_or_default();
    let plain = first.replace("{{", "").replace("}}", "");
    let good = natterjack_subject::is_valid_subscription(plain.as_bytes())
        && words.next().is_none_or(|queue| !queue.is_empty())
        && words.next().is_none();
    match good {
        true => Ok(()),
        false => Err(Failure::usage(format!("`{subject}` is no subject"))
            .hint("tokens with dots between, as orders.* or orders.>")),
    }
}

/// What an account may use; -1 is no limit.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Limits {
    /// Most connections of clients
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    connections: Option<i64>,
    /// Most connections of leafnodes
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    leafnodes: Option<i64>,
    /// Most subscriptions
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    subscriptions: Option<i64>,
    /// Largest message
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = units::parse_size)]
    payload: Option<i64>,
    /// Most imports
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    imports: Option<i64>,
    /// Most exports
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    exports: Option<i64>,
    /// Whether users may log in with a token alone
    #[arg(long, value_name = "YES")]
    bearer: Option<bool>,
    /// JetStream without limits, or with those that follow; `false` takes it away
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    jetstream: Option<bool>,
    /// JetStream's bytes on disk
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = units::parse_size)]
    js_disk: Option<i64>,
    /// JetStream's bytes in memory
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = units::parse_size)]
    js_memory: Option<i64>,
    /// Most streams
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    js_streams: Option<i64>,
    /// Most consumers
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    js_consumers: Option<i64>,
}

impl Limits {
    /// Puts what is asked for in the place of what is there.
    pub(super) fn apply(&self, to: &mut AccountClaimLimits) {
        match self.jetstream {
            Some(true) => to.jetstream = JetStreamClaimLimits::unlimited(),
            Some(false) => to.jetstream = JetStreamClaimLimits::default(),
            None => {}
        }
        for (given, place) in [
            (self.connections, &mut to.conn),
            (self.leafnodes, &mut to.leaf),
            (self.subscriptions, &mut to.subs),
            (self.payload, &mut to.payload),
            (self.imports, &mut to.imports),
            (self.exports, &mut to.exports),
            (self.js_disk, &mut to.jetstream.disk_storage),
            (self.js_memory, &mut to.jetstream.mem_storage),
            (self.js_streams, &mut to.jetstream.streams),
            (self.js_consumers, &mut to.jetstream.consumer),
        ] {
            *place = given.unwrap_or(*place);
        }
        to.disallow_bearer = self.bearer.map_or(to.disallow_bearer, |bearer| !bearer);
    }
}
