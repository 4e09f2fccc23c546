//! From options, environment and context to a connection.

use std::path::{Path, PathBuf};
use std::time::Duration;

use natterjack::jetstream::JetStream;
use natterjack::{Auth, Connector, ConnectorBuilder, Event, Reconnect, Tls};

use crate::contexts::{Contexts, Settings};
use crate::exit::{Failure, Outcome, status};
use crate::global::Global;
use crate::interrupt::Interrupt;
use crate::output::{Output, Scheme};
use crate::socks::Proxy;
use crate::units;

/// What every verb is given.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) out: Output,
    pub(crate) interrupt: Interrupt,
}

/// The default of `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Limit of connecting to the first of several servers, unless one alone is given longer.
const DEADLINE: Duration = Duration::from_secs(30);

impl Context {
    /// As without any option.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        use crate::output::{ColorChoice, Format};
        let out = Output::new(false, true, Format::Table, ColorChoice::Never);
        Self { global: Global::for_tests(), out, interrupt: Interrupt::listen() }
    }

    /// Connects, and tells of losses until the command ends.
    pub(crate) async fn connect(&self) -> Result<Connector, Failure> {
        let out = self.out;
        // Boxed, because every verb would hold it.
        let builder = Box::pin(self.through_proxy(self.builder()?, None)).await?;
        let connector = Box::pin(builder.build()).await?;
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
                    | Event::Background { .. }
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
        let builder = Box::pin(self.through_proxy(builder, Some(server))).await?;
        Ok(Box::pin(builder.build()).await?)
    }

    /// Connects with a context and nothing else: neither options nor the environment.
    pub(crate) async fn connect_by(&self, name: &str) -> Result<Connector, Failure> {
        let limit = self.timeout()?;
        let builder = Connector::builder().reconnect(Reconnect::Never).from_context(Some(name));
        Ok(builder.connect_timeout(limit).request_timeout(limit).build().await?)
    }

    /// Puts the proxy that is asked for between the builder and its servers.
    async fn through_proxy(
        &self,
        builder: ConnectorBuilder,
        server: Option<&str>,
    ) -> Result<ConnectorBuilder, Failure> {
        let global = &self.global;
        let named = || context_text(global, "socks_proxy");
        let url = global.socks_proxy.clone().or_else(|| env("NATS_SOCKS_PROXY")).or_else(named);
        let Some(url) = url else { return Ok(builder) };
        let (proxy, limit) = (Proxy::parse(&url)?, self.timeout()?);
        let servers = match server {
            Some(server) => vec![server.to_owned()],
            None => self.servers()?,
        };
        let mut dialed = Vec::new();
        for server in &servers {
            dialed.push(proxy.open(server, limit).await?);
        }
        // What the servers say of others could only be reached without the proxy.
        let builder =
            builder.servers(dialed.iter().map(|server| server.url.clone())).discover(false);
        let first = &dialed.first().map(|server| server.host.clone()).unwrap_or_default();
        if dialed.iter().any(|server| server.host != *first) {
            return Ok(builder);
        }
        // Certificates have the server's name, and not that of the port it is reached by.
        let tls = self.tls()?.or(context_tls(global)).unwrap_or_default();
        Ok(builder.tls(tls.server_name(first)))
    }

    /// Where JetStream tells of what happens.
    pub(crate) fn event_prefix(&self) -> String {
        let named = || context_text(&self.global, "jetstream_event_prefix");
        let prefix = self.global.js_event_prefix.clone().or_else(named);
        prefix.unwrap_or_else(|| "$JS.EVENT".to_owned()).trim_end_matches('.').to_owned()
    }

    /// The servers that are asked for, with their logins.
    pub(crate) fn servers(&self) -> Result<Vec<String>, Failure> {
        let servers = match self.global.server.clone().or_else(|| env("NATS_URL")) {
            Some(servers) => servers,
            None => context_text(&self.global, "url")
                .unwrap_or_else(|| "nats://localhost:4222".to_owned()),
        };
        Ok(servers.split(',').map(|server| server.trim().to_owned()).collect())
    }

    fn builder(&self) -> Result<ConnectorBuilder, Failure> {
        let global = &self.global;
        let mut builder = Connector::builder().reconnect(Reconnect::Forever);
        if !global.no_context {
            let named = global.context.clone().or_else(|| env("NATS_CONTEXT"));
            if let Some(name) = named.clone().or_else(selected_context) {
                readable(&name, named.is_some())?;
                builder = builder.from_context(Some(&name));
            }
        }
        if let Some(server) = global.server.clone().or_else(|| env("NATS_URL")) {
            builder = builder.server(server);
        }
        if let Some(auth) = Login::of(global).auth()? {
            builder = builder.auth(auth);
        }
        if let Some(tls) = self.tls()? {
            builder = builder.tls(tls);
        }
        if let Some(prefix) = &global.inbox_prefix {
            builder = builder.inbox_prefix(prefix);
        }
        if let Some(domain) = &global.js_domain {
            builder = builder.jetstream_domain(domain);
        }
        let limit = self.timeout()?;
        let name = global.connection_name.clone();
        Ok(builder
            .connect_timeout(limit)
            .connect_deadline(DEADLINE.max(limit))
            .request_timeout(limit)
            .name(name.unwrap_or_else(|| "NATS CLI Version natterjack".to_owned())))
    }

    /// How long to wait for an answer.
    pub(crate) fn timeout(&self) -> Result<Duration, Failure> {
        match (self.global.timeout, env("NATS_TIMEOUT")) {
            (Some(limit), _) => Ok(limit),
            (None, Some(text)) => units::parse_duration(&text)
                .map_err(|why| Failure::usage(format!("NATS_TIMEOUT: {why}"))),
            (None, None) => Ok(TIMEOUT),
        }
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let global = &self.global;
        let file =
            |given: &Option<PathBuf>, name| given.clone().or_else(|| env(name).map(Into::into));
        let ca = file(&global.tlsca, "NATS_CA");
        let identity = match (file(&global.tlscert, "NATS_CERT"), file(&global.tlskey, "NATS_KEY"))
        {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(Failure::usage("a certificate and its key must be given together")),
        };
        if ca.is_none() && identity.is_none() && !global.tlsfirst {
            return Ok(None);
        }
        let mut tls = Tls::native().first(global.tlsfirst);
        if let Some(ca) = ca {
            tls = tls.ca(ca);
        }
        if let Some((cert, key)) = identity {
            tls = tls.identity(cert, key);
        }
        Ok(Some(tls))
    }
}

/// A variable that is set and not empty.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// What a login is made of.
#[derive(Default)]
struct Login {
    creds: Option<PathBuf>,
    nkey: Option<PathBuf>,
    jwt: Option<String>,
    seed: Option<String>,
    token: Option<String>,
    user: Option<String>,
    password: Option<String>,
}

impl Login {
    /// From options, if they name any; a password, user, seed or JWT that they lack comes from the
    /// environment, as with the `nats` tool. Else from the environment alone.
    fn of(global: &Global) -> Self {
        let Global { creds, nkey, jwt, seed, token, user, password, .. } = global.clone();
        if let (None, None, None) = (&creds, &nkey, &token) {
            if user.is_some() || password.is_some() {
                let (user, password) =
                    (user.or_else(|| env("NATS_USER")), password.or_else(|| env("NATS_PASSWORD")));
                return Self { user, password, ..Self::default() };
            }
            if jwt.is_some() || seed.is_some() {
                let (jwt, seed) =
                    (jwt.or_else(|| env("NATS_JWT")), seed.or_else(|| env("NATS_SEED")));
                return Self { jwt, seed, ..Self::default() };
            }
            return Self {
                creds: env("NATS_CREDS").map(Into::into),
                nkey: env("NATS_NKEY").map(Into::into),
                jwt: env("NATS_JWT"),
                seed: env("NATS_SEED"),
                token: env("NATS_TOKEN"),
                user: env("NATS_USER"),
                password: env("NATS_PASSWORD"),
            };
        }
        Self { creds, nkey, token, ..Self::default() }
    }

    /// The strongest of them: credentials file, nkey, JWT and seed, token, user.
    fn auth(self) -> Result<Option<Auth>, Failure> {
        if let Some(path) = self.creds {
            return Ok(Some(Auth::creds_file(path)));
        }
        if let Some(path) = self.nkey {
            return Ok(Some(Auth::nkey_file(path)));
        }
        let jwt = self.jwt.as_deref().map(text_or_file).transpose()?;
        let seed = self.seed.as_deref().map(text_or_file).transpose()?;
        match (jwt, seed) {
            (Some(jwt), Some(seed)) => return Ok(Some(Auth::JwtAndSeed(jwt.into(), seed.into()))),
            (None, Some(seed)) => return Ok(Some(Auth::nkey_seed(seed))),
            (Some(_), None) => return Err(Failure::usage("a JWT needs its seed")),
            (None, None) => {}
        }
        if let Some(token) = self.token {
            return Ok(Some(Auth::token(token)));
        }
        match (self.user, self.password) {
            (Some(user), Some(password)) => Ok(Some(Auth::user_password(user, password))),
            (Some(user), None) => Ok(Some(Auth::token(user))),
            (None, Some(_)) => Err(Failure::usage("a password needs a user")),
            (None, None) => Ok(None),
        }
    }
}

/// The name of the context of the `nats` tool that is selected.
fn selected_context() -> Option<String> {
    Contexts::open().ok()?.selected()
}

/// Says what is wrong with a context in the words of `context`; that it was not `named` but selected.
fn readable(name: &str, named: bool) -> Outcome {
    // A path needs no directory of contexts.
    let Ok(contexts) = Contexts::open() else { return Ok(()) };
    let Err(failure) = contexts.read(name) else { return Ok(()) };
    let failure = Failure { exit: status::USAGE, ..failure };
    Err(match named {
        true => failure,
        false => {
            failure.hint("it is the selected one: natterjack context unselect, or select NAME")
        }
    })
}

/// How tables are drawn.
pub(crate) fn scheme(global: &Global) -> Scheme {
    let by_env = || Scheme::named(&env("NATS_COLOR")?);
    let by_context = || Scheme::named(&context_text(global, "color_scheme")?);
    global.colors.or_else(by_env).or_else(by_context).unwrap_or_default()
}

/// What the context in use says under a key; nothing if that is empty.
fn context_text(global: &Global, key: &str) -> Option<String> {
    let context = context_in_use(global)?;
    Some(context.get(key)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
}

fn context_in_use(global: &Global) -> Option<Settings> {
    if global.no_context {
        return None;
    }
    let from_env = || env("NATS_CONTEXT");
    let name = global.context.clone().or_else(from_env).or_else(selected_context)?;
    Contexts::open().ok()?.read(&name).ok()
}

/// The files of the context in use, for a connection whose TLS is set here.
fn context_tls(global: &Global) -> Option<Tls> {
    let file = |key| context_text(global, key).map(PathBuf::from);
    let first = context_in_use(global)?.get("tls_first") == Some(&true.into());
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    if ca.is_none() && cert.is_none() && !first {
        return None;
    }
    let mut tls = Tls::native().first(first);
    if let Some(ca) = ca {
        tls = tls.ca(ca);
    }
    if let Some((cert, key)) = cert.zip(key) {
        tls = tls.identity(cert, key);
    }
    Some(tls)
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
