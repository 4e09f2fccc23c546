//! Stands between a client and its server, and can hold back what the server says.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Gate {
    pub(crate) url: String,
    held: watch::Sender<bool>,
}

impl Gate {
    /// In front of the server with this address.
    pub(crate) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = server.replace("nats://", "");
        let (held, hold) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(pass(client, server, hold.clone()));
            }
        });
        Self { url, held }
    }

    /// From now on nothing of what the server says arrives.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    /// What was held back arrives, and all that follows.
    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }
}

async fn pass(client: TcpStream, server: TcpStream, mut held: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if held.wait_for(|held| !held).await.is_err()
                || to_client.write_all(&buffer[..read]).await.is_err()
            {
                break;
            }
        }
    };
    // Either end closes both.
    tokio::select! {
        _ = up => {}
        () = down => {}
    }
}
