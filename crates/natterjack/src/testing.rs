//! A test kit: a server of one's own, on a free port of the loopback address, with a directory that goes
//! with it.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = natterjack::testing::server().await?;
//! let connector = natterjack::Connector::connect(server.url()).await?;
//! server.restart().await?; // same port, same directory
//! # connector.close().await?; Ok(()) }
//! ```

use natterjack_server::{Builder, Server, StartError};

/// A server with JetStream on disk, in a directory of its own.
///
/// # Errors
/// The server cannot start.
pub async fn server() -> Result<TestServer, StartError> {
    server_with(|builder| builder).await
}

/// A server with JetStream on disk, in a directory of its own, and other options.
///
/// # Errors
/// The server cannot start.
pub async fn server_with(
    options: impl FnOnce(Builder) -> Builder,
) -> Result<TestServer, StartError> {
    let directory = tempfile::tempdir().map_err(StartError::Thread)?;
    let builder = options(Server::builder().jetstream(directory.path()));
    let server = builder.clone().start().await?;
    let url = server.client_url();
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    Ok(TestServer { builder: builder.port(port), server: Some(server), url, directory })
}

/// A server that can be stopped and started again. Dropping it stops it and removes its directory.
#[derive(Debug)]
pub struct TestServer {
    builder: Builder,
    server: Option<Server>,
    url: String,
    directory: tempfile::TempDir,
}

impl TestServer {
    /// The address to connect to; stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The directory of its streams.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The server, while it runs.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Stops it, and waits until its port is free.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
    }

    /// Starts it again, on the same port with the same directory. Does nothing if it runs.
    ///
    /// # Errors
    /// The server cannot start.
    pub async fn start(&mut self) -> Result<(), StartError> {
        if self.server.is_none() {
            self.server = Some(self.builder.clone().start().await?);
        }
        Ok(())
    }

    /// Starts it again with other options.
    ///
    /// # Errors
    /// The server cannot start.
    pub async fn start_with(
        &mut self,
        options: impl FnOnce(Builder) -> Builder,
    ) -> Result<(), StartError> {
        self.stop().await;
        self.builder = options(self.builder.clone());
        self.start().await
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    /// The server cannot start.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.stop().await;
        self.start().await
    }
}
