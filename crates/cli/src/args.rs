//! The command line: the verbs, with what every one of them takes.

use clap::{Parser, Subcommand};

use crate::global::Global;
use crate::verbs;

/// NATS server and client in one.
#[derive(Debug, Parser)]
#[command(
    name = "natterjack",
    version,
    about = "NATS: server, client verbs, credentials, guided tour",
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the server: takes nats-server's flags, such as -js -sd DIR -p PORT -c FILE -m PORT -DV
    // Taken from the command line before clap sees it; here for the help.
    #[command(disable_help_flag = true)]
    Serve {
        /// Flags of nats-server; `serve --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Publish messages
    #[command(name = "pub", visible_alias = "publish")]
    Publish(verbs::publish::Publish),
    /// Subscribe, and print what comes
    #[command(name = "sub", visible_alias = "subscribe")]
    Subscribe(verbs::subscribe::Subscribe),
    /// Send a request and print the answer
    #[command(visible_alias = "req")]
    Request(verbs::request::Request),
    /// Answer requests
    Reply(verbs::reply::Reply),
    /// Key/Value buckets
    Kv {
        #[command(subcommand)]
        verb: verbs::kv::Verb,
    },
    /// Object Store buckets: files of any size
    #[command(visible_alias = "obj")]
    Object {
        #[command(subcommand)]
        verb: verbs::object::Verb,
    },
    /// Streams
    #[command(visible_aliases = ["str", "s"])]
    Stream {
        #[command(subcommand)]
        verb: verbs::stream::Stream,
    },
    /// Consumers of a stream
    #[command(visible_aliases = ["con", "c"])]
    Consumer {
        #[command(subcommand)]
        verb: verbs::consumer::Consumer,
    },
    /// Micro-services: who they are, what they do
    #[command(visible_alias = "micro")]
    Service {
        #[command(subcommand)]
        verb: verbs::service::Verb,
    },
    /// Show what servers and JetStream tell about themselves, as it happens
    #[command(visible_alias = "event")]
    Events(verbs::events::Events),
    /// Errors of the JetStream API
    #[command(visible_aliases = ["error", "err"])]
    Errors {
        #[command(subcommand)]
        verb: verbs::errors::Errors,
    },
    /// Show what a server does, on the whole screen
    Top(verbs::top::Top),
    /// Look for what is known to go wrong, and say what to do about it
    Doctor(verbs::doctor::Doctor),
    /// Say whether a server is well, for containers and load balancers
    Health(verbs::health::Health),
    /// Measure how long a message takes from one connection to another
    Latency(verbs::latency::Latency),
    /// Measure how much a server does, and how fast
    Bench(verbs::bench::Bench),
    /// Servers: checks for monitoring systems, lists and reports
    #[command(visible_aliases = ["srv", "sys", "system"])]
    Server {
        #[command(subcommand)]
        verb: verbs::server::Verb,
    },
    /// Connections by name, shared with the nats tool
    #[command(visible_alias = "ctx")]
    Context {
        #[command(subcommand)]
        verb: verbs::context::Verb,
    },
    /// Measure the round trip to each address of each server
    Rtt(verbs::rtt::Rtt),
    /// The account: connection, user, limits, JetStream
    #[command(visible_alias = "a")]
    Account {
        #[command(subcommand)]
        verb: verbs::account::Account,
    },
    /// Run the eight pairs of examples, break things, and check what they say
    Tour(crate::tour::Tour),
    /// Credentials
    Auth {
        #[command(subcommand)]
        verb: verbs::auth::Auth,
    },
    /// Configuration files of servers
    Config {
        #[command(subcommand)]
        verb: verbs::config::Config,
    },
    /// Write manual pages
    Man(verbs::man::Man),
    /// Write a completion script for a shell
    Completions(verbs::completions::Completions),
}
