//! The servers that the tour plays on: embedded ones that can be stopped and started again on their
//! port and store, or the user's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use natterjack_server::Server;

/// Attempts to get a port back that was just freed: a client may hold it for a moment.
const REBIND_TRIES: u32 = 50;
const REBIND_WAIT: Duration = Duration::from_millis(20);

/// How an embedded server is set up.
#[derive(Debug, Clone, Default)]
pub(super) struct Setup {
    /// The directory of its streams; `None` runs it without JetStream.
    pub(super) store: Option<PathBuf>,
    /// The token that it asks for.
    pub(super) token: Option<String>,
    /// A configuration file in place of both.
    pub(super) conf: Option<PathBuf>,
}

impl Setup {
    pub(super) fn jetstream(store: impl AsRef<Path>) -> Self {
        Self { store: Some(store.as_ref().to_owned()), ..Self::default() }
    }
}

/// An embedded server.
pub(super) struct Embedded {
    pub(super) setup: Setup,
    server: Option<Server>,
    port: u16,
}

impl Embedded {
    /// Starts a server on a free loopback port.
    pub(super) async fn start(setup: Setup) -> Result<Self, String> {
        let mut embedded = Self { setup, server: None, port: 0 };
        embedded.begin().await?;
        Ok(embedded)
    }

    async fn begin(&mut self) -> Result<(), String> {
        let mut tries = 0;
        let server = loop {
            let mut builder = Server::builder().port(self.port);
            if let Some(conf) = &self.setup.conf {
                builder = builder.config_file(conf).map_err(|error| error.to_string())?;
            }
            if let Some(store) = &self.setup.store {
                builder = builder.jetstream(store);
            }
            if let Some(token) = &self.setup.token {
                builder = builder.token(token.clone());
            }
            match builder.start().await {
                Ok(server) => break server,
                Err(_) if self.port != 0 && tries < REBIND_TRIES => {
                    tries += 1;
                    tokio::time::sleep(REBIND_WAIT).await;
                }
                Err(error) => return Err(format!("the embedded server does not start: {error}")),
            }
        };
        let url = server.client_url();
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        self.port = port.ok_or_else(|| format!("the embedded server gave no port: {url}"))?;
        self.server = Some(server);
        Ok(())
    }

    /// Its URL, the same after each start.
    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The server, while it runs.
    pub(super) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Stops it and waits until its port and its store are free.
    pub(super) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
    }

    /// Starts it again, on its port and store.
    pub(super) async fn start_again(&mut self) -> Result<(), String> {
        self.begin().await
    }
}
