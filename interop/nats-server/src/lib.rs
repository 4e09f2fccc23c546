//! What the tests of the crate `async-nats` ask of a crate named `nats-server`: servers on free ports,
//! each with a store of its own, ended and cleared away when dropped.
//!
//! async-nats's own crate of that name is not published, so `cargo xtask interop --async-nats` puts this
//! one in its place. The program is named by `NATS_SERVER`, the word before its arguments (`serve`, for
//! ours) by `NATS_SERVER_VERB`.
//!
//! The callers are tests, so what goes wrong here panics, and says what the server logged.

mod cluster;
mod process;

pub use cluster::{Cluster, run_cluster};

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use process::{Process, program};

/// How long a server may take to greet a client.
const GREETING: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
}

/// Starts a server without a configuration, on a free port.
pub fn run_basic_server() -> Server {
    run_server("")
}

/// Starts a server with this configuration file, none if it is empty, on a free port.
pub fn run_server(config: &str) -> Server {
    run_server_with_port(config, None)
}

/// As [`run_server`], on this port.
pub fn run_server_with_port(config: &str, port: Option<&str>) -> Server {
    Server { process: Process::start(config, port.unwrap_or("-1"), &[]) }
}

/// Tells the server to send its clients away, one by one, as `--signal ldm` does.
///
/// # Panics
///
/// If the signal cannot be sent.
pub fn set_lame_duck_mode(server: &Server) {
    let signal = format!("ldm={}", server.client_pid());
    let status = program().args(["--signal", &signal]).status().expect("the program runs");
    assert!(status.success(), "--signal {signal}: {status}");
}

impl Server {
    /// Where clients connect: `tls://` if the server wants TLS.
    ///
    /// # Panics
    ///
    /// If the server greets nobody.
    pub fn client_url(&self) -> String {
        self.url("")
    }

    /// As [`Self::client_url`], with a user and a password.
    pub fn client_url_with(&self, user: &str, password: &str) -> String {
        self.url(&format!("{user}:{password}@"))
    }

    /// As [`Self::client_url`], with a token.
    pub fn client_url_with_token(&self, token: &str) -> String {
        self.url(&format!("{token}@"))
    }

    /// The port of its clients.
    pub fn client_port(&self) -> u16 {
        self.process.port()
    }

    /// The id of its process.
    pub fn client_pid(&self) -> usize {
        self.process.id() as usize
    }

    /// Ends the server at once, as `kill -9` does, and starts it again with the same arguments and store.
    pub fn restart(&mut self) {
        self.process.restart();
    }

    fn url(&self, login: &str) -> String {
        let port = self.client_port();
        // The certificates of the tests are for this name.
        let (scheme, host) =
            if wants_tls(port) { ("tls", "localhost") } else { ("nats", "127.0.0.1") };
        format!("{scheme}://{login}{host}:{port}")
    }
}

/// What the greeting says.
fn wants_tls(port: u16) -> bool {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server accepts");
    socket.set_read_timeout(Some(GREETING)).expect("a time above zero");
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).expect("the server greets");
    let info = line.strip_prefix("INFO ").expect("a greeting is an INFO");
    let info: serde_json::Value = serde_json::from_str(info).expect("an INFO is JSON");
    info["tls_required"].as_bool().unwrap_or(false)
}
