//! The handle of a running server.

use std::sync::Arc;
use std::time::Duration;

use natterjack_config::Options;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::builder::Builder;
use crate::hub::Hub;
use crate::transport::pipe::InProcess;

/// A running server. Dropping it stops it without waiting; [`Server::shutdown`] waits.
pub struct Server {
    pub(crate) hub: Arc<Hub>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) runtime: Option<Runtime>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("client_url", &self.client_url()).finish_non_exhaustive()
    }
}

impl Server {
    /// Begins a server's options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The URL that clients connect to, without credentials: `nats://127.0.0.1:4222`, with TLS
    /// `tls://127.0.0.1:4222`.
    pub fn client_url(&self) -> String {
        let scheme = if self.hub.transports().client.is_some() { "tls" } else { "nats" };
        self.hub.ports().client.map_or_else(String::new, |address| format!("{scheme}://{address}"))
    }

    /// The URL that WebSocket clients connect to, if there is a listener for them.
    pub fn websocket_url(&self) -> Option<String> {
        let scheme = if self.hub.transports().websocket.is_some() { "wss" } else { "ws" };
        self.hub.ports().websocket.map(|address| format!("{scheme}://{address}"))
    }

    /// The URL of the monitoring port, if it is on.
    pub fn monitor_url(&self) -> Option<String> {
        self.hub.ports().monitor.map(|address| format!("http://{address}"))
    }

    /// The URL of the monitoring port with TLS, if it is on.
    pub fn secure_monitor_url(&self) -> Option<String> {
        self.hub.ports().secure_monitor.map(|address| format!("https://{address}"))
    }

    /// The server's public key (`N…`), new at each start.
    pub fn id(&self) -> &str {
        &self.hub.id().public_key
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.hub.id().name
    }

    /// Live connections.
    pub fn connections(&self) -> usize {
        self.hub.connection_count()
    }

    /// Connections that were closed because they did not read fast enough, since the start.
    pub fn slow_consumers(&self) -> u64 {
        self.hub.stats().slow_consumers.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Connects a client within the process, without a socket and without TLS. The two speak the NATS
    /// protocol; the server begins, with INFO. Users whose `allowed_connection_types` are limited need
    /// `IN_PROCESS` among them.
    ///
    /// # Errors
    /// The server stops, or is in lame duck mode.
    pub fn connect_in_process(&self) -> std::io::Result<InProcess> {
        if self.hub.is_stopping() || self.hub.is_lame_duck() || *self.stop.borrow() {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        Ok(crate::connection::start_in_process(&self.hub))
    }

    /// Asks the server to stop; returns at once.
    pub fn request_stop(&self) {
        let _ = self.stop.send(true);
    }

    /// Enters lame duck mode: no new clients, then the present ones are sent away one by one.
    pub fn lame_duck(&self) {
        crate::start::enter_lame_duck(&self.hub, self.stop.clone());
    }

    /// Reads the configuration again and applies what can change.
    ///
    /// # Errors
    /// The configuration is wrong, or a change needs a restart; then nothing changed.
    pub fn reload(&self) -> Result<(), String> {
        crate::reload::reload(&self.hub)
    }

    /// The options that the server runs with: what was configured, or reloaded since.
    pub fn options(&self) -> Arc<Options> {
        self.hub.options()
    }

    /// Applies other options while the server runs, all of what differs or nothing. Begin with those of
    /// [`Server::options`]. It reads files and may wait for the disk: not to be called where that hurts.
    ///
    /// # Errors
    /// The options contradict each other, or a change needs a restart; then nothing changed.
    pub fn reload_options(&self, options: Options) -> Result<(), String> {
        crate::reload::reload_options(&self.hub, options)
    }

    /// Applies a configuration text in nats-server's language, as [`Server::reload_options`] does options.
    /// Host, port and JetStream stay as they are where it does not name them.
    ///
    /// # Errors
    /// What is wrong in the text, with line and column; or as [`Server::reload_options`].
    pub fn reload_config(&self, text: &str) -> Result<(), String> {
        let options = Options::parse(text, "config", &crate::files::RealSource)
            .map_err(|error| error.to_string())?;
        self.reload_options(Builder::over(&self.hub.options(), options))
    }

    /// What a panic within the server said, if there was one. The server stops then by itself, as if it had
    /// been killed: [`Server::stopped`] tells when, and what was acknowledged is there at the next start.
    pub fn panicked(&self) -> Option<&str> {
        self.hub.runtime().panicked()
    }

    /// Waits until the server has stopped, whether it was asked to or not: its port and its store are free.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // The sender lives in the server's own task; if that is gone, so is the server.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Stops and waits until port and store are free.
    pub async fn shutdown(mut self) {
        self.request_stop();
        self.stopped().await;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// As [`Server::shutdown`], for callers without a runtime.
    pub fn shutdown_blocking(mut self) {
        self.request_stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.stopped());
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.request_stop();
        if let Some(runtime) = self.runtime.take() {
            // The stop is finished by the server's own threads; a plain drop of a runtime would block,
            // which an async caller must not.
            let finish = std::thread::Builder::new().name("natterjack-stop".into()).spawn({
                let mut stopped = self.stopped.clone();
                move || {
                    runtime.block_on(async {
                        let _ = tokio::time::timeout(
                            Duration::from_secs(10),
                            stopped.wait_for(|stopped| *stopped),
                        )
                        .await;
                    });
                    runtime.shutdown_background();
                }
            });
            // Without a thread the runtime was dropped with the closure; nothing is left to do.
            drop(finish);
        }
    }
}
