//! Putting an object: its pieces one after the other, then what is known of it.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::BytesMut;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::info::{ObjectInfo, ObjectOptions};
use super::store::{Objects, check_name};
use crate::core::{add_header, new_inbox};
use crate::error::{Error, Io, ObjectError, TooLarge};
use crate::event::Event;
use crate::jetstream::{PublishOptions, publish_once};
use crate::units::{ByteSize, kib};

/// The size of a piece (ADR-20).
const CHUNK: ByteSize = kib(128);

/// An object to put, made by [`Objects::put`]; await it to put it.
#[must_use = "nothing is put before it is awaited"]
pub struct PutObject<R> {
    objects: Objects,
    info: ObjectInfo,
    reader: R,
    chunk: ByteSize,
    problem: Option<Error>,
    progress: Option<Box<dyn FnMut(u64) + Send>>,
}

/// A digest as objects carry it.
pub(super) fn show(digest: Sha256) -> String {
    format!("SHA-256={}", URL_SAFE.encode(digest.finalize()))
}

impl<R> PutObject<R> {
    pub(super) fn new(objects: Objects, name: String, reader: R) -> Self {
        let info = ObjectInfo::new(&objects.bucket, &name, new_inbox());
        Self { objects, info, reader, chunk: CHUNK, problem: None, progress: None }
    }

    /// What it is.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.info.description = text.into();
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        let mut checked = async_nats::HeaderMap::new();
        match add_header(&mut checked, name, &value) {
            Ok(()) => self.info.headers.entry(name.to_owned()).or_default().push(value),
            Err(error) => {
                self.problem.get_or_insert(error);
            }
        }
        self
    }

    /// Something more about it.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.info.metadata.insert(key.into(), value.into());
        self
    }

    /// The size of a piece; default 128 KiB, at least a byte. It has to fit into a message.
    pub fn chunk(mut self, size: ByteSize) -> Self {
        self.chunk = size;
        self
    }

    /// Calls a function after each piece with the bytes that the bucket has by then.
    pub fn on_progress(mut self, call: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(call));
        self
    }
}

impl<R: AsyncRead + Unpin + Send> PutObject<R> {
    /// Puts it. Awaiting the builder does the same. Each piece waits for its acknowledgement: the order of
    /// the pieces is that of the body.
    ///
    /// Dropping the future leaves the pieces that were put; they belong to no object.
    ///
    /// # Errors
    /// `Io` if the reader fails; `Api` if the bucket is full or sealed; `TooLarge`, `BadName`, `NotFound`,
    /// `Timeout`, .. What was put is removed then, and an object that had the name stays. Only if nobody
    /// answered at the end (`Timeout`, `Offline`, `Closed`) the object may be there: put it again.
    ///
    /// That the pieces of the object before it cannot be removed is no error, but told by
    /// [`Event::Background`].
    pub async fn send(mut self) -> Result<ObjectInfo, ObjectError> {
        if let Some(problem) = self.problem.take() {
            return Err(problem.into());
        }
        check_name(&self.info.name)?;
        let before = self.objects.known(&self.info.name).await?;
        if let Err(error) = self.put_chunks().await {
            self.undo().await;
            return Err(error.into());
        }
        if let Err(error) = self.objects.put_info(&self.info).await {
            // Without an answer the description may be there, and it needs its pieces.
            if !matches!(error, Error::Timeout(_) | Error::Offline(_) | Error::Closed(_)) {
                self.undo().await;
            }
            return Err(error.into());
        }
        if let Some((before, _)) = before
            && !before.deleted
            && let Err(error) = self.objects.purge_chunks(&before.nuid).await
        {
            self.objects.js.link().emit(Event::Background { error });
        }
        Ok(self.objects.existing(&self.info.name).await?.0)
    }

    /// Removes what was put. What cannot be removed lies there; the error that led here says more.
    async fn undo(&mut self) {
        let _ = self.objects.purge_chunks(&self.info.nuid).await;
    }

    async fn put_chunks(&mut self) -> Result<(), Error> {
        let (link, limit) = (self.objects.js.link().clone(), self.objects.js.api.limit);
        let size = usize::try_from(self.chunk.bytes().max(1)).unwrap_or(usize::MAX);
        let most = link.client()?.max_payload();
        if size > most {
            return Err(TooLarge { size: size as u64, limit: most as u64 }.into());
        }
        let max_chunk_size = Some(self.chunk.bytes().max(1));
        self.info.options = Some(ObjectOptions { link: None, max_chunk_size });
        let subject = self.objects.chunk_subject(&self.info.nuid);
        let subject = subject.expect("the bucket was checked, and a nuid made here is a token");
        let mut digest = Sha256::new();
        loop {
            let mut chunk = BytesMut::with_capacity(size);
            while chunk.len() < size {
                let left = (size - chunk.len()) as u64;
                let read = (&mut self.reader).take(left).read_buf(&mut chunk).await;
                let read = read.map_err(|error| Io {
                    what: format!("reading object {}", self.info.name),
                    error: Arc::new(error),
                })?;
                if read == 0 {
                    break;
                }
            }
            if chunk.is_empty() {
                break;
            }
            digest.update(&chunk);
            self.info.size += chunk.len() as u64;
            let mut options = PublishOptions::default();
            // One that is sent again because its answer was lost is stored once.
            options.header("Nats-Msg-Id", &format!("{}-{}", self.info.nuid, self.info.chunks));
            options.id = true;
            publish_once(&link, &subject, chunk.freeze(), options, limit).await?;
            self.info.chunks += 1;
            if let Some(progress) = &mut self.progress {
                progress(self.info.size);
            }
        }
        self.info.digest = show(digest);
        Ok(())
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> IntoFuture for PutObject<R> {
    type Output = Result<ObjectInfo, ObjectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<R> std::fmt::Debug for PutObject<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PutObject").field("info", &self.info).finish_non_exhaustive()
    }
}
