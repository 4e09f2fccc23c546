//! The server that the tests talk to: ours, or with `NATTERJACK_REFERENCE_TESTS=PATH` the nats-server
//! there, so that the command is known to work with both.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use natterjack_server::Server;

/// Something that clients connect to.
pub(super) trait Listening {
    fn url(&self) -> String;
}

impl Listening for Server {
    fn url(&self) -> String {
        self.client_url()
    }
}

/// A server with JetStream.
pub(super) enum Tested {
    Ours(Server),
    Theirs(Theirs),
}

impl Tested {
    fn monitor_url(&self) -> String {
        match self {
            Self::Ours(server) => server.monitor_url().unwrap(),
            Self::Theirs(server) => server.monitor.clone().unwrap(),
        }
    }

    pub(super) fn client_url(&self) -> String {
        match self {
            Self::Ours(server) => server.client_url(),
            Self::Theirs(server) => server.url.clone(),
        }
    }
}

impl Listening for Tested {
    fn url(&self) -> String {
        self.client_url()
    }
}

/// A nats-server, stopped when dropped.
pub(super) struct Theirs {
    url: String,
    monitor: Option<String>,
    child: Child,
    _store: tempfile::TempDir,
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // Nothing is left of it either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the server is nats-server.
pub(super) fn is_reference() -> bool {
    std::env::var_os("NATTERJACK_REFERENCE_TESTS").is_some()
}

/// A server with this configuration; JetStream is on, in a directory of its own, if `js` says so.
fn configured(js: bool, text: &str) -> Tested {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("server.conf");
    let store = if js { jetstream(&dir) } else { String::new() };
    std::fs::write(&conf, format!("listen: \"127.0.0.1:-1\"\n{store}{text}")).unwrap();
    match std::env::var_os("NATTERJACK_REFERENCE_TESTS") {
        None => {
            let server = Server::builder().config_file(&conf).unwrap();
            Tested::Ours(server.start_blocking().unwrap())
        }
        Some(program) => {
            let arguments = ["-c".as_ref(), conf.as_os_str()];
            Tested::Theirs(Theirs::start(&program, &arguments, dir))
        }
    }
}

/// A server with JetStream, and its monitoring port.
pub(super) fn monitored() -> (Tested, String) {
    let server = configured(true, "http: \"127.0.0.1:-1\"\n");
    let monitor = server.monitor_url();
    (server, monitor)
}

/// A server that cuts off clients for whom much waits, and its monitoring port.
pub(super) fn impatient() -> (Tested, String) {
    let text = "http: \"127.0.0.1:-1\"\nmax_pending: 64KB\nmax_payload: 32KB\n";
    let server = configured(true, text);
    let monitor = server.monitor_url();
    (server, monitor)
}

pub(super) fn without_jetstream() -> Tested {
    configured(false, "")
}

/// A server with an operator, credentials that expire tomorrow, and some that have expired.
pub(super) fn with_operator() -> (Tested, PathBuf, PathBuf) {
    use natterjack_core::jwt::{AccountClaims, Creds, OperatorClaims, UserClaims};
    use nkeys::KeyPair;
    let dir = tempfile::tempdir().unwrap().keep();
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let (key, now) = (account.public_key(), jiff::Timestamp::now().as_second());
    let operator_jwt =
        OperatorClaims::new("test", &operator.public_key()).encode(&operator, now).unwrap();
    let account_jwt = AccountClaims::new("APP", &key).encode(&operator, now).unwrap();
    let creds = |name: &str, expires: i64| {
        let user = KeyPair::new_user();
        let mut claims = UserClaims::new(name, &user.public_key());
        claims.exp = expires;
        let jwt = claims.encode(&account, now).unwrap();
        let path = dir.join(format!("{name}.creds"));
        let seed = user.seed().unwrap();
        std::fs::write(&path, Creds { jwt, seed }.format().unwrap()).unwrap();
        path
    };
    let (soon, gone) = (creds("soon", now + 86_400), creds("gone", now - 10_000));
    let text = format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload {{ {key}: {account_jwt} }}\n"
    );
    (configured(false, &text), soon, gone)
}

/// A server with JetStream and an empty store.
pub(super) fn server() -> Tested {
    match std::env::var_os("NATTERJACK_REFERENCE_TESTS") {
        None => Tested::Ours(Server::builder().jetstream_in_memory().start_blocking().unwrap()),
        Some(program) => {
            let dir = tempfile::tempdir().unwrap();
            let conf = dir.path().join("server.conf");
            let text = format!("listen: \"127.0.0.1:-1\"\n{}", jetstream(&dir));
            std::fs::write(&conf, text).unwrap();
            Tested::Theirs(Theirs::start(&program, &["-c".as_ref(), conf.as_os_str()], dir))
        }
    }
}

/// JetStream in the directory. Without a number nats-server lets streams reserve what the disk has free,
/// which may be less than the gigabyte of a `bench`.
fn jetstream(dir: &tempfile::TempDir) -> String {
    format!("jetstream {{ store_dir: {:?}, max_file_store: 100GB }}\n", dir.path().join("store"))
}

impl Theirs {
    fn start(program: &OsStr, arguments: &[&OsStr], store: tempfile::TempDir) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut url, mut monitor) = (None, None);
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                url = Some(format!("nats://{address}"));
            }
            if let Some((_, address)) = line.split_once("Starting http monitor on ") {
                monitor = Some(format!("http://{address}"));
            }
            if line.contains("Server is ready") {
                break;
            }
        }
        // Nobody reads the log any more; the program must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { url: url.unwrap(), monitor, child, _store: store }
    }
}

/// A server named `one` with the accounts `SYS` (user `sys`) and `A` (user `a`), password `p`.
pub(super) fn with_system_account() -> Tested {
    configured(
        true,
        "server_name: one\n\
         accounts { SYS { users: [{ user: sys, password: p }] }, \
         A { jetstream: enabled, users: [{ user: a, password: p }] } }\nsystem_account: SYS\n",
    )
}
