//! The CONNECT message: what a client asks for and how it proves who it is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The JSON object of a `CONNECT`. Each absent (or `null`) field is `None` and keeps its current value:
/// before the first CONNECT `verbose`, `pedantic` and `echo` are true and everything else is off.
///
/// `Debug` shows no secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connect {
    /// Answer each accepted operation by `+OK`.
    pub verbose: Option<bool>,
    /// Check that publish subjects are literal.
    pub pedantic: Option<bool>,
    /// Deliver own publishes to own subscriptions.
    pub echo: Option<bool>,
    /// The client understands HPUB and HMSG.
    pub headers: Option<bool>,
    /// The client wants 503 status messages; needs `headers`.
    pub no_responders: Option<bool>,
    /// Protocol version, 0 or 1; other values are refused by the session, not here.
    pub protocol: Option<i64>,
    /// Informational.
    pub tls_required: Option<bool>,
    /// User name; without `pass` some clients put a token here.
    pub user: Option<String>,
    /// Password.
    pub pass: Option<String>,
    /// Token.
    pub auth_token: Option<String>,
    /// Public user nkey (`U…`).
    pub nkey: Option<String>,
    /// Signature of the nonce text, base64.
    pub sig: Option<String>,
    /// User JWT.
    pub jwt: Option<String>,
    /// Name of the connection, shown in monitoring.
    pub name: Option<String>,
    /// Language of the client library.
    pub lang: Option<String>,
    /// Version of the client library.
    pub version: Option<String>,
    /// Legacy; its presence is refused by the session.
    pub account: Option<String>,
    /// Legacy, belongs to `account`.
    pub new_account: Option<bool>,
    /// Signature of the nonce by a trusted proxy.
    pub proxy_sig: Option<String>,
    /// Leafnode: account of the remote side.
    pub remote_account: Option<String>,
    /// Leafnode: subjects the peer wants to import.
    pub import: Option<SubjectPermission>,
    /// Leafnode: subjects the peer wants to export.
    pub export: Option<SubjectPermission>,
}

/// Subjects that are allowed and denied, as leafnodes exchange them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectPermission {
    /// Allowed subjects; empty allows all that is not denied.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::info::null_is_empty"
    )]
    pub allow: Vec<String>,
    /// Denied subjects.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::info::null_is_empty"
    )]
    pub deny: Vec<String>,
}

/// A CONNECT argument that is no JSON object or holds a value of the wrong type.
///
/// The server closes the connection without any `-ERR`; this text goes to the log. It names positions
/// and types, never values.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

impl Connect {
    /// Parses the argument of a CONNECT line.
    ///
    /// Field names match whatever their case, unknown fields are ignored, of duplicates the last one
    /// counts, `null` is an absent field, and bytes that are not UTF-8 become U+FFFD: the rules of Go's
    /// JSON decoder, which clients have come to rely on.
    ///
    /// # Errors
    /// The argument is no JSON object (or `null`), or a known field has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, ConnectError> {
        // Reading strings as bytes, below, lets raw control characters pass; this look at the syntax
        // does not, and leaves it open whether a string is UTF-8.
        serde_json::from_slice::<IgnoredAny>(json)
            .map_err(|error| ConnectError(describe(&error)))?;
        let mut connect = Self::default();
        let mut from = serde_json::Deserializer::from_slice(json);
        (&mut from)
            .deserialize_any(Fields(&mut connect))
            .and_then(|()| from.end())
            .map_err(|error| ConnectError(describe(&error)))?;
        Ok(connect)
    }

    /// Overlays the fields that `newer` holds: what a second CONNECT on the same connection does.
    pub fn merge(&mut self, newer: Self) {
        macro_rules! take {
            ($($field:ident)*) => { $( if newer.$field.is_some() { self.$field = newer.$field; } )* };
        }
        take!(verbose pedantic echo headers no_responders protocol tls_required user pass auth_token
            nkey sig jwt name lang version account new_account proxy_sig remote_account import export);
    }
}

/// A copy of a CONNECT argument that may be traced: the string values of `pass`, `auth_token`, `sig`,
/// `proxy_sig` and `nkey` are replaced by `[REDACTED]`. The argument need not be valid.
#[must_use]
pub fn redact(json: &[u8]) -> Vec<u8> {
    const SECRETS: [&[u8]; 5] = [b"pass", b"auth_token", b"sig", b"proxy_sig", b"nkey"];
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(open) = memchr::memchr(b'"', rest) {
        let (name, after) = split_string(&rest[open + 1..]);
        let gap = |text: &[u8]| text.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        // From the quote after the name to the quote before the value: `" : "`.
        let mut value = 1 + gap(after.get(1..).unwrap_or_default());
        let is_name = after.get(value) == Some(&b':');
        value += 1;
        value += gap(after.get(value..).unwrap_or_default());
        let secret = match name.is_ascii() && !name.contains(&b'\\') {
            true => SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(name)),
            // Escapes, and letters that are folded to others: whatever `parse` takes for a secret.
            false => serde_json::from_slice(&rest[open..rest.len().min(open + name.len() + 2)])
                .is_ok_and(|Key(name)| SECRETS.contains(&name.as_bytes())),
        };
        let used = open + 1 + name.len();
        if secret && is_name && after.get(value) == Some(&b'"') {
            out.extend_from_slice(&rest[..=used + value]);
            out.extend_from_slice(b"[REDACTED]");
            rest = split_string(&after[value + 1..]).1;
        } else {
            out.extend_from_slice(&rest[..used]);
            rest = after;
        }
        // The closing quote, unless the text ended inside the string.
        if let Some((quote, after)) = rest.split_first() {
            out.push(*quote);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Splits after the opening quote of a JSON string: its content, and what starts with the closing quote.
fn split_string(text: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text[at] == b'"' {
            return text.split_at(at);
        }
        at += 2;
    }
    (text, &[])
}

/// Says where and what kind, without the values that serde puts into its texts: one may be a password.
fn describe(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Eof => "unexpected end of JSON input",
        serde_json::error::Category::Data => "JSON value of the wrong type",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "invalid JSON",
    };
    format!("CONNECT: {kind} at column {}", error.column())
}

/// Fills a [`Connect`] from a JSON object.
struct Fields<'c>(&'c mut Connect);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let c = self.0;
        while let Some(Key(name)) = map.next_key()? {
            match name.as_str() {
                "verbose" => flag(&mut map, &mut c.verbose)?,
                "pedantic" => flag(&mut map, &mut c.pedantic)?,
                "echo" => flag(&mut map, &mut c.echo)?,
                "headers" => flag(&mut map, &mut c.headers)?,
                "no_responders" => flag(&mut map, &mut c.no_responders)?,
                "tls_required" => flag(&mut map, &mut c.tls_required)?,
                "new_account" => flag(&mut map, &mut c.new_account)?,
                "protocol" => set(&mut c.protocol, map.next_value()?),
                "user" => text(&mut map, &mut c.user)?,
                "pass" => text(&mut map, &mut c.pass)?,
                "auth_token" => text(&mut map, &mut c.auth_token)?,
                "nkey" => text(&mut map, &mut c.nkey)?,
                "sig" => text(&mut map, &mut c.sig)?,
                "jwt" => text(&mut map, &mut c.jwt)?,
                "name" => text(&mut map, &mut c.name)?,
                "lang" => text(&mut map, &mut c.lang)?,
                "version" => text(&mut map, &mut c.version)?,
                "account" => text(&mut map, &mut c.account)?,
                "proxy_sig" => text(&mut map, &mut c.proxy_sig)?,
                "remote_account" => text(&mut map, &mut c.remote_account)?,
                "import" => set(&mut c.import, map.next_value()?),
                "export" => set(&mut c.export, map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A later value replaces an earlier one; `null` leaves the earlier one.
fn set<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

fn flag<'de, A: MapAccess<'de>>(map: &mut A, field: &mut Option<bool>) -> Result<(), A::Error> {
    set(field, map.next_value()?);
    Ok(())
}

fn text<'de, A: MapAccess<'de>>(map: &mut A, field: &mut Option<String>) -> Result<(), A::Error> {
    set(field, map.next_value::<Option<Text>>()?.map(|text| text.0));
    Ok(())
}

/// A JSON string; bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        TextSeed.deserialize(from).map(Text)
    }
}

/// A field name, folded to lower case as Go folds it: two letters outside ASCII have ASCII equals.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = TextSeed.deserialize(from)?;
        let fold = |c: char| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            _ => c.to_ascii_lowercase(),
        };
        Ok(Key(name.chars().map(fold).collect()))
    }
}

/// Reads a JSON string through its bytes, because serde's text path refuses what is not UTF-8.
struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        from.deserialize_bytes(self)
    }
}

impl Visitor<'_> for TextSeed {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hide = |secret: &Option<String>| secret.as_ref().map(|_| "[REDACTED]");
        f.debug_struct("Connect")
            .field("verbose", &self.verbose)
            .field("pedantic", &self.pedantic)
            .field("echo", &self.echo)
            .field("headers", &self.headers)
            .field("no_responders", &self.no_responders)
            .field("protocol", &self.protocol)
            .field("tls_required", &self.tls_required)
            .field("user", &self.user)
            .field("pass", &hide(&self.pass))
            .field("auth_token", &hide(&self.auth_token))
            .field("nkey", &hide(&self.nkey))
            .field("sig", &hide(&self.sig))
            .field("jwt", &hide(&self.jwt))
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("account", &self.account)
            .field("new_account", &self.new_account)
            .field("proxy_sig", &hide(&self.proxy_sig))
            .field("remote_account", &self.remote_account)
            .field("import", &self.import)
            .field("export", &self.export)
            .finish()
    }
}
