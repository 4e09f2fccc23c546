//! The table of flags.

use super::Overrides;
use crate::options::parse_port;

/// What the flags said.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) overrides: Overrides,
    pub(super) version: bool,
    pub(super) help: bool,
    pub(super) help_tls: bool,
    pub(super) check: bool,
    pub(super) signal: Option<String>,
}

pub(super) enum Action {
    Switch(fn(&mut Parsed, bool)),
    Number(fn(&mut Parsed, i64) -> Result<(), String>),
    Text(fn(&mut Parsed, String)),
    /// Not built yet, and it secures something or opens a listener; true for a switch.
    Refused(bool),
    /// Not built yet, but harmless; true for a switch.
    Ignored(bool),
}

impl Action {
    pub(super) fn is_switch(&self) -> bool {
        matches!(self, Self::Switch(_) | Self::Refused(true) | Self::Ignored(true))
    }
}

pub(super) struct Def {
    pub(super) names: &'static [&'static str],
    pub(super) action: Action,
}

const fn def(names: &'static [&'static str], action: Action) -> Def {
    Def { names, action }
}

use Action::{Ignored, Number, Refused, Switch, Text};

pub(super) static DEFS: [Def; 44] = [
    def(&["a", "addr", "net"], Text(|p, v| p.overrides.host = filled(v))),
    def(&["p", "port"], Number(|p, n| port("port", n).map(|port| p.overrides.port = port))),
    def(&["n", "name", "server_name"], Text(|p, v| p.overrides.server_name = filled(v))),
    def(&["P", "pid"], Text(|p, v| p.overrides.pid_file = filled(v))),
    def(&["ports_file_dir"], Text(|p, v| p.overrides.ports_file_dir = filled(v))),
    def(&["client_advertise"], Text(|p, v| p.overrides.client_advertise = filled(v))),
    def(
        &["m", "http_port"],
        Number(|p, n| port("http_port", n).map(|port| p.overrides.http_port = port)),
    ),
    def(
        &["ms", "https_port"],
        Number(|p, n| port("https_port", n).map(|port| p.overrides.https_port = port)),
    ),
    def(&["c", "config"], Text(|p, v| p.overrides.config = filled(v))),
    def(&["t"], Switch(|p, on| p.check = on)),
    def(&["sl", "signal"], Text(|p, v| p.signal = filled(v))),
    def(&["l", "log"], Text(|p, v| p.overrides.log_file = filled(v))),
    def(&["T", "logtime"], Switch(|p, on| p.overrides.logtime = Some(on))),
    def(&["logtime_utc"], Switch(|p, on| p.overrides.logtime_utc = Some(on))),
    def(&["s", "syslog"], Switch(|p, on| p.overrides.syslog = Some(on))),
    def(&["r", "remote_syslog"], Text(|p, v| p.overrides.remote_syslog = filled(v))),
    def(
        &["log_size_limit"],
        Number(|p, n| count("log_size_limit", n).map(|n| p.overrides.log_size_limit = Some(n))),
    ),
    def(
        &["max_traced_msg_len"],
        Number(|p, n| {
            count("max_traced_msg_len", n).map(|n| p.overrides.max_traced_msg_len = Some(n))
        }),
    ),
    def(&["D", "debug"], Switch(|p, on| p.overrides.debug = Some(on))),
    def(&["V", "trace"], Switch(|p, on| p.overrides.trace = Some(on))),
    def(&["VV"], Switch(|p, on| verbose(p, false, on, true))),
    def(&["DV"], Switch(|p, on| verbose(p, true, on, false))),
    def(&["DVV"], Switch(|p, on| verbose(p, true, on, true))),
    def(&["js", "jetstream"], Switch(|p, on| p.overrides.jetstream = Some(on))),
    def(&["sd", "store_dir"], Text(|p, v| p.overrides.store_dir = filled(v))),
    def(&["user"], Text(|p, v| p.overrides.user = filled(v))),
    def(&["pass"], Text(|p, v| p.overrides.pass = filled(v))),
    def(&["auth"], Text(|p, v| p.overrides.auth = filled(v))),
    def(&["tls"], Switch(|p, on| p.overrides.tls = Some(on))),
    def(&["tlsverify"], Switch(|p, on| p.overrides.tls_verify = Some(on))),
    def(&["tlscert"], Text(|p, v| p.overrides.tls_cert = filled(v))),
    def(&["tlskey"], Text(|p, v| p.overrides.tls_key = filled(v))),
    def(&["tlscacert"], Text(|p, v| p.overrides.tls_ca = filled(v))),
    def(&["routes"], Refused(false)),
    def(&["cluster"], Refused(false)),
    def(&["cluster_listen"], Refused(false)),
    def(&["cluster_name"], Refused(false)),
    def(&["cluster_advertise"], Refused(false)),
    def(&["no_advertise"], Ignored(true)),
    def(&["connect_retries"], Ignored(false)),
    def(&["profile"], Ignored(false)),
    def(&["h", "help"], Switch(|p, on| p.help = on)),
    def(&["help_tls"], Switch(|p, on| p.help_tls = on)),
    def(&["v", "version"], Switch(|p, on| p.version = on)),
];

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// 0 leaves what the file says, as in nats-server.
fn port(name: &str, number: i64) -> Result<Option<u16>, String> {
    if number == 0 {
        return Ok(None);
    }
    parse_port(number)
        .map(Some)
        .ok_or_else(|| format!("{name} {number} is not a port, -1 (any free one) to 65535"))
}

fn count(name: &str, number: i64) -> Result<u64, String> {
    u64::try_from(number).map_err(|_| format!("{name} value can not be negative"))
}

fn verbose(p: &mut Parsed, debug: bool, on: bool, verbose: bool) {
    if debug {
        p.overrides.debug = Some(on);
    }
    if verbose {
        p.overrides.trace_verbose = Some(on);
    }
    p.overrides.trace = Some(on);
}
