//! Stands between programs and a server. It can stop passing anything on, as a server that hangs, and tell
//! clients of another server, as a cluster does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) struct Gate {
    pub(crate) url: String,
    shut: Arc<AtomicBool>,
    others: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    /// In front of the server with this address.
    pub(crate) fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let (shut, others) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (is_shut, known, server) =
            (shut.clone(), others.clone(), server.replace("nats://", ""));
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                // A server that is away refuses.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let others = known.lock().unwrap().clone();
                let (to_client, to_server) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (up, down) = (is_shut.clone(), is_shut.clone());
                thread::spawn(move || pass(client, to_server, &up));
                thread::spawn(move || greet(server, to_client, &others, &down));
            }
        });
        Self { url, shut, others }
    }

    /// From now on it takes everything and passes on nothing.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    /// From the next connection on, clients are told of this server.
    pub(crate) fn announce(&self, address: &str) {
        self.others.lock().unwrap().push(address.replace("nats://", ""));
    }
}

/// Passes on what the server says, with the others in its greeting.
fn greet(server: TcpStream, mut client: TcpStream, others: &[String], shut: &AtomicBool) {
    let mut server = BufReader::new(server);
    let mut line = String::new();
    if server.read_line(&mut line).is_err() {
        return;
    }
    if let Some(info) = line.trim_end().strip_prefix("INFO ").filter(|_| !others.is_empty()) {
        let mut info: serde_json::Value = serde_json::from_str(info).unwrap();
        info["connect_urls"] = others.into();
        line = format!("INFO {info}\r\n");
    }
    if client.write_all(line.as_bytes()).is_ok() {
        pass(server, client, shut);
    }
}

fn pass(mut from: impl Read, mut to: TcpStream, shut: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !shut.load(Ordering::Relaxed) && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other direction ends, too.
    let _ = to.shutdown(std::net::Shutdown::Both);
}
