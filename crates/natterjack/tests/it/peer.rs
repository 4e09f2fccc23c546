//! A peer that speaks just enough of the protocol, and can fall silent.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Peer {
    pub(crate) url: String,
    frozen: watch::Sender<bool>,
    others: watch::Sender<Vec<String>>,
    /// Connections that were accepted.
    pub(crate) accepted: watch::Receiver<u32>,
    /// Requests that have come, answered or not.
    pub(crate) asked: watch::Receiver<u32>,
}

/// What a peer says to a login.
#[derive(Clone, Copy)]
pub(crate) enum Says {
    Welcome,
    Refused,
    Nothing,
}

impl Peer {
    pub(crate) async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let (frozen, freeze) = watch::channel(false);
        let (count, accepted) = watch::channel(0);
        let (others, known) = watch::channel(Vec::new());
        let (request, asked) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                let others = known.borrow().clone();
                tokio::spawn(talk(stream, says, others, freeze.clone(), request.clone()));
            }
        });
        Self { url, frozen, others, accepted, asked }
    }

    /// Tells of another server from the next connection on.
    pub(crate) fn announce(&self, address: &str) {
        self.others.send_modify(|others| others.push(address.to_owned()));
    }

    /// From now on it reads and does not answer.
    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(true);
    }
}

async fn talk(
    mut stream: TcpStream,
    says: Says,
    others: Vec<String>,
    frozen: watch::Receiver<bool>,
    requests: watch::Sender<u32>,
) {
    if matches!(says, Says::Nothing) {
        std::future::pending::<()>().await;
    }
    let info = serde_json::json!({
        "server_id": "S", "server_name": "peer", "version": "2.15.1", "headers": true,
        "max_payload": 1024, "connect_urls": others,
    });
    let _ = stream.write_all(format!("INFO {info}\r\n").as_bytes()).await;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut reply_sid = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "PUB" && words.len() == 4 {
            requests.send_modify(|count| *count += 1);
        }
        if *frozen.borrow() {
            continue;
        }
        let answer = match (words[0], says) {
            ("CONNECT", Says::Refused) => "-ERR 'Authorization Violation'\r\n".to_owned(),
            ("PING", Says::Refused) => return,
            ("PING", _) => "PONG\r\n".to_owned(),
            ("SUB", _) => {
                reply_sid = words.last().unwrap().to_string();
                continue;
            }
            // A request to nobody: no responders.
            ("PUB", _) if words.len() == 4 => {
                let header = "NATS/1.0 503\r\n\r\n";
                let (reply, len) = (words[2], header.len());
                format!("HMSG {reply} {reply_sid} {len} {len}\r\n{header}\r\n")
            }
            _ => continue,
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
