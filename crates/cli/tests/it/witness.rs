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
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                url = Some(format!("nats://{address}"));
            }
            if line.contains("Server is ready") {
                break;
            }
        }
        // Nobody reads the log any more; the program must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { url: url.unwrap(), child, _store: store }
    }
}

/// A server named `one` with the accounts `SYS` (user `sys`) and `A` (user `a`), password `p`.
pub(super) fn with_system_account() -> Tested {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("server.conf");
    let text = format!(
        "listen: \"127.0.0.1:-1\"\nserver_name: one\n{}\
         accounts {{ SYS {{ users: [{{ user: sys, password: p }}] }}, \
         A {{ jetstream: enabled, users: [{{ user: a, password: p }}] }} }}\nsystem_account: SYS\n",
        jetstream(&dir)
    );
    std::fs::write(&conf, text).unwrap();
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
