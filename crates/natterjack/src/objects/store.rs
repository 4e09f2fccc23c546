//! A bucket of objects, and what is done with whole objects.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::bucket::stream_of;
use super::get::GetObject;
use super::info::{ObjectInfo, ObjectLink, ObjectOptions};
use super::put::PutObject;
use super::watch::{self, ObjectEvent, ObjectWatch};
use crate::core::new_inbox;
use crate::error::{BadName, BadReply, Conflict, Error, NotFound, ObjectError, check_subject};
use crate::jetstream::{
    Fields, JetStream, PublishOptions, Target, parse_stored, publish_once, stream_info,
};
use crate::kv::WatchFrom;

/// A bucket of objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    pub(super) js: JetStream,
    pub(super) bucket: String,
    pub(super) stream: String,
}

impl Objects {
    pub(super) fn new(js: JetStream, bucket: String) -> Self {
        Self { js, stream: stream_of(&bucket), bucket }
    }

    /// Its name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Puts all that `reader` gives as an object. One that has the name is replaced when all is there.
    pub fn put<R>(&self, name: impl Into<String>, reader: R) -> PutObject<R> {
        PutObject::new(self.clone(), name.into(), reader)
    }

    /// Gets an object, or what it is a link to.
    pub fn get(&self, name: impl Into<String>) -> GetObject {
        GetObject::new(self.clone(), name.into())
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// `NotFound` if there is none, or if it was deleted; `Timeout`, ..
    pub async fn info(&self, name: &str) -> Result<ObjectInfo, ObjectError> {
        Ok(self.existing(name).await?.0)
    }

    /// All objects by their names, links included.
    ///
    /// # Errors
    /// `NotFound` if the bucket is gone; `Timeout`, ..
    pub async fn list(&self) -> Result<Vec<ObjectInfo>, ObjectError> {
        let mut changes = watch::start(self, WatchFrom::Latest).await?;
        let mut objects = BTreeMap::new();
        while let Some(event) =
            watch::within(self.js.api.limit, "list objects", &mut changes).await?
        {
            match event {
                ObjectEvent::Put(info) => drop(objects.insert(info.name.clone(), info)),
                ObjectEvent::Deleted(info) => drop(objects.remove(&info.name)),
                ObjectEvent::Ready => return Ok(objects.into_values().collect()),
                ObjectEvent::Resumed { .. } => {}
            }
        }
        self.js.link().check_open()?;
        Err(self.js.link().offline().into())
    }

    /// Changes of objects as they come, after those that there are.
    ///
    /// # Errors
    /// `NotFound` if the bucket is gone; `Timeout`, ..
    pub async fn watch(&self) -> Result<ObjectWatch, ObjectError> {
        Ok(watch::start(self, WatchFrom::Latest).await?)
    }

    /// Changes of objects from now on.
    ///
    /// # Errors
    /// `NotFound` if the bucket is gone; `Timeout`, ..
    pub async fn watch_new(&self) -> Result<ObjectWatch, ObjectError> {
        Ok(watch::start(self, WatchFrom::New).await?)
    }

    /// Makes `name` a link to an object, of this bucket or another one.
    ///
    /// # Errors
    /// `Conflict` if an object has the name; `BadName` if `to` was deleted or is a link itself;
    /// `Timeout`, ..
    pub async fn link(&self, name: &str, to: &ObjectInfo) -> Result<ObjectInfo, ObjectError> {
        let bad = |why: &str| BadName {
            kind: "link target".into(),
            name: to.name.clone(),
            why: why.into(),
        };
        if to.deleted {
            return Err(bad("it was deleted").into());
        }
        if to.link().is_some() {
            return Err(bad("it is a link itself").into());
        }
        let link = ObjectLink { bucket: to.bucket.clone(), name: to.name.clone() };
        Ok(self.put_link(name, link).await?)
    }

    /// Makes `name` a link to a whole bucket.
    ///
    /// # Errors
    /// As for [`link`](Self::link).
    pub async fn link_bucket(&self, name: &str, bucket: &str) -> Result<ObjectInfo, ObjectError> {
        crate::kv::check_bucket(bucket)?;
        let link = ObjectLink { bucket: bucket.to_owned(), name: String::new() };
        Ok(self.put_link(name, link).await?)
    }

    /// Removes an object, and leaves a mark that it was there.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Timeout`, ..
    pub async fn delete(&self, name: &str) -> Result<(), ObjectError> {
        let (mut info, _) = self.existing(name).await?;
        (info.size, info.chunks, info.deleted) = (0, 0, true);
        info.digest.clear();
        self.put_info(&info).await?;
        self.purge_chunks(&info.nuid).await?;
        Ok(())
    }

    /// Makes the bucket as it is for ever: nothing can be put or deleted any more.
    ///
    /// # Errors
    /// `NotFound` if the bucket is gone; `Api`, `Timeout`, ..
    pub async fn seal(&self) -> Result<(), ObjectError> {
        let info = stream_info(&self.js, &self.stream, "bucket", &self.bucket).await?;
        let mut sealed = Fields::default();
        sealed.set("sealed", true);
        let config = sealed.over(info.config);
        let target = Target::of("seal", "bucket", &self.bucket);
        let call = format!("STREAM.UPDATE.{}", self.stream);
        let _: Value = self.js.api.call(self.js.link(), &call, Some(&config), &target).await?;
        Ok(())
    }

    async fn put_link(&self, name: &str, link: ObjectLink) -> Result<ObjectInfo, Error> {
        check_name(name)?;
        if let Some((there, seq)) = self.known(name).await?
            && !there.deleted
            && there.link().is_none()
        {
            let conflict = Conflict { key: name.to_owned(), expected: 0, actual: Some(seq) };
            return Err(conflict.into());
        }
        let mut info = ObjectInfo::new(&self.bucket, name, new_inbox());
        info.options = Some(ObjectOptions { link: Some(link), max_chunk_size: None });
        self.put_info(&info).await?;
        Ok(self.existing(name).await?.0)
    }

    /// What is known of an object that is there, and the sequence of that.
    pub(super) async fn existing(&self, name: &str) -> Result<(ObjectInfo, u64), Error> {
        match self.known(name).await? {
            Some((info, seq)) if !info.deleted => Ok((info, seq)),
            _ => {
                let name = name.to_owned();
                Err(NotFound { kind: "object".into(), name, err_code: 0 }.into())
            }
        }
    }

    /// What is known of an object, even if it was deleted.
    pub(super) async fn known(&self, name: &str) -> Result<Option<(ObjectInfo, u64)>, Error> {
        check_name(name)?;
        let target = Target::of("look up", "object", name);
        let call = format!("STREAM.MSG.GET.{}", self.stream);
        let body = json!({ "last_by_subj": self.info_subject(name) });
        let answer: Value =
            match self.js.api.call(self.js.link(), &call, Some(&body), &target).await {
                Ok(answer) => answer,
                Err(Error::NotFound(missing)) if missing.kind == "object" => return Ok(None),
                Err(Error::NotFound(missing)) => {
                    return Err(NotFound {
                        kind: "bucket".into(),
                        name: self.bucket.clone(),
                        ..missing
                    }
                    .into());
                }
                Err(error) => return Err(error),
            };
        let stored = parse_stored(&answer)?;
        let info = read(&stored.payload, stored.time, &stored.subject)?;
        Ok(Some((info, stored.seq)))
    }

    /// Stores what is known of an object, in the place of what was known before.
    pub(super) async fn put_info(&self, info: &ObjectInfo) -> Result<(), Error> {
        let subject = self.info_subject(&info.name);
        let mut options = PublishOptions::default();
        options.header("Nats-Rollup", "sub");
        // It may be sent again when the answer is lost.
        options.header("Nats-Msg-Id", &new_inbox());
        options.id = true;
        publish_once(self.js.link(), &subject, info.body(), options, self.js.api.limit).await?;
        Ok(())
    }

    pub(super) async fn purge_chunks(&self, nuid: &str) -> Result<(), Error> {
        let Some(chunks) = self.chunk_subject(nuid) else { return Ok(()) };
        let target = Target::of("purge", "bucket", &self.bucket);
        let call = format!("STREAM.PURGE.{}", self.stream);
        let body = json!({ "filter": chunks });
        let _: Value = self.js.api.call(self.js.link(), &call, Some(&body), &target).await?;
        Ok(())
    }

    pub(super) fn info_subject(&self, name: &str) -> String {
        format!("$O.{}.M.{}", self.bucket, URL_SAFE.encode(name))
    }

    /// Where the pieces of one object are; `None` if that would be nowhere, or those of others: anybody
    /// may have written what is known of an object.
    pub(super) fn chunk_subject(&self, nuid: &str) -> Option<String> {
        let subject = format!("$O.{}.C.{nuid}", self.bucket);
        (check_subject(&subject, false).is_ok() && !nuid.contains('.')).then_some(subject)
    }
}

/// An object's name may have any characters: it is encoded in the subject.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(BadName {
            kind: "object".into(),
            name: String::new(),
            why: "it is empty".into(),
        }
        .into());
    }
    Ok(())
}

/// What a bucket's stream knows of an object.
pub(super) fn read(body: &[u8], time: String, subject: &str) -> Result<ObjectInfo, Error> {
    let mut info: ObjectInfo = serde_json::from_slice(body).map_err(|error| BadReply {
        request: subject.to_owned(),
        error: std::sync::Arc::new(error),
    })?;
    // As one writes it here, wherever it came from.
    info.mtime = time.parse::<jiff::Timestamp>().map_or(time, |time| time.to_string());
    Ok(info)
}
