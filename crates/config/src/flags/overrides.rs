//! What flags change in the options.

use crate::language::Position;
use crate::options::{Options, Problem, Warning};

/// The flags that change options; each field is `None` if its flag is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The configuration file (`-c`); read it before [`apply`](Self::apply).
    pub config: Option<String>,
    /// The address to listen on (`-a`).
    pub host: Option<String>,
    /// The port to listen on (`-p`); 0 lets the system choose (`-1`).
    pub port: Option<u16>,
    /// The server's name (`-n`).
    pub server_name: Option<String>,
    /// The pid file (`-P`).
    pub pid_file: Option<String>,
    /// The directory for the ports file.
    pub ports_file_dir: Option<String>,
    /// What other servers and clients are told to connect to.
    pub client_advertise: Option<String>,
    /// The monitoring port (`-m`); 0 lets the system choose (`-1`).
    pub http_port: Option<u16>,
    /// The monitoring port with TLS (`-ms`); 0 lets the system choose (`-1`).
    pub https_port: Option<u16>,
    /// TLS for clients (`--tls`).
    pub tls: Option<bool>,
    /// TLS for clients, who must show a certificate (`--tlsverify`).
    pub tls_verify: Option<bool>,
    /// The certificate file (`--tlscert`).
    pub tls_cert: Option<String>,
    /// The key file (`--tlskey`).
    pub tls_key: Option<String>,
    /// The authorities of clients' certificates (`--tlscacert`).
    pub tls_ca: Option<String>,
    /// The log file (`-l`).
    pub log_file: Option<String>,
    /// Stamp log lines (`-T`).
    pub logtime: Option<bool>,
    /// Stamp in UTC.
    pub logtime_utc: Option<bool>,
    /// Log to the system's log (`-s`).
    pub syslog: Option<bool>,
    /// Log to the system's log of another machine (`-r`).
    pub remote_syslog: Option<String>,
    /// Bytes after which the log file is rotated.
    pub log_size_limit: Option<u64>,
    /// Longest traced message in bytes.
    pub max_traced_msg_len: Option<u64>,
    /// Log debug lines (`-D`, `-DV`, `-DVV`).
    pub debug: Option<bool>,
    /// Log the protocol (`-V`, `-VV`, `-DV`, `-DVV`).
    pub trace: Option<bool>,
    /// Log the protocol of the system account too (`-VV`, `-DVV`).
    pub trace_verbose: Option<bool>,
    /// Switch JetStream on (`-js`).
    pub jetstream: Option<bool>,
    /// Where streams are kept (`-sd`).
    pub store_dir: Option<String>,
    /// The single user's name (`--user`).
    pub user: Option<String>,
    /// The single user's password (`--pass`).
    pub pass: Option<String>,
    /// The token (`--auth`).
    pub auth: Option<String>,
    /// Flags that have no effect yet, as texts for the log.
    pub warnings: Vec<String>,
}

impl Overrides {
    /// Puts the flags over what the file says. Check the result with
    /// [`Options::validate`](crate::Options::validate).
    pub fn apply(&self, options: &mut Options) {
        let o = options;
        over_some(&mut o.host, &self.host);
        over(&mut o.port, &self.port);
        over_some(&mut o.server_name, &self.server_name);
        over_some(&mut o.pid_file, &self.pid_file);
        over_some(&mut o.ports_file_dir, &self.ports_file_dir);
        over_some(&mut o.client_advertise, &self.client_advertise);
        over_some(&mut o.http_port, &self.http_port);
        over_some(&mut o.https_port, &self.https_port);
        self.apply_tls(o);
        over_some(&mut o.log_file, &self.log_file);
        over(&mut o.logtime, &self.logtime);
        over(&mut o.logtime_utc, &self.logtime_utc);
        over(&mut o.syslog, &self.syslog);
        over_some(&mut o.remote_syslog, &self.remote_syslog);
        over(&mut o.log_size_limit, &self.log_size_limit);
        over(&mut o.max_traced_msg_len, &self.max_traced_msg_len);
        over(&mut o.debug, &self.debug);
        over(&mut o.trace, &self.trace);
        over(&mut o.trace_verbose, &self.trace_verbose);
        over(&mut o.jetstream.enabled, &self.jetstream);
        over_some(&mut o.jetstream.store_dir, &self.store_dir);
        over_some(&mut o.authorization.user, &self.user);
        over_some(&mut o.authorization.password, &self.pass);
        over_some(&mut o.authorization.token, &self.auth);
        o.warnings.extend(self.warnings.iter().map(|text| Warning {
            problem: Problem { position: Position::unknown(), text: text.clone() },
            fatal_in_check: false,
        }));
    }

    /// Any of the TLS flags switches it on, unless `--tls=false` says otherwise; a missing certificate
    /// or key is found by [`Options::validate`](crate::Options::validate).
    fn apply_tls(&self, o: &mut Options) {
        let files = [&self.tls_cert, &self.tls_key, &self.tls_ca];
        let asked = self.tls == Some(true) || self.tls_verify == Some(true);
        if !asked && files.iter().all(|file| file.is_none()) {
            return;
        }
        let tls = o.tls.get_or_insert_default();
        if self.tls_verify == Some(true) {
            tls.verify = true;
        }
        if self.tls_cert.is_some() || self.tls_key.is_some() {
            let mut files = tls.certificates.first().cloned().unwrap_or_default();
            over(&mut files.certificate, &self.tls_cert);
            over(&mut files.key, &self.tls_key);
            tls.certificates = vec![files];
        }
        over_some(&mut tls.ca_file, &self.tls_ca);
    }
}

fn over<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        *field = value.clone();
    }
}

fn over_some<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        field.clone_from(flag);
    }
}
