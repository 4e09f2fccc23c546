//! What differs between two sets of options, and whether it may change while the server runs.
//!
//! A reload is all or nothing: [`diff`] either lists what to apply or names the first option that
//! cannot change. Both sides are options as files and flags say them, before the server replaced
//! port 0 or chose a host. Texts are those of nats-server 2.15.1.

use crate::duration;
use crate::options::{JetStream, Options, SyncPolicy};
use std::fmt;

/// An option to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What to apply.
    pub what: What,
    /// The line to log, `Reloaded: max_payload = 2000`.
    pub line: String,
}

/// What a reload can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// `client_advertise`.
    ClientAdvertise,
    /// `tls`: certificates are read again, for new connections.
    Tls,
    /// Parts of `websocket` that new connections follow.
    Websocket,
    /// Anything about the log; the line says which.
    Logging,
    /// `max_traced_msg_len`.
    MaxTracedMsgLen,
    /// `max_connections`: the newest clients beyond it are closed.
    MaxConnections,
    /// Users, permissions, accounts, mappings, preloaded JWTs: always listed, because every client
    /// is judged again.
    Accounts,
    /// The single user, the token, or the timeout of logins.
    Authorization,
    /// `ping_interval` or `ping_max`.
    Ping,
    /// `write_deadline`.
    WriteDeadline,
    /// `max_control_line`.
    MaxControlLine,
    /// `max_payload`.
    MaxPayload,
    /// `no_fast_producer_stall`.
    FastProducerStall,
    /// `pid_file`.
    PidFile,
    /// `ports_file_dir`.
    PortsFileDir,
    /// `server_tags`.
    Tags,
    /// `server_metadata`.
    Metadata,
    /// `proxies { trusted }`: whom a proxy that is gone vouched for is judged again.
    Proxies,
    /// JetStream is switched on or off.
    JetStream,
    /// Limits of JetStream, or how much it may store.
    JetStreamLimits,
}

/// Why a reload is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReloadable {
    /// An option that needs a restart.
    Option {
        /// Its name in nats-server's messages.
        name: &'static str,
        /// What it is.
        old: String,
        /// What the file says now.
        new: String,
    },
    /// A change that has no single option.
    Other(&'static str),
}

impl fmt::Display for NotReloadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option { name, old, new } => {
                write!(f, "config reload not supported for {name}: old={old}, new={new}")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NotReloadable {}

/// Compares what runs with what the file says now.
///
/// # Errors
///
/// The first option that differs and cannot change.
///
/// # Examples
///
/// ```
/// use natterjack_config::{reload, Options};
///
/// let old = Options::default();
/// let new = Options { max_payload: 2000, ..Options::default() };
/// let changes = reload::diff(&old, &new).unwrap();
/// assert!(changes.iter().any(|change| change.line == "Reloaded: max_payload = 2000"));
///
/// let new = Options { server_name: Some("foo".into()), ..Options::default() };
/// assert_eq!(
///     reload::diff(&old, &new).unwrap_err().to_string(),
///     "config reload not supported for ServerName: old=, new=foo"
/// );
/// ```
pub fn diff(old: &Options, new: &Options) -> Result<Vec<Change>, NotReloadable> {
    check_fixed(old, new)?;
    check_no_auth_user(old, new)?;
    check_websocket(old, new)?;
    check_jetstream(&old.jetstream, &new.jetstream)?;
    let mut changes = Changes(Vec::new());
    changes.server(old, new);
    changes.limits(old, new);
    changes.jetstream(&old.jetstream, &new.jetstream);
    Ok(changes.0)
}

/// How an option is shown in a refusal.
type Shown<'a> = dyn Fn(&Options) -> String + 'a;

/// Options that need a restart.
fn check_fixed(old: &Options, new: &Options) -> Result<(), NotReloadable> {
    let port = |port: u16| if port == 0 { "-1".to_owned() } else { port.to_string() };
    let http = |o: &Options| o.http_port.map_or("0".to_owned(), port);
    let limit = |limit: Option<u64>| limit.unwrap_or(0).to_string();
    let https = |o: &Options| o.https_port.map_or("0".to_owned(), port);
    let rows: [(&'static str, &Shown<'_>); 25] = [
        ("ServerName", &|o| text(&o.server_name)),
        ("Host", &|o| text(&o.host)),
        ("Port", &|o| port(o.port)),
        ("NoHeaderSupport", &|o| o.no_header_support.to_string()),
        ("NoSublistCache", &|o| o.disable_sublist_cache.to_string()),
        ("LogSizeLimit", &|o| o.log_size_limit.to_string()),
        ("LogMaxFiles", &|o| o.log_max_num.to_string()),
        ("MaxSubs", &|o| limit(o.max_subscriptions)),
        ("MaxSubTokens", &|o| o.max_sub_tokens.unwrap_or(0).to_string()),
        ("SystemAccount", &|o| text(&o.system_account)),
        ("NoSystemAccount", &|o| o.no_system_account.to_string()),
        ("MaxClosedClients", &|o| o.max_closed_clients.to_string()),
        ("HTTPHost", &|o| text(&o.http_host)),
        ("HTTPBasePath", &|o| o.http_base_path.clone()),
        ("HTTPPort", &http),
        ("HTTPSPort", &https),
        ("AllowNonTLS", &|o| o.allow_non_tls.to_string()),
        ("ProxyProtocol", &|o| o.proxy_protocol.to_string()),
        ("ProxyRequired", &|o| o.authorization.proxy_required.to_string()),
        ("FeatureFlags", &|o| {
            let flags = o.feature_flags.iter().map(|(name, on)| format!("{name}:{on}"));
            format!("map[{}]", flags.collect::<Vec<_>>().join(" "))
        }),
        ("WriteTimeout", &|o| o.write_timeout.name().unwrap_or_default().to_owned()),
        ("MaxPending", &|o| o.max_pending.to_string()),
        ("LameDuckDuration", &|o| duration::format(o.lame_duck_duration)),
        ("LameDuckGracePeriod", &|o| duration::format(o.lame_duck_grace_period)),
        ("TrustedKeys", &|o| format!("[{}]", o.trusted_keys.join(" "))),
    ];
    for (name, show) in rows {
        fixed(name, show(old), show(new))?;
    }
    let tokens = |o: &Options| o.operators.iter().map(|jwt| jwt.value.clone()).collect::<Vec<_>>();
    if tokens(old) != tokens(new) {
        return Err(NotReloadable::Other("config reload not supported for TrustedOperators"));
    }
    if old.resolver != new.resolver {
        return Err(NotReloadable::Other(
            "config reload does not support moving to or from an account resolver",
        ));
    }
    Ok(())
}

fn fixed(name: &'static str, old: String, new: String) -> Result<(), NotReloadable> {
    if old == new { Ok(()) } else { Err(NotReloadable::Option { name, old, new }) }
}

fn text(value: &Option<String>) -> String {
    value.clone().unwrap_or_default()
}

/// The listener stays as it is; what new connections follow may change.
fn check_websocket(old: &Options, new: &Options) -> Result<(), NotReloadable> {
    let fixed = |o: &Options| {
        o.websocket.clone().map(|ws| crate::options::Websocket {
            tls: None,
            headers: Vec::new(),
            allowed_origins: Vec::new(),
            same_origin: false,
            handshake_timeout: std::time::Duration::ZERO,
            compression: false,
            ping_interval: None,
            ..ws
        })
    };
    let has_tls = |o: &Options| o.websocket.as_ref().is_some_and(|ws| ws.tls.is_some());
    if fixed(old) == fixed(new) && has_tls(old) == has_tls(new) {
        return Ok(());
    }
    Err(NotReloadable::Other("config reload not supported for Websocket"))
}

/// It may only go away, and only together with its user.
fn check_no_auth_user(old: &Options, new: &Options) -> Result<(), NotReloadable> {
    if let (Some(user), None) = (&old.no_auth_user, &new.no_auth_user) {
        let global = new.authorization.users.iter();
        let mut users = new.accounts.iter().flat_map(|account| &account.users).chain(global);
        if !users.any(|known| known.name() == user) {
            return Ok(());
        }
    }
    fixed("NoAuthUser", text(&old.no_auth_user), text(&new.no_auth_user))
}

fn check_jetstream(old: &JetStream, new: &JetStream) -> Result<(), NotReloadable> {
    fixed("JetStreamDomain", text(&old.domain), text(&new.domain))?;
    let sync = |js: &JetStream| match js.sync {
        SyncPolicy::BeforeAck => "always".to_owned(),
        SyncPolicy::Every(interval) => duration::format(interval),
    };
    fixed("SyncInterval", sync(old), sync(new))?;
    fixed("NoJetStreamStrict", (!old.strict).to_string(), (!new.strict).to_string())?;
    let count = |value: Option<u64>| value.unwrap_or(0).to_string();
    for (name, old, new) in [
        ("StreamMaxBufferedSize", old.max_buffered_size, new.max_buffered_size),
        ("StreamMaxBufferedMsgs", old.max_buffered_msgs, new.max_buffered_msgs),
        ("JetStreamRequestQueueLimit", old.request_queue_limit, new.request_queue_limit),
        ("JetStreamInfoQueueLimit", old.info_queue_limit, new.info_queue_limit),
    ] {
        fixed(name, count(old), count(new))?;
    }
    if !old.enabled || !new.enabled {
        return Ok(());
    }
    if old.store_dir != new.store_dir {
        return Err(NotReloadable::Other(
            "config reload not supported for jetstream storage directory",
        ));
    }
    for (old, new) in [(old.max_memory, new.max_memory), (old.max_store, new.max_store)] {
        let refusal = match (old, new) {
            (None, Some(_)) => {
                "config reload not supported for jetstream dynamic max memory and store"
            }
            (Some(_), None) => "config reload not supported for jetstream max memory and max store",
            (Some(old), Some(new)) if new < old => {
                "config reload not supported for decreasing jetstream max memory and store"
            }
            _ => continue,
        };
        return Err(NotReloadable::Other(refusal));
    }
    Ok(())
}

struct Changes(Vec<Change>);

impl Changes {
    fn push(&mut self, what: What, line: String) {
        self.0.push(Change { what, line });
    }

    /// A change that is shown as `name = value`.
    fn value<T: PartialEq>(
        &mut self,
        what: What,
        name: &str,
        old: &T,
        new: &T,
        show: impl FnOnce(&T) -> String,
    ) {
        if old != new {
            self.push(what, format!("Reloaded: {name} = {}", show(new)));
        }
    }

    /// A change that is shown by its name only.
    fn named<T: PartialEq>(&mut self, what: What, name: &str, old: &T, new: &T) {
        if old != new {
            self.push(what, format!("Reloaded: {name}"));
        }
    }

    fn server(&mut self, old: &Options, new: &Options) {
        if old.client_advertise != new.client_advertise {
            // The one line that the reference words differently.
            let line = format!("Reload: client_advertise = {}", text(&new.client_advertise));
            self.push(What::ClientAdvertise, line);
        }
        for (name, old, new) in [
            ("trace", old.trace, new.trace),
            ("debug", old.debug, new.debug),
            ("trace_verbose", old.trace_verbose, new.trace_verbose),
            ("trace_headers", old.trace_headers, new.trace_headers),
            ("logtime", old.logtime, new.logtime),
            ("logtime_utc", old.logtime_utc, new.logtime_utc),
            ("syslog", old.syslog, new.syslog),
        ] {
            self.value(What::Logging, name, &old, &new, bool::to_string);
        }
        let (from, to) = (&old.remote_syslog, &new.remote_syslog);
        self.value(What::Logging, "remote_syslog", from, to, text);
        self.value(What::Logging, "log_file", &old.log_file, &new.log_file, text);
        self.value(What::PidFile, "pid_file", &old.pid_file, &new.pid_file, text);
        let (from, to) = (&old.ports_file_dir, &new.ports_file_dir);
        self.value(What::PortsFileDir, "ports_file_dir", from, to, text);
        // Listed whenever there is TLS: the files may have changed although the block did not.
        if old.tls.is_some() || new.tls.is_some() {
            let state = if new.tls.is_some() { "enabled" } else { "disabled" };
            self.push(What::Tls, format!("Reloaded: tls = {state}"));
        }
        self.named(What::Websocket, "websocket", &old.websocket, &new.websocket);
        self.named(What::Tags, "tags", &old.server_tags, &new.server_tags);
        self.named(What::Metadata, "metadata", &old.server_metadata, &new.server_metadata);
        self.proxies(&old.trusted_proxies, &new.trusted_proxies);
        self.push(What::Accounts, "Reloaded: authorization users".to_owned());
        self.push(What::Accounts, "Reloaded: accounts".to_owned());
        let (from, to) = (&old.authorization, &new.authorization);
        self.named(What::Authorization, "authorization username", &from.user, &to.user);
        self.named(What::Authorization, "authorization password", &from.password, &to.password);
        self.named(What::Authorization, "authorization token", &from.token, &to.token);
        let sentinel = |o: &Options| o.default_sentinel.as_ref().map(|jwt| jwt.value.clone());
        let (old_jwt, new_jwt) = (sentinel(old), sentinel(new));
        self.value(What::Authorization, "default_sentinel", &old_jwt, &new_jwt, text);
        let seconds = |timeout: &Option<std::time::Duration>| {
            timeout.unwrap_or(crate::options::DEFAULT_AUTH_TIMEOUT).as_secs_f64().to_string()
        };
        let (from, to) = (&from.timeout, &to.timeout);
        self.value(What::Authorization, "authorization timeout", from, to, seconds);
    }

    /// Those that are gone first, as the connections that they vouched for go.
    fn proxies(&mut self, old: &[String], new: &[String]) {
        let beyond = |these: &[String], those: &[String]| {
            let keys = these.iter().filter(|key| !those.contains(key));
            keys.map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" ")
        };
        for (keys, how) in [(beyond(old, new), "removed"), (beyond(new, old), "added")] {
            if !keys.is_empty() {
                let line = format!("Reloaded: proxies trusted keys [{keys}] were {how}");
                self.push(What::Proxies, line);
            }
        }
    }

    fn limits(&mut self, old: &Options, new: &Options) {
        let (from, to) = (&old.max_connections, &new.max_connections);
        self.value(What::MaxConnections, "max_connections", from, to, |limit| {
            limit.map_or("-1".to_owned(), |limit| limit.to_string())
        });
        for (what, name, old, new) in [
            (What::MaxControlLine, "max_control_line", old.max_control_line, new.max_control_line),
            (What::MaxPayload, "max_payload", old.max_payload, new.max_payload),
            (What::Ping, "ping_max", old.ping_max, new.ping_max),
            (
                What::MaxTracedMsgLen,
                "max_traced_msg_len",
                old.max_traced_msg_len,
                new.max_traced_msg_len,
            ),
        ] {
            self.value(what, name, &old, &new, u64::to_string);
        }
        let show = |duration: &std::time::Duration| duration::format(*duration);
        self.value(What::Ping, "ping_interval", &old.ping_interval, &new.ping_interval, show);
        let (from, to) = (&old.write_deadline, &new.write_deadline);
        self.value(What::WriteDeadline, "write_deadline", from, to, show);
        if old.no_fast_producer_stall != new.no_fast_producer_stall {
            let not = if new.no_fast_producer_stall { "not " } else { "" };
            let line = format!("Reloaded: fast producers will {not}be stalled");
            self.push(What::FastProducerStall, line);
        }
    }

    fn jetstream(&mut self, old: &JetStream, new: &JetStream) {
        self.named(What::JetStream, "JetStream", &old.enabled, &new.enabled);
        self.named(What::JetStreamLimits, "JetStream limits", &old.limits, &new.limits);
        if !old.enabled || !new.enabled {
            return;
        }
        let bytes = |size: &Option<u64>| friendly_bytes(size.unwrap_or(0));
        let (from, to) = (&old.max_memory, &new.max_memory);
        self.value(What::JetStreamLimits, "JetStream max_mem_store", from, to, bytes);
        let (from, to) = (&old.max_store, &new.max_store);
        self.value(What::JetStreamLimits, "JetStream max_file_store", from, to, bytes);
    }
}

/// Bytes with two decimals and a unit in powers of 1024, `1.86 GB`, as nats-server shows them.
pub fn friendly_bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = "KMGTPE".chars();
    let mut unit = units.next().unwrap_or('K');
    while value >= 1024.0
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.2} {unit}B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::NoSource;

    fn options(text: &str) -> Options {
        // An empty configuration is an error.
        let text = format!("ping_max: 2\n{text}");
        Options::parse(&text, "x", &NoSource).unwrap()
    }

    fn lines(old: &str, new: &str) -> Vec<String> {
        let changes = diff(&options(old), &options(new)).unwrap();
        let always = ["Reloaded: authorization users", "Reloaded: accounts"];
        let (fixed, rest): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| always.contains(&change.line.as_str()));
        assert_eq!(fixed.len(), 2, "always listed");
        rest.into_iter().map(|change| change.line).collect()
    }

    #[test]
    fn changes_are_listed_as_in_nats_server() {
        for (old, new, expected) in [
            ("", "max_payload: 2000", "Reloaded: max_payload = 2000"),
            ("max_payload: 2000", "", "Reloaded: max_payload = 1048576"),
            ("", "max_control_line: 5000", "Reloaded: max_control_line = 5000"),
            ("", "max_connections: 10", "Reloaded: max_connections = 10"),
            ("", "max_connections: -1", "Reloaded: max_connections = -1"),
            ("", "ping_interval: \"30s\"", "Reloaded: ping_interval = 30s"),
            ("", "ping_max: 5", "Reloaded: ping_max = 5"),
            ("", "write_deadline: \"5s\"", "Reloaded: write_deadline = 5s"),
            ("", "no_fast_producer_stall: true", "Reloaded: fast producers will not be stalled"),
            ("no_fast_producer_stall: true", "", "Reloaded: fast producers will be stalled"),
            ("", "server_tags: [a, b]", "Reloaded: tags"),
            ("", "server_metadata: {a: b}", "Reloaded: metadata"),
            ("debug: true", "", "Reloaded: debug = false"),
            ("", "logtime_utc: true", "Reloaded: logtime_utc = true"),
            ("", "log_file: \"/l\"", "Reloaded: log_file = /l"),
            ("", "max_traced_msg_len: 100", "Reloaded: max_traced_msg_len = 100"),
            ("", "pid_file: \"/p\"", "Reloaded: pid_file = /p"),
            ("", "ports_file_dir: \"/p\"", "Reloaded: ports_file_dir = /p"),
            ("", "client_advertise: \"a:1\"", "Reload: client_advertise = a:1"),
            ("authorization {token a}", "", "Reloaded: authorization token"),
            (
                "authorization {timeout 1.5}",
                "authorization {timeout \"2500ms\"}",
                "Reloaded: authorization timeout = 2.5",
            ),
            ("", "jetstream {store_dir \"/j\"}", "Reloaded: JetStream"),
            (
                "jetstream {max_mem 1G}",
                "jetstream {max_mem 2G}",
                "Reloaded: JetStream max_mem_store = 1.86 GB",
            ),
            (
                "jetstream {}",
                "jetstream {limits {max_ack_pending 5}}",
                "Reloaded: JetStream limits",
            ),
        ] {
            assert_eq!(lines(old, new), [expected], "{old:?} => {new:?}");
        }
        const KEY: &str = "UAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB63NN";
        let trusted = format!("proxies {{trusted [{{key {KEY}}}]}}");
        let told = |how| format!("Reloaded: proxies trusted keys [\"{KEY}\"] were {how}");
        assert_eq!(lines("", &trusted), [told("added")]);
        assert_eq!(lines(&trusted, ""), [told("removed")]);
        let verbose = ["Reloaded: trace = true", "Reloaded: trace_verbose = true"];
        assert_eq!(lines("", "trace_verbose: true"), verbose);
        let user = ["Reloaded: authorization username", "Reloaded: authorization password"];
        assert_eq!(lines("", "authorization {user a, password b}"), user);
        assert_eq!(lines("mappings {a: b}", "mappings {a: c}"), [""; 0]);
        let with = "authorization {users [{user a, password b}]}, no_auth_user a";
        assert_eq!(lines(with, ""), [""; 0]);
    }

    #[test]
    fn what_needs_a_restart_is_refused_as_in_nats_server() {
        const USERS: &str = "authorization {users [{user a, password b}, {user c, password b}]}";
        for (old, new, expected) in [
            ("", "server_name: foo", "for ServerName: old=, new=foo"),
            ("", "write_timeout: close", "for WriteTimeout: old=, new=close"),
            ("port: 4000", "port: 5000", "for Port: old=4000, new=5000"),
            ("port: 4000", "port: -1", "for Port: old=4000, new=-1"),
            ("host: a", "host: b", "for Host: old=a, new=b"),
            ("", "max_pending: 2000000", "for MaxPending: old=67108864, new=2000000"),
            ("", "max_subscriptions: 10", "for MaxSubs: old=0, new=10"),
            ("", "max_sub_tokens: 10", "for MaxSubTokens: old=0, new=10"),
            ("", "max_closed_clients: 5", "for MaxClosedClients: old=10000, new=5"),
            ("", "proxy_protocol: true", "for ProxyProtocol: old=false, new=true"),
            (
                "authorization {token a}",
                "authorization {token a, proxy_required: true}",
                "for ProxyRequired: old=false, new=true",
            ),
            (
                "",
                "feature_flags {b: true, a: false}",
                "for FeatureFlags: old=map[], new=map[a:false b:true]",
            ),
            ("", "no_header_support: true", "for NoHeaderSupport: old=false, new=true"),
            ("", "no_sublist_cache: true", "for NoSublistCache: old=false, new=true"),
            ("", "lame_duck_duration: \"40s\"", "for LameDuckDuration: old=2m0s, new=40s"),
            ("", "lame_duck_grace_period: \"5s\"", "for LameDuckGracePeriod: old=10s, new=5s"),
            ("", "log_size_limit: 1000", "for LogSizeLimit: old=0, new=1000"),
            ("", "log_max_num: 5", "for LogMaxFiles: old=0, new=5"),
            ("", "http_port: -1", "for HTTPPort: old=0, new=-1"),
            ("", "system_account: \"$SYS\"", "for SystemAccount: old=, new=$SYS"),
            ("", "no_system_account: true", "for NoSystemAccount: old=false, new=true"),
            ("jetstream {}", "jetstream {domain x}", "for JetStreamDomain: old=, new=x"),
            (
                "jetstream {}",
                "jetstream {sync_interval \"10s\"}",
                "for SyncInterval: old=always, new=10s",
            ),
            (
                "jetstream {}",
                "jetstream {strict false}",
                "for NoJetStreamStrict: old=false, new=true",
            ),
            (
                "jetstream {}",
                "jetstream {max_mem 1G}",
                "for jetstream dynamic max memory and store",
            ),
            ("jetstream {max_mem 1G}", "jetstream {}", "for jetstream max memory and max store"),
            (
                "jetstream {max_mem 2G}",
                "jetstream {max_mem 1G}",
                "for decreasing jetstream max memory and store",
            ),
            (
                "jetstream {store_dir \"/a\"}",
                "jetstream {store_dir \"/b\"}",
                "for jetstream storage directory",
            ),
            (
                &format!("{USERS}, no_auth_user a"),
                &format!("{USERS}, no_auth_user c"),
                "for NoAuthUser: old=a, new=c",
            ),
            (&format!("{USERS}, no_auth_user a"), USERS, "for NoAuthUser: old=a, new="),
        ] {
            let error = diff(&options(old), &options(new)).unwrap_err().to_string();
            assert_eq!(error, format!("config reload not supported {expected}"));
        }
        let error = diff(&options(""), &options("resolver: MEMORY")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config reload does not support moving to or from an account resolver"
        );
    }

    #[test]
    fn bytes_are_shown_as_in_nats_server() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KB"),
            (2_000_000_000, "1.86 GB"),
            (u64::MAX, "16.00 EB"),
        ] {
            assert_eq!(friendly_bytes(bytes), text);
        }
    }
}
