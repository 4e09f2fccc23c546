//! The server's options: every key of nats-server's configuration file, typed.
//!
//! A key that nats-server does not know is an error. One that it knows and we do not build yet is
//! refused if it secures or restricts something, or opens a listener that clients rely on to be
//! secure; any other is named in [`Options::warnings`]. All errors of a file are reported at once.

mod accounts;
mod auth;
mod callout;
mod decode;
mod features;
mod jetstream;
mod mappings;
mod msg_trace;
mod operator;
mod proxies;
mod sharing;
mod tls;
mod top;
mod types;
mod unsupported;
mod validate;
mod websocket;

pub(crate) use top::parse_port;

pub use decode::{Problem, Warning};
pub use tls::{
    CertificateFiles, DEFAULT_TLS_TIMEOUT, HANDSHAKE_FALLBACK, HandshakeFirst, Tls, TlsVersion,
};
pub use types::*;
pub use validate::ValidationError;
pub use websocket::{DEFAULT_WEBSOCKET_HANDSHAKE, Websocket};

use crate::language::{self, Map, Position, Source, SyntaxError};
use decode::Decoder;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The port clients connect to by default.
pub const DEFAULT_PORT: u16 = 4222;

/// How long a client may take to log in by default.
pub const DEFAULT_AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// All options of a server, with nats-server's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The configuration file they come from.
    pub config_file: Option<String>,
    /// The digest of that file, `sha256:…`; empty without a file.
    pub config_digest: String,
    /// What to say at start.
    pub warnings: Vec<Warning>,

    /// The address to listen on; `None` if neither file nor flag names one, and the server chooses:
    /// the loopback address while no login is configured, else all addresses.
    pub host: Option<String>,
    /// The port to listen on; 0 lets the system choose one (`-1` in files and flags).
    pub port: u16,
    /// What other servers and clients are told to connect to, `host` or `host:port`.
    pub client_advertise: Option<String>,
    /// The server's name; its id if absent.
    pub server_name: Option<String>,
    /// Tags, `key:value` by convention, lower case.
    pub server_tags: Vec<String>,
    /// Free pairs that monitoring shows.
    pub server_metadata: BTreeMap<String, String>,
    /// Features that the file switches on or off, known or not.
    pub feature_flags: BTreeMap<String, bool>,

    /// Log debug lines.
    pub debug: bool,
    /// Log the protocol.
    pub trace: bool,
    /// Log the protocol of the system account too.
    pub trace_verbose: bool,
    /// Log message headers when tracing.
    pub trace_headers: bool,
    /// Stamp log lines.
    pub logtime: bool,
    /// Stamp in UTC rather than local time.
    pub logtime_utc: bool,
    /// Log to the system's log rather than to standard error.
    pub syslog: bool,
    /// Log to the system's log of another machine, as `udp://host:514`.
    pub remote_syslog: Option<String>,
    /// Where log lines go; standard error if absent.
    pub log_file: Option<String>,
    /// Bytes after which the log file is rotated; 0 never.
    pub log_size_limit: u64,
    /// How many log files to keep, the current one included; 0 keeps all.
    pub log_max_num: u64,
    /// Longest traced message in bytes; 0 is unlimited.
    pub max_traced_msg_len: u64,
    /// Where to write the process id.
    pub pid_file: Option<String>,
    /// The directory for the ports file.
    pub ports_file_dir: Option<String>,

    /// The address of the monitoring port; that of clients if absent.
    pub http_host: Option<String>,
    /// The monitoring port; `None` is off, 0 lets the system choose one (`-1`).
    pub http_port: Option<u16>,
    /// The monitoring port with TLS, at the same address; `None` is off, 0 lets the system choose one.
    pub https_port: Option<u16>,
    /// What stands in front of the monitoring paths; `/` by default.
    pub http_base_path: String,

    /// TLS for clients; `None` is off.
    pub tls: Option<Tls>,
    /// Also admit clients that do not begin TLS.
    pub allow_non_tls: bool,
    /// Whether a client's connection may begin with a header of the PROXY protocol, which tells whom a
    /// load balancer speaks for.
    pub proxy_protocol: bool,
    /// The public keys of the proxies whose word counts (`proxies { trusted }`), checked.
    pub trusted_proxies: Vec<String>,
    /// The listener for WebSocket clients.
    pub websocket: Option<Websocket>,

    /// Longest protocol line in bytes; 4096.
    pub max_control_line: u64,
    /// Largest message in bytes, headers included; 1 MiB.
    pub max_payload: u64,
    /// Bytes that may wait for one client; 64 MiB.
    pub max_pending: u64,
    /// Clients at a time; 65536. `None` is unlimited.
    pub max_connections: Option<u64>,
    /// Subscriptions per client; `None` is unlimited.
    pub max_subscriptions: Option<u64>,
    /// Tokens in a subject subscribed to; `None` is unlimited.
    pub max_sub_tokens: Option<u8>,
    /// Closed connections that monitoring remembers; 10000.
    pub max_closed_clients: u64,
    /// How often a silent client is pinged; 2 minutes.
    pub ping_interval: Duration,
    /// Unanswered pings after which a client is closed; 2.
    pub ping_max: u64,
    /// How long a client's socket may take nothing while something waits; 10 seconds.
    pub write_deadline: Duration,
    /// Who is closed then.
    pub write_timeout: WriteTimeout,
    /// How long lame duck mode takes; 2 minutes, at least 30 seconds.
    pub lame_duck_duration: Duration,
    /// How long lame duck mode waits before it closes the first client; 10 seconds.
    pub lame_duck_grace_period: Duration,
    /// Refuse message headers.
    pub no_header_support: bool,
    /// Never slow down a publisher whose subscribers lag.
    pub no_fast_producer_stall: bool,
    /// Do not cache matches of subjects.
    pub disable_sublist_cache: bool,

    /// The `authorization` block.
    pub authorization: Authorization,
    /// The `accounts` block, in the order of the file.
    pub accounts: Vec<Account>,
    /// The user (or nkey) that clients without credentials act as.
    pub no_auth_user: Option<String>,
    /// The name, in operator mode the public key, of the system account; `$SYS` if absent.
    pub system_account: Option<String>,
    /// Create no system account.
    pub no_system_account: bool,
    /// Subject mappings of the global account.
    pub mappings: Vec<Mapping>,

    /// Operator JWTs, read from their files where paths are configured. Not decoded here.
    pub operators: Vec<Located<String>>,
    /// Public operator keys `O…` that are trusted without a JWT, checked.
    pub trusted_keys: Vec<String>,
    /// Where account JWTs come from.
    pub resolver: Option<Resolver>,
    /// TLS towards the server of a [`Resolver::Url`].
    pub resolver_tls: Option<Tls>,
    /// Account JWTs by account key. Not decoded here.
    pub resolver_preload: Vec<(String, Located<String>)>,
    /// The user JWT of clients that present none. Not decoded here.
    pub default_sentinel: Option<Located<String>>,
    /// Accounts, by key, that are resolved and kept from the start.
    pub resolver_pinned_accounts: Vec<String>,

    /// The `jetstream` block; its `store_dir` includes the top-level one.
    pub jetstream: JetStream,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config_file: None,
            config_digest: String::new(),
            warnings: Vec::new(),
            host: None,
            port: DEFAULT_PORT,
            client_advertise: None,
            server_name: None,
            server_tags: Vec::new(),
            server_metadata: BTreeMap::new(),
            feature_flags: BTreeMap::new(),
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            logtime: true,
            logtime_utc: false,
            syslog: false,
            remote_syslog: None,
            log_file: None,
            log_size_limit: 0,
            log_max_num: 0,
            max_traced_msg_len: 0,
            pid_file: None,
            ports_file_dir: None,
            http_host: None,
            http_port: None,
            https_port: None,
            tls: None,
            allow_non_tls: false,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            websocket: None,
            http_base_path: "/".to_owned(),
            max_control_line: 4096,
            max_payload: 1 << 20,
            max_pending: 64 << 20,
            max_connections: Some(65536),
            max_subscriptions: None,
            max_sub_tokens: None,
            max_closed_clients: 10_000,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            write_deadline: Duration::from_secs(10),
            write_timeout: WriteTimeout::Default,
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
            no_header_support: false,
            no_fast_producer_stall: false,
            disable_sublist_cache: false,
            authorization: Authorization::default(),
            accounts: Vec::new(),
            no_auth_user: None,
            system_account: None,
            no_system_account: false,
            mappings: Vec::new(),
            operators: Vec::new(),
            trusted_keys: Vec::new(),
            resolver: None,
            resolver_tls: None,
            resolver_preload: Vec::new(),
            default_sentinel: None,
            resolver_pinned_accounts: Vec::new(),
            jetstream: JetStream::default(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not in the configuration language.
    Syntax(SyntaxError),
    /// Values that are unknown, wrong or not supported, in the order of the file.
    Options(Vec<Problem>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(f),
            Self::Options(problems) => {
                for (i, problem) in problems.iter().enumerate() {
                    if i > 0 {
                        f.write_str("\n")?;
                    }
                    problem.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Syntax(error) => Some(error),
            Self::Options(_) => None,
        }
    }
}

impl From<SyntaxError> for ConfigError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl Options {
    /// Reads the configuration file at `path` and everything it includes through `source`.
    ///
    /// # Errors
    ///
    /// The first syntax error, or all wrong values.
    pub fn load(path: &str, source: &dyn Source) -> Result<Self, ConfigError> {
        Self::from_syntax(language::parse_file(path, source), path, source)
    }

    /// Reads a configuration that is given as `text`; `path` is what messages call it.
    ///
    /// # Errors
    ///
    /// The first syntax error, or all wrong values.
    ///
    /// # Examples
    ///
    /// ```
    /// use natterjack_config::{language::NoSource, Options};
    ///
    /// let options = Options::parse("port: 4333, max_payload: 8MB", "x.conf", &NoSource).unwrap();
    /// assert_eq!((options.port, options.max_payload), (4333, 8 << 20));
    /// let error = Options::parse("\n prot: 4333", "x.conf", &NoSource).unwrap_err();
    /// assert_eq!(error.to_string(), "x.conf:2:2: unknown field \"prot\"");
    /// ```
    pub fn parse(text: &str, path: &str, source: &dyn Source) -> Result<Self, ConfigError> {
        Self::from_syntax(language::parse(text, path, source), path, source)
    }

    fn from_syntax(
        parsed: Result<Map, SyntaxError>,
        path: &str,
        source: &dyn Source,
    ) -> Result<Self, ConfigError> {
        let empty = match parsed {
            Ok(tree) => return Self::from_tree(&tree, path, source),
            Err(error @ SyntaxError::Empty { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        // An empty file is an error to `-t` only: a server starts and reloads with it (2.15.1, measured).
        let mut options = Self::from_tree(&Map::default(), path, source)?;
        let problem = Problem { position: Position::unknown(), text: empty.to_string() };
        options.warnings.push(Warning { problem, fatal_in_check: true });
        Ok(options)
    }

    fn from_tree(tree: &Map, path: &str, source: &dyn Source) -> Result<Self, ConfigError> {
        let mut options = Self {
            config_file: Some(path.to_owned()),
            config_digest: language::digest(tree),
            ..Self::default()
        };
        let mut decoder = Decoder::new(source);
        top::decode(&mut decoder, tree, &mut options);
        if !decoder.errors.is_empty() {
            decoder.errors.sort_by(|a, b| a.position.cmp(&b.position));
            return Err(ConfigError::Options(decoder.errors));
        }
        options.warnings = decoder.warnings;
        Ok(options)
    }

    /// What nats-server's `-t` refuses though it would start: deprecated forms.
    ///
    /// # Errors
    ///
    /// The warnings that a check takes for errors.
    pub fn check_deprecated(&self) -> Result<(), ConfigError> {
        let problems: Vec<_> = self
            .warnings
            .iter()
            .filter(|warning| warning.fatal_in_check)
            .map(|warning| warning.problem.clone())
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Options(problems)) }
    }

    /// What nats-server warns of at every start, whatever the file's form: lines for the log.
    pub fn startup_notices(&self) -> Vec<&'static str> {
        let mut notices = Vec::new();
        let auth = &self.authorization;
        let users = self.accounts.iter().flat_map(|account| &account.users).chain(&auth.users);
        let passwords = users.filter_map(|user| match &user.login {
            Login::Password { password, .. } => Some(password.as_str()),
            Login::Nkey { .. } => None,
        });
        let mut passwords = passwords.chain(auth.password.as_deref());
        if passwords.any(|password| !is_bcrypt(password)) {
            notices.push("Plaintext passwords detected, use nkeys or bcrypt");
        }
        if !self.operators.is_empty() && self.system_account.is_none() {
            notices.push("Trusted Operators should utilize a System Account");
        }
        if self.max_payload > 8 << 20 {
            notices.push(
                "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor \
                 performance",
            );
        }
        notices
    }

    /// Whether clients must log in: any user, token or operator is configured.
    pub fn requires_login(&self) -> bool {
        let auth = &self.authorization;
        auth.user.is_some()
            || auth.token.is_some()
            || !auth.users.is_empty()
            || self.accounts.iter().any(|account| !account.users.is_empty())
            || self.is_operator_mode()
    }

    /// Whether users prove themselves by JWTs.
    pub fn is_operator_mode(&self) -> bool {
        !self.operators.is_empty() || !self.trusted_keys.is_empty()
    }
}

/// Whether a configured password or token is a bcrypt hash, `$2a$11$…`, rather than plain text.
///
/// # Examples
///
/// ```
/// assert!(natterjack_config::options::is_bcrypt("$2y$11$abc"));
/// assert!(!natterjack_config::options::is_bcrypt("$2a$secret"));
/// ```
pub fn is_bcrypt(password: &str) -> bool {
    matches!(
        password.as_bytes(),
        [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', b'0'..=b'9', b'0'..=b'9', b'$', ..]
    )
}
