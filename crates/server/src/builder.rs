//! How a program asks for a server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use natterjack_config::flags::Overrides;
use natterjack_config::{Options, language::Source};

use crate::log::LogOptions;
use crate::program::{LoginAttempt, LoginGrant, Program};
use crate::server::Server;
use crate::start::{self, StartError};

/// Where JetStream keeps file streams.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// In files below this directory; `None` is the user's data directory.
    Directory(Option<PathBuf>),
    /// In memory: everything is gone with the server.
    Memory,
    /// In files below a directory, on a disk that fails when it is told to.
    #[cfg(test)]
    Faulty(PathBuf, std::sync::Arc<crate::disk::faulty::Faults>),
}

/// The options of an embedded server. Without any, it listens on a free port of the loopback address,
/// without a login, without JetStream and without a log.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) log: Option<LogOptions>,
    pub(crate) workers: usize,
    pub(crate) program: String,
    /// What the program decides about logins.
    pub(crate) program_logins: Option<Program>,
    /// The flags, which win over the file also when it is read again.
    pub(crate) overrides: Option<Overrides>,
}

impl Default for Builder {
    fn default() -> Self {
        let options = Options { host: Some("127.0.0.1".into()), port: 0, ..Options::default() };
        Builder {
            options,
            store: Store::Directory(None),
            log: None,
            workers: 1,
            program: "natterjack".into(),
            program_logins: None,
            overrides: None,
        }
    }
}

impl Builder {
    /// Listens on this host (default `127.0.0.1`).
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.options.host = Some(host.into());
        self
    }

    /// Listens on this port; 0 (the default) takes a free one, which [`Server::client_url`] tells.
    pub fn port(mut self, port: u16) -> Self {
        self.options.port = port;
        self
    }

    /// Listens on this address.
    pub fn address(self, address: SocketAddr) -> Self {
        self.host(address.ip().to_string()).port(address.port())
    }

    /// The server's name; default is its public key.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.server_name = Some(name.into());
        self
    }

    /// Switches JetStream on, with file streams in memory: nothing is left on the disk, and nothing
    /// survives the server.
    pub fn jetstream_in_memory(mut self) -> Self {
        self.options.jetstream.enabled = true;
        self.store = Store::Memory;
        self
    }

    /// Switches JetStream on, with its files below `directory`, which is created if need be. Only one
    /// server at a time may use it.
    pub fn jetstream(mut self, directory: impl AsRef<Path>) -> Self {
        self.options.jetstream.enabled = true;
        self.store = Store::Directory(Some(directory.as_ref().to_owned()));
        self
    }

    /// Clients must present this token (plain, or a bcrypt hash of it).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.authorization.token = Some(token.into());
        self
    }

    /// Clients must present this name and password (plain, or a bcrypt hash of it).
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.options.authorization.user = Some(name.into());
        self.options.authorization.password = Some(password.into());
        self
    }

    /// Lets the program decide about every login, whatever else is configured about logins. It is asked on
    /// the server's own threads, and has the login timeout (2 seconds by default) to answer; a refusal's
    /// text is for the log, clients read `Authorization Violation`. After a reload nobody is asked again.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use natterjack_server::{LoginGrant, Server};
    ///
    /// let server = Server::builder()
    ///     .logins(|attempt| async move {
    ///         match (attempt.user, attempt.password.as_deref()) {
    ///             (Some(user), Some("secret")) => Ok(LoginGrant::user(user).allow_publish(["orders.>"])),
    ///             _ => Err("unknown".to_owned()),
    ///         }
    ///     })
    ///     .start()
    ///     .await?;
    /// # server.shutdown().await;
    /// # Ok::<(), natterjack_server::StartError>(())
    /// # }).unwrap();
    /// ```
    pub fn logins<F, D>(mut self, decide: F) -> Self
    where
        F: Fn(LoginAttempt) -> D + Send + Sync + 'static,
        D: Future<Output = Result<LoginGrant, String>> + Send + 'static,
    {
        self.program_logins = Some(Program::new(decide));
        self
    }

    /// Takes everything from a configuration text in nats-server's language. `host` and `port` of this
    /// builder stay unless the text names its own.
    ///
    /// # Errors
    /// What is wrong in the text, with line and column.
    pub fn config(self, text: &str) -> Result<Self, StartError> {
        let options = Options::parse(text, "config", &crate::files::RealSource)?;
        Ok(self.merge(options))
    }

    /// Takes everything from a configuration file of nats-server.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong in it, with line and column.
    pub fn config_file(self, path: impl AsRef<Path>) -> Result<Self, StartError> {
        let path = path.as_ref().to_string_lossy().into_owned();
        let options = Options::load(&path, &crate::files::RealSource as &dyn Source)?;
        Ok(self.merge(options))
    }

    fn merge(mut self, options: Options) -> Self {
        let options = Self::over(&self.options, options);
        if let Some(directory) = &options.jetstream.store_dir {
            self.store = Store::Directory(Some(directory.into()));
        }
        self.options = options;
        self
    }

    /// What a text says over what the program chose: host, port and JetStream stay unless it names them.
    pub(crate) fn over(chosen: &Options, mut options: Options) -> Options {
        if options.host.is_none() {
            options.host.clone_from(&chosen.host);
        }
        if options.port == natterjack_config::options::DEFAULT_PORT {
            options.port = chosen.port;
        }
        options.jetstream.enabled |= chosen.jetstream.enabled;
        options
    }

    /// Takes these options as they are, as the command line does.
    pub fn options(mut self, options: Options) -> Self {
        self.store = Store::Directory(options.jetstream.store_dir.as_deref().map(Into::into));
        self.options = options;
        self
    }

    /// Worker threads (default 1).
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Writes a log; without this call an embedded server writes none.
    pub fn log(mut self, log: LogOptions) -> Self {
        self.log = Some(log);
        self
    }

    pub(crate) fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = Some(overrides);
        self
    }

    /// The name in log lines and of the ports file (default `natterjack`).
    pub(crate) fn program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// Starts the server and returns once it accepts clients.
    ///
    /// Dropping the future before it is ready stops what was started.
    ///
    /// # Errors
    /// The options contradict each other, the address is in use, or the store cannot be used.
    pub async fn start(self) -> Result<Server, StartError> {
        let (done, is_done) = tokio::sync::oneshot::channel();
        // Recovery reads files: not on the caller's runtime.
        let starter = std::thread::Builder::new()
            .name("natterjack-start".into())
            .spawn(move || drop(done.send(start::start(self))))
            .map_err(StartError::Thread)?;
        let outcome = is_done.await;
        drop(starter);
        outcome.unwrap_or(Err(StartError::Aborted))
    }

    /// As [`Builder::start`], for callers without a runtime.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub fn start_blocking(self) -> Result<Server, StartError> {
        start::start(self)
    }
}
