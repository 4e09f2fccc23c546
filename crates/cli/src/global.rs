//! What every verb takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::candidates;
use crate::contexts;
use crate::output::{ColorChoice, Format, Scheme};
use crate::units;

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
    #[arg(long, global = true, value_name = "NAME", add = candidates::local(contexts::names))]
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

#[cfg(test)]
impl Global {
    /// As without any option.
    pub(crate) fn for_tests() -> Self {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            global: Global,
        }
        Line::parse_from(["natterjack", "--no-context"]).global
    }
}
