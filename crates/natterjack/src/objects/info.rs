//! What a bucket knows of an object besides its body (ADR-20).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// When an object was changed, before the server has said it: Go's zero time, which other clients write.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Headers, several values each.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Vec<String>>,
    /// More about it.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How it is kept.
    #[serde(default, rename = "options", skip_serializing_if = "Option::is_none")]
    pub(super) options: Option<ObjectOptions>,
    /// Its bucket.
    pub bucket: String,
    /// What its pieces are kept under.
    pub nuid: String,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "or_null")]
    pub size: u64,
    /// When it was put (RFC 3339).
    #[serde(default = "never")]
    pub mtime: String,
    /// The number of its pieces.
    #[serde(default, deserialize_with = "or_null")]
    pub chunks: u64,
    /// `SHA-256=` and the digest of its body, in base64 for URLs; empty for links.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// It was deleted.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// How an object is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<ObjectLink>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_chunk_size: Option<u64>,
}

/// What a link stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectLink {
    /// The bucket.
    pub bucket: String,
    /// The object in it; empty if the link is to the bucket.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Some clients write `null` for what there is not.
fn or_null<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn never() -> String {
    NEVER.to_owned()
}

impl ObjectInfo {
    pub(super) fn new(bucket: &str, name: &str, nuid: String) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            headers: BTreeMap::new(),
            metadata: BTreeMap::new(),
            options: None,
            bucket: bucket.to_owned(),
            nuid,
            size: 0,
            mtime: never(),
            chunks: 0,
            digest: String::new(),
            deleted: false,
        }
    }

    /// What it stands for, if it is a link.
    #[must_use]
    pub fn link(&self) -> Option<&ObjectLink> {
        self.options.as_ref()?.link.as_ref()
    }

    /// The body as it goes into the stream, which tells itself when that was.
    pub(super) fn body(&self) -> bytes::Bytes {
        let unsent = Self { mtime: never(), ..self.clone() };
        // There is nothing in it that JSON has no form for.
        serde_json::to_vec(&unsent).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_is_written_as_other_clients_write_it() {
        let mut info = ObjectInfo::new("FILES", "a b", "N1".into());
        (info.size, info.chunks, info.digest) = (3, 1, "SHA-256=x".into());
        info.mtime = "2026-11-23T10:00:00Z".into();
        info.options = Some(ObjectOptions { link: None, max_chunk_size: Some(128) });
        let want = json!({
            "name": "a b", "bucket": "FILES", "nuid": "N1", "size": 3, "mtime": "0001-01-01T00:00:00Z",
            "chunks": 1, "digest": "SHA-256=x", "options": {"max_chunk_size": 128},
        });
        assert_eq!(serde_json::from_slice::<Value>(&info.body()).unwrap(), want);
    }

    #[test]
    fn what_other_clients_leave_out_or_add_is_read() {
        let text = r#"{"name":"l","bucket":"B","nuid":"N","size":0,"chunks":0,"new":1,
            "options":{"link":{"bucket":"C","name":"o"}}}"#;
        let info: ObjectInfo = serde_json::from_str(text).unwrap();
        let link = info.link().unwrap();
        assert_eq!((link.bucket.as_str(), link.name.as_str()), ("C", "o"));
        let text = r#"{"name":"l","bucket":"B","nuid":"N","deleted":true,"headers":{"a":["b","c"]},
            "description":null,"metadata":null,"digest":null,"options":null}"#;
        let info: ObjectInfo = serde_json::from_str(text).unwrap();
        assert!(info.deleted && info.link().is_none());
        assert_eq!(info.headers["a"], ["b", "c"]);
    }
}
