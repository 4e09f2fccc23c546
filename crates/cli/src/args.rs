//! The command line: what every verb takes, and the verbs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::complete;
use crate::output::{ColorChoice, Format, Scheme};
use crate::units;
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

/// Options of every verb. Strongest first: option, environment, context.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Servers, separated by commas [env: NATS_URL]
    #[arg(short, long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// User name; without a password it is a token [env: NATS_USER]
    #[arg(long, global = true, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Password [env: NATS_PASSWORD]
    #[arg(long, global = true, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Token [env: NATS_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Credentials file [env: NATS_CREDS]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// File with an nkey seed [env: NATS_NKEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// User JWT, as text or file [env: NATS_JWT]
    #[arg(long, global = true, value_name = "JWT")]
    pub(crate) jwt: Option<String>,
    /// Seed of the JWT's user, as text or file [env: NATS_SEED]
    #[arg(long, global = true, value_name = "SEED")]
    pub(crate) seed: Option<String>,
    /// Client certificate file [env: NATS_CERT]
    #[arg(long, global = true, value_name = "FILE", requires = "tlskey")]
    pub(crate) tlscert: Option<PathBuf>,
    /// Key file of the client certificate [env: NATS_KEY]
    #[arg(long, global = true, value_name = "FILE", requires = "tlscert")]
    pub(crate) tlskey: Option<PathBuf>,
    /// File of certificate authorities to trust [env: NATS_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tlsca: Option<PathBuf>,
    /// Start TLS before the server says anything
    #[arg(long, global = true)]
    pub(crate) tlsfirst: bool,
    /// How long to wait for connections and answers (5s) [env: NATS_TIMEOUT]
    #[arg(long, global = true, value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// SOCKS5 proxy that servers are reached through [env: NATS_SOCKS_PROXY]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) socks_proxy: Option<String>,
    /// JetStream domain
    #[arg(long, global = true, value_name = "DOMAIN")]
    pub(crate) js_domain: Option<String>,
    /// Subject prefix of the JetStream API, when it is imported under another name
    #[arg(long, global = true, value_name = "PREFIX", conflicts_with = "js_domain")]
    pub(crate) js_api_prefix: Option<String>,
    /// Subject prefix of JetStream's events ($JS.EVENT)
    #[arg(long, global = true, value_name = "PREFIX")]
    pub(crate) js_event_prefix: Option<String>,
    /// First tokens of reply subjects (_INBOX)
    #[arg(long, global = true, value_name = "PREFIX")]
    pub(crate) inbox_prefix: Option<String>,
    /// Name of the connection in the server's monitoring
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) connection_name: Option<String>,
    /// Context of the `nats` tool: its name or file [env: NATS_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", add = complete::contexts())]
    pub(crate) context: Option<String>,
    /// Use no context, not even the selected one
    #[arg(long, global = true, conflicts_with = "context")]
    pub(crate) no_context: bool,
    /// Show JetStream API requests and answers
    #[arg(long, global = true)]
    pub(crate) trace: bool,
    /// Write JSON: a document, or an object per line while things happen
    #[arg(short = 'j', long, global = true)]
    pub(crate) json: bool,
    /// How tables are written [env: NATS_TABLE_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", env = "NATS_TABLE_FORMAT", hide_env = true)]
    pub(crate) output: Option<Format>,
    /// When to colour; NO_COLOR is obeyed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// Colours of tables: names of colours, or none [env: NATS_COLOR]
    #[arg(long, global = true, value_name = "SCHEME")]
    pub(crate) colors: Option<Scheme>,
    /// Write data only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Show more, and log what the connection does [filter: NATTERJACK_LOG]
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
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
