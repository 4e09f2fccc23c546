//! The server that the tests talk to: ours, or with `NATTERJACK_REFERENCE_TESTS=PATH` the nats-server
//! there, so that the command is known to work with both.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
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

/// A server with an operator and a system account (without one nats-server tells nobody who he is), and a
/// directory with credentials that expire tomorrow, `soon.creds`, and some that have expired, `gone.creds`.
pub(super) fn with_operator() -> (Tested, tempfile::TempDir) {
    use natterjack_core::jwt::{AccountClaims, Creds, OperatorClaims, UserClaims};
    use nkeys::KeyPair;
    let dir = tempfile::tempdir().unwrap();
    let (operator, account, now) =
        (KeyPair::new_operator(), KeyPair::new_account(), jiff::Timestamp::now().as_second());
    let operator_jwt =
        OperatorClaims::new("test", &operator.public_key()).encode(&operator, now).unwrap();
    let jwt = |name: &str, key: &str| AccountClaims::new(name, key).encode(&operator, now).unwrap();
    for (name, expires) in [("soon", now + 86_400), ("gone", now - 10_000)] {
        let user = KeyPair::new_user();
        let mut claims = UserClaims::new(name, &user.public_key());
        claims.exp = expires;
        let jwt = claims.encode(&account, now).unwrap();
        let text = Creds { jwt, seed: user.seed().unwrap() }.format().unwrap();
        std::fs::write(dir.path().join(format!("{name}.creds")), text).unwrap();
    }
    let (key, system) = (account.public_key(), KeyPair::new_account().public_key());
    let (own, of_system) = (jwt("APP", &key), jwt("SYS", &system));
    let text = format!(
        "operator: {operator_jwt}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload {{ {key}: {own}, {system}: {of_system} }}\n"
    );
    (configured(false, &text), dir)
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
