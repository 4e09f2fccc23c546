//! Options from the environment and from contexts (ADR-21), which the `nats` tool shares.
//!
//! Strongest first: builder calls, `NATS_*` variables, the context, defaults. Within one source, a
//! credentials file wins over an nkey, that over JWT and seed, that over a token, that over a user.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::options::Tls;
use super::place::{Place, expand, fetch};
use crate::auth::Auth;
use crate::error::{BadOption, Error};
use crate::secret::Secret;

/// What one source of options says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    pub(crate) servers: Option<Vec<String>>,
    pub(crate) auth: Option<Auth>,
    pub(crate) tls: Option<Tls>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) inbox_prefix: Option<String>,
    pub(crate) js_domain: Option<String>,
    pub(crate) js_api_prefix: Option<String>,
}

impl Layer {
    /// This layer, and `weaker` where this one says nothing.
    pub(crate) fn over(self, weaker: Self) -> Self {
        Self {
            servers: self.servers.or(weaker.servers),
            auth: self.auth.or(weaker.auth),
            tls: self.tls.or(weaker.tls),
            timeout: self.timeout.or(weaker.timeout),
            inbox_prefix: self.inbox_prefix.or(weaker.inbox_prefix),
            js_domain: self.js_domain.or(weaker.js_domain),
            js_api_prefix: self.js_api_prefix.or(weaker.js_api_prefix),
        }
    }
}

fn bad(option: &str, why: impl Into<String>) -> Error {
    BadOption { option: option.to_owned(), why: why.into() }.into()
}

/// The variables, and the context that `NATS_CONTEXT` names, as one layer.
pub(crate) fn from_vars(var: &dyn Fn(&str) -> Option<String>) -> Result<Layer, Error> {
    let get = |name: &str| var(name).filter(|text| !text.is_empty());
    let auth = choose_auth(Logins {
        creds: get("NATS_CREDS").map(|path| Place::File(path.into())),
        nkey: get("NATS_NKEY").map(|path| Place::File(path.into())),
        jwt: get("NATS_JWT"),
        seed: get("NATS_SEED"),
        token: get("NATS_TOKEN"),
        user: get("NATS_USER"),
        password: get("NATS_PASSWORD"),
    })
    .map_err(|why| bad("NATS_*", why))?;
    let timeout = match get("NATS_TIMEOUT") {
        Some(text) => Some(
            parse_duration(&text)
                .ok_or_else(|| bad("NATS_TIMEOUT", format!("`{text}` is no duration")))?,
        ),
        None => None,
    };
    let layer = Layer {
        servers: get("NATS_URL").map(|url| vec![url]),
        auth,
        tls: tls(get("NATS_CA"), get("NATS_CERT"), get("NATS_KEY"), false)
            .map_err(|why| bad("NATS_CERT", why))?,
        timeout,
        ..Layer::default()
    };
    match get("NATS_CONTEXT") {
        Some(name) => Ok(layer.over(from_context(Some(&name), var)?)),
        None => Ok(layer),
    }
}

/// The context `name`, or the selected one; a name that ends in `.json` is a path.
pub(crate) fn from_context(
    name: Option<&str>,
    var: &dyn Fn(&str) -> Option<String>,
) -> Result<Layer, Error> {
    let directory = match var("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(var("HOME").unwrap_or_default()).join(".config"),
    }
    .join("nats");
    let name = match name {
        Some(name) => name.to_owned(),
        None => std::fs::read_to_string(directory.join("context.txt"))
            .map_err(|_| bad("context", "none is selected"))?
            .trim()
            .to_owned(),
    };
    let path = if name.ends_with(".json") {
        PathBuf::from(&name)
    } else if name.is_empty() || name.contains(['/', '\\']) || name.contains("..") {
        return Err(bad("context", format!("`{name}` is no context name")));
    } else {
        directory.join("context").join(format!("{name}.json"))
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| bad("context", format!("{}: {error}", path.display())))?;
    let file: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
        bad("context", format!("{}: {}: not valid", path.display(), place_of(&error)))
    })?;
    let layer = ContextFile(file).layer(var);
    layer.map_err(|why| bad("context", format!("{}: {why}", path.display())))
}

/// Where a JSON text is wrong, without what stands there, which may be secret.
fn place_of(error: &serde_json::Error) -> String {
    match error.line() {
        0 => "it is no object".to_owned(),
        line => format!("line {line}"),
    }
}

/// A context by its keys. What is not there, null or empty says nothing; keys that mean something to
/// others are passed over.
struct ContextFile(Map<String, Value>);

impl ContextFile {
    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("{key} is no text")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("{key} is neither true nor false")),
        }
    }

    fn layer(self, var: &dyn Fn(&str) -> Option<String>) -> Result<Layer, String> {
        let file = |key| Ok::<_, String>(self.text(key)?.map(|text| expand(&text, var)));
        let secret = |key| self.text(key)?.map(|text| fetch(&text, var)).transpose();
        let place = |text: Option<String>| text.map(|text| Place::of(&text, var)).transpose();
        // The older spelling of credentials in a store of nsc's.
        let nsc = self
            .text("nsc")?
            .map(|user| format!("nsc://{}", user.strip_prefix("nsc://").unwrap_or(&user)));
        let creds = place(self.text("creds")?.or(nsc))?;
        let nkey = place(self.text("nkey")?)?;
        let auth = choose_auth(Logins {
            creds,
            nkey,
            jwt: secret("user_jwt")?,
            seed: secret("user_seed")?,
            token: secret("token")?,
            user: secret("user")?,
            password: secret("password")?,
        })?;
        Ok(Layer {
            servers: self.text("url")?.map(|url| vec![url]),
            auth,
            tls: tls(file("ca")?, file("cert")?, file("key")?, self.flag("tls_first")?)?,
            timeout: None,
            inbox_prefix: self.text("inbox_prefix")?,
            js_domain: self.text("jetstream_domain")?,
            js_api_prefix: self.text("jetstream_api_prefix")?,
        })
    }
}

struct Logins {
    creds: Option<Place>,
    nkey: Option<Place>,
    jwt: Option<String>,
    seed: Option<String>,
    token: Option<String>,
    user: Option<String>,
    password: Option<String>,
}

fn choose_auth(logins: Logins) -> Result<Option<Auth>, String> {
    match logins.creds {
        Some(Place::File(path)) => return Ok(Some(Auth::creds_file(path))),
        Some(Place::Text(text)) => return Ok(Some(Auth::creds_text(text))),
        None => {}
    }
    match logins.nkey {
        Some(Place::File(path)) => return Ok(Some(Auth::nkey_file(path))),
        Some(Place::Text(seed)) => return Ok(Some(Auth::nkey_seed(seed))),
        None => {}
    }
    match (logins.jwt, logins.seed) {
        (Some(jwt), Some(seed)) => return Ok(Some(Auth::JwtAndSeed(jwt.into(), seed.into()))),
        (None, Some(seed)) => return Ok(Some(Auth::nkey_seed(seed))),
        (Some(_), None) => return Err("a JWT needs its seed".into()),
        (None, None) => {}
    }
    if let Some(token) = logins.token {
        return Ok(Some(Auth::token(token)));
    }
    match (logins.user, logins.password) {
        (Some(user), Some(password)) => Ok(Some(Auth::user_password(user, password))),
        // As with the `nats` tool: a user without a password is a token.
        (Some(user), None) => Ok(Some(Auth::Token(Secret::from(user)))),
        (None, Some(_)) => Err("a password needs a user".into()),
        (None, None) => Ok(None),
    }
}

fn tls(
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    first: bool,
) -> Result<Option<Tls>, String> {
    if ca.is_none() && cert.is_none() && key.is_none() && !first {
        return Ok(None);
    }
    let mut tls = Tls::native().first(first);
    if let Some(ca) = ca {
        tls = tls.ca(ca);
    }
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(tls.identity(cert, key))),
        (None, None) => Ok(Some(tls)),
        _ => Err("a certificate and its key must be given together".into()),
    }
}

/// `500ms`, `5s`, `1d3h5m2s`; a bare number counts seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let value: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(value * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::ConnectorBuilder;

    fn vars(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn login(pairs: &'static [(&'static str, &'static str)]) -> String {
        format!("{:?}", from_vars(&vars(pairs)).unwrap().auth)
    }

    // Shows U-017.
    #[test]
    fn every_variable_is_honoured() {
        let layer = from_vars(&vars(&[
            ("NATS_URL", "nats://h:1"),
            ("NATS_TIMEOUT", "2s500ms"),
            ("NATS_CA", "/ca"),
            ("NATS_CERT", "/c"),
            ("NATS_KEY", "/k"),
        ]))
        .unwrap();
        assert_eq!(layer.servers.unwrap(), ["nats://h:1"]);
        assert_eq!(layer.timeout, Some(Duration::from_millis(2500)));
        let tls = layer.tls.unwrap();
        assert_eq!((tls.ca, tls.identity), (Some("/ca".into()), Some(("/c".into(), "/k".into()))));
        for (pairs, want) in [
            (
                &[("NATS_CREDS", "/u.creds"), ("NATS_TOKEN", "t")][..],
                "Some(credentials from /u.creds)",
            ),
            (&[("NATS_NKEY", "/u.nk")][..], "Some(nkey from /u.nk)"),
            (&[("NATS_JWT", "j"), ("NATS_SEED", "s")][..], "Some(jwt)"),
            (&[("NATS_SEED", "s")][..], "Some(nkey)"),
            (&[("NATS_TOKEN", "t")][..], "Some(token)"),
            (&[("NATS_USER", "u"), ("NATS_PASSWORD", "p")][..], "Some(user and password (u, ***))"),
            (&[("NATS_USER", "u")][..], "Some(token)"),
            (&[("NATS_TOKEN", "")][..], "None"),
        ] {
            assert_eq!(login(pairs), want);
        }
        let refused = |pairs| from_vars(&vars(pairs)).unwrap_err().to_string();
        assert!(refused(&[("NATS_TIMEOUT", "soon")]).contains("NATS_TIMEOUT"));
        assert!(refused(&[("NATS_PASSWORD", "p")]).contains("needs a user"));
        assert!(refused(&[("NATS_CERT", "/c")]).contains("together"));
    }

    // Shows U-017.
    #[test]
    fn a_context_is_read_and_loses_to_variables() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("nats/context");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(
            dir.join("prod.json"),
            r#"{"url":"nats://ctx:1","token":"env://TOK","creds":"","ca":"~/ca.pem","jetstream_domain":"hub","x":1}"#,
        )
        .unwrap();
        std::fs::write(home.path().join("nats/context.txt"), "prod\n").unwrap();
        let xdg = home.path().to_str().unwrap().to_owned();
        let var = move |name: &str| match name {
            "XDG_CONFIG_HOME" => Some(xdg.clone()),
            "HOME" => Some("/home/me".into()),
            "TOK" => Some("t".into()),
            "NATS_CONTEXT" => Some("prod".into()),
            "NATS_URL" => Some("nats://env:2".into()),
            _ => None,
        };
        let selected = from_context(None, &var).unwrap();
        assert_eq!(selected.servers.unwrap(), ["nats://ctx:1"]);
        assert!(matches!(selected.auth, Some(Auth::Token(t)) if t.reveal() == "t"));
        assert_eq!(selected.tls.unwrap().ca, Some("/home/me/ca.pem".into()));
        let both = from_vars(&var).unwrap();
        assert_eq!(both.servers.unwrap(), ["nats://env:2"]);
        assert_eq!(both.js_domain.as_deref(), Some("hub"));
        let built = ConnectorBuilder::default().server("own:3").auth(Auth::user_password("u", "p"));
        let effective = built.from_vars(&var).resolve().unwrap().effective();
        assert_eq!(effective.servers, ["own:3"]);
        assert_eq!(effective.login, "user and password");
        assert!(from_context(Some("../x"), &var).is_err());
        assert!(
            from_context(Some("absent"), &var).unwrap_err().to_string().contains("absent.json")
        );
    }

    #[test]
    fn a_context_may_say_null_and_is_told_what_is_wrong_with_it() {
        let home = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let file = home.path().join("c.json");
            std::fs::write(&file, text).unwrap();
            from_context(Some(file.to_str().unwrap()), &|_| None)
        };
        let layer = read(r#"{"url":"h:1","token":null,"creds":null,"tls_first":null}"#).unwrap();
        assert_eq!((layer.servers, layer.auth.is_none()), (Some(vec!["h:1".into()]), true));
        for (text, why) in [
            (r#"{"url":5}"#, "url is no text"),
            (r#"{"tls_first":"yes"}"#, "tls_first is neither true nor false"),
            ("{\n\"token\":\"s3cret\",\n!", "line 3: not valid"),
            ("[1]", "not valid"),
        ] {
            let told = read(text).unwrap_err().to_string();
            assert!(told.contains(why) && !told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("5", Some(5000)),
            ("1m30s", Some(90_000)),
            ("1d", Some(86_400_000)),
            ("1.5h", Some(5_400_000)),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), millis, "{text}");
        }
        for text in ["", "s", "5x", "-1s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
