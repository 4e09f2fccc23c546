//! `natterjack kv`: buckets, and the keys in them.

mod bucket;
mod fields;
mod history;
mod keys;
mod watch;

use bytes::Bytes;
use clap::Subcommand;
use natterjack::codec::Binary;
use natterjack::kv::{Found, KeyMeta, Kv};
use natterjack::{Connector, Error};
use serde_json::{Map, Value};

use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::output::put_bytes;

/// Key/Value buckets.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a bucket
    #[command(visible_alias = "new")]
    Add(bucket::Add),
    /// Set a key
    Put(keys::Put),
    /// Read a key
    Get(keys::Get),
    /// Set a key that has no value yet
    Create(keys::Create),
    /// Set a key whose last change has a revision that you know
    Update(keys::Update),
    /// Delete a key and keep its history; without a key, delete the bucket
    #[command(visible_alias = "rm")]
    Del(keys::Del),
    /// Delete a key and its history
    Purge(keys::Purge),
    /// Show the changes of a key
    History(history::History),
    /// Set a key to the value it had at an earlier revision
    Revert(keys::Revert),
    /// List buckets, or the keys of one
    #[command(visible_alias = "list")]
    Ls(bucket::Ls),
    /// Print changes as they happen
    Watch(watch::Watch),
    /// Show a bucket's configuration and state
    #[command(visible_aliases = ["status", "view"])]
    Info(bucket::Info),
    /// Change a bucket
    Edit(bucket::Edit),
    /// Forget deleted keys
    Compact(bucket::Compact),
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Add(verb) => verb.run(context).await,
            Self::Put(verb) => verb.run(context).await,
            Self::Get(verb) => verb.run(context).await,
            Self::Create(verb) => verb.run(context).await,
            Self::Update(verb) => verb.run(context).await,
            Self::Del(verb) => verb.run(context).await,
            Self::Purge(verb) => verb.run(context).await,
            Self::History(verb) => verb.run(context).await,
            Self::Revert(verb) => verb.run(context).await,
            Self::Ls(verb) => verb.run(context).await,
            Self::Watch(verb) => verb.run(context).await,
            Self::Info(verb) => verb.run(context).await,
            Self::Edit(verb) => verb.run(context).await,
            Self::Compact(verb) => verb.run(context).await,
        }
    }
}

/// A bucket on a connection.
struct Bucket {
    connector: Connector,
    kv: Kv<Bytes>,
    api: Api,
}

impl Bucket {
    async fn open(context: &Context, name: &str) -> Result<Self, Failure> {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let builder = context.jetstream(&connector).kv::<Bytes>(name).codec(Binary);
        match builder.get().await {
            Ok(kv) => Ok(Self { connector, kv, api }),
            Err(error) => {
                let failure = Failure::from(Error::from(error));
                Err(api.did_you_mean(failure, &format!("KV_{name}")).await)
            }
        }
    }

    async fn close(self) -> Outcome {
        self.connector.close().await?;
        Ok(())
    }
}

/// What is known of a change, for printing.
struct Change {
    op: &'static str,
    key: String,
    revision: u64,
    created: std::time::SystemTime,
    value: Option<Bytes>,
}

impl Change {
    fn of(found: Found<Bytes>) -> Self {
        let gone = |op, meta| Self { op, ..Self::touched(meta) };
        match found {
            Found::Put(entry) => Self {
                op: "PUT",
                key: entry.key,
                revision: entry.revision,
                created: entry.created,
                value: Some(entry.value),
            },
            Found::Deleted(meta) => gone("DEL", meta),
            Found::Purged(meta) => gone("PURGE", meta),
            Found::Expired(meta) => gone("EXPIRED", meta),
        }
    }

    /// A value that was not asked for.
    fn touched(meta: KeyMeta) -> Self {
        let KeyMeta { key, revision, created, .. } = meta;
        Self { op: "PUT", key, revision, created, value: None }
    }

    fn time(&self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::try_from(self.created).ok()
    }

    /// In local time.
    fn local_time(&self) -> String {
        match self.time() {
            Some(time) => {
                let zoned = time.to_zoned(jiff::tz::TimeZone::system());
                zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
            }
            None => "-".to_owned(),
        }
    }

    fn json(&self, bucket: &str) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("bucket".to_owned(), bucket.into());
        object.insert("key".to_owned(), self.key.as_str().into());
        object.insert("op".to_owned(), self.op.into());
        object.insert("revision".to_owned(), self.revision.into());
        object.insert("created".to_owned(), self.time().map(|time| time.to_string()).into());
        if let Some(value) = &self.value {
            put_bytes(&mut object, "value", value);
        }
        object
    }
}

/// A value as one printable piece.
fn printable(value: &[u8]) -> String {
    use base64::Engine;
    match std::str::from_utf8(value) {
        Ok(text)
            if !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) =>
        {
            text.to_owned()
        }
        _ => base64::engine::general_purpose::STANDARD.encode(value),
    }
}
