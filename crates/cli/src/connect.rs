//! From options, environment and context to a connection.

use std::path::{Path, PathBuf};
use std::time::Duration;

use natterjack::jetstream::JetStream;
use natterjack::{Auth, Connector, ConnectorBuilder, Event, Reconnect, Tls};

use crate::args::Global;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// What every verb is given.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) out: Output,
    pub(crate) interrupt: Interrupt,
}

/// The default of `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Context {
    /// Connects, and tells of losses until the command ends.
    pub(crate) async fn connect(&self) -> Result<Connector, Failure> {
        let out = self.out;
        let connector = self.builder()?.build().await?;
        let mut events = connector.events();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::Disconnected { .. }
                    | Event::ReconnectFailed { .. }
                    | Event::Reconnected { .. }
                    | Event::LameDuck { .. } => out.log(event.to_string()),
                    Event::SlowConsumer { .. }
                    | Event::ServerError { .. }
                    | Event::AuthExpired { .. }
                    | Event::MaxConnections { .. } => out.warn(event.to_string()),
                    _ => {}
                }
            }
        });
        Ok(connector)
    }

    /// JetStream in the domain, or under the prefix, that is asked for.
    pub(crate) fn jetstream(&self, connector: &Connector) -> JetStream {
        match &self.global.js_api_prefix {
            Some(prefix) => connector.jetstream().api_prefix(prefix.trim_end_matches('.')),
            None => connector.jetstream(),
        }
    }

    /// Connects to one server, and does not reconnect.
    pub(crate) async fn connect_to(&self, server: &str) -> Result<Connector, Failure> {
        let builder = self.builder()?.server(server).reconnect(Reconnect::Never).discover(false);
        Ok(builder.build().await?)
    }

    /// The servers that are asked for, with their logins.
    pub(crate) fn servers(&self) -> Result<Vec<String>, Failure> {
        let from_env = || std::env::var("NATS_URL").ok().filter(|text| !text.is_empty());
        let servers = match self.global.server.clone().or_else(from_env) {
            Some(servers) => servers,
            None => context_url(&self.global).unwrap_or_else(|| "nats://localhost:4222".to_owned()),
        };
        Ok(servers.split(',').map(|server| server.trim().to_owned()).collect())
    }

    fn builder(&self) -> Result<ConnectorBuilder, Failure> {
        let global = &self.global;
        let mut builder = Connector::builder().reconnect(Reconnect::Forever).from_env();
        if !global.no_context {
            if let Some(name) = &global.context {
                builder = builder.from_context(Some(name));
            } else if std::env::var_os("NATS_CONTEXT").is_none() && selected_context().is_some() {
                builder = builder.from_context(None);
            }
        }
        if let Some(server) = &global.server {
            builder = builder.server(server);
        }
        if let Some(auth) = self.auth()? {
            builder = builder.auth(auth);
        }
        if let Some(tls) = self.tls() {
            builder = builder.tls(tls);
        }
        if let Some(limit) = self.timeout() {
            builder = builder.connect_timeout(limit).request_timeout(limit);
        }
        if let Some(prefix) = &global.inbox_prefix {
            builder = builder.inbox_prefix(prefix);
        }
        if let Some(domain) = &global.js_domain {
            builder = builder.jetstream_domain(domain);
        }
        let name = global.connection_name.clone();
        Ok(builder.name(name.unwrap_or_else(|| "NATS CLI Version natterjack".to_owned())))
    }

    /// The limit to set; `None` leaves it to the environment.
    fn timeout(&self) -> Option<Duration> {
        let from_env = std::env::var("NATS_TIMEOUT").is_ok_and(|text| !text.is_empty());
        self.global.timeout.or((!from_env).then_some(TIMEOUT))
    }

    /// The login that options name; `None` leaves it to the environment and the context.
    fn auth(&self) -> Result<Option<Auth>, Failure> {
        let global = &self.global;
        if let Some(path) = &global.creds {
            return Ok(Some(Auth::creds_file(path)));
        }
        if let Some(path) = &global.nkey {
            return Ok(Some(Auth::nkey_file(path)));
        }
        let jwt = global.jwt.as_deref().map(text_or_file).transpose()?;
        let seed = global.seed.as_deref().map(text_or_file).transpose()?;
        match (jwt, seed) {
            (Some(jwt), Some(seed)) => return Ok(Some(Auth::JwtAndSeed(jwt.into(), seed.into()))),
            (None, Some(seed)) => return Ok(Some(Auth::nkey_seed(seed))),
            (Some(_), None) => return Err(Failure::usage("--jwt needs --seed")),
            (None, None) => {}
        }
        if let Some(token) = &global.token {
            return Ok(Some(Auth::token(token)));
        }
        let password = || std::env::var("NATS_PASSWORD").ok().filter(|text| !text.is_empty());
        match (&global.user, global.password.clone()) {
            (Some(user), given) => Ok(Some(match given.or_else(password) {
                Some(password) => Auth::user_password(user, password),
                None => Auth::token(user),
            })),
            (None, Some(password)) => match std::env::var("NATS_USER") {
                Ok(user) if !user.is_empty() => Ok(Some(Auth::user_password(user, password))),
                _ => Err(Failure::usage("--password needs --user")),
            },
            (None, None) => Ok(None),
        }
    }

    fn tls(&self) -> Option<Tls> {
        let global = &self.global;
        let identity = global.tlscert.as_ref().zip(global.tlskey.as_ref());
        if global.tlsca.is_none() && identity.is_none() && !global.tlsfirst {
            return None;
        }
        let mut tls = Tls::native().first(global.tlsfirst);
        if let Some(ca) = &global.tlsca {
            tls = tls.ca(ca);
        }
        if let Some((cert, key)) = identity {
            tls = tls.identity(cert, key);
        }
        Some(tls)
    }
}

/// Where the `nats` tool keeps its contexts (ADR-21).
fn contexts() -> Option<PathBuf> {
    let filled = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = filled("XDG_CONFIG_HOME").or_else(|| Some(filled("HOME")?.join(".config")))?;
    Some(base.join("nats"))
}

/// The name of the context that is selected there.
fn selected_context() -> Option<String> {
    let name = std::fs::read_to_string(contexts()?.join("context.txt")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The servers of the context in use.
fn context_url(global: &Global) -> Option<String> {
    if global.no_context {
        return None;
    }
    let from_env = || std::env::var("NATS_CONTEXT").ok().filter(|name| !name.is_empty());
    let name = global.context.clone().or_else(from_env).or_else(selected_context)?;
    let path = match name.ends_with(".json") {
        true => PathBuf::from(name),
        false => contexts()?.join("context").join(format!("{name}.json")),
    };
    let context: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    Some(context.get("url")?.as_str()?.to_owned()).filter(|url| !url.is_empty())
}

/// The content of the file that `text` names, or `text` itself.
fn text_or_file(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(text.to_owned());
    }
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(content.trim().to_owned()),
        Err(error) => Err(Failure::io(path.display(), &error)),
    }
}
