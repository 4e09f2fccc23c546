//! Getting an object: its pieces in order, and whether they are what was put.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::info::ObjectInfo;
use super::put::show;
use super::store::Objects;
use crate::connect::Link;
use crate::error::{BadName, BadReply, DigestMismatch, Error, Io, ObjectError, Timeout};
use crate::kv::{Item, Ordered, WatchFrom, check_bucket};

/// An object to get, made by [`Objects::get`].
#[must_use = "nothing is got before `bytes` or `write_to`"]
pub struct GetObject {
    objects: Objects,
    name: String,
    progress: Option<Box<dyn FnMut(u64) + Send>>,
}

impl std::fmt::Debug for GetObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GetObject").field("name", &self.name).finish_non_exhaustive()
    }
}

impl GetObject {
    pub(super) fn new(objects: Objects, name: String) -> Self {
        Self { objects, name, progress: None }
    }

    /// Calls a function after each piece with the bytes that have come by then.
    pub fn on_progress(mut self, call: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(call));
        self
    }

    /// Gets all of it into memory.
    ///
    /// # Errors
    /// `NotFound` if there is none, or if it was deleted; `DigestMismatch` if its pieces are not what was
    /// put; `BadName` if it is a link to a bucket or to a link; `BadReply` if what is known of it makes no
    /// sense; `Timeout`, .. An object that is replaced while it is got ends by `DigestMismatch` or
    /// `Timeout`.
    pub async fn bytes(self) -> Result<Bytes, ObjectError> {
        let mut body = Vec::new();
        self.write_to(&mut body).await?;
        Ok(body.into())
    }

    /// Writes all of it, piece by piece as they come, and says what is known of it. What was written is
    /// good only if this does not fail.
    ///
    /// # Errors
    /// `Io` if the writer fails; else as for [`bytes`](Self::bytes).
    pub async fn write_to(
        mut self,
        mut writer: impl AsyncWrite + Unpin + Send,
    ) -> Result<ObjectInfo, ObjectError> {
        let (objects, info) = self.find().await?;
        let failed = |error: std::io::Error| -> Error {
            Io { what: format!("writing object {}", info.name), error: Arc::new(error) }.into()
        };
        let mut pieces = Pieces::new(&objects, &info).await?;
        while let Some(piece) = pieces.next().await? {
            writer.write_all(&piece).await.map_err(failed)?;
            if let Some(progress) = &mut self.progress {
                progress(pieces.size);
            }
        }
        writer.flush().await.map_err(failed)?;
        let found = show(std::mem::take(&mut pieces.digest));
        // Clients differ in whether they fill up the last group.
        let same = found.trim_end_matches('=') == info.digest.trim_end_matches('=');
        if !same || (pieces.size, pieces.came) != (info.size, info.chunks) {
            let (name, wanted) = (info.name, info.digest);
            return Err(DigestMismatch { name, wanted, found }.into());
        }
        Ok(info)
    }

    /// The object itself, or the one that it is a link to.
    async fn find(&self) -> Result<(Objects, ObjectInfo), Error> {
        let (info, _) = self.objects.existing(&self.name).await?;
        let Some(link) = info.link() else { return Ok((self.objects.clone(), info)) };
        let bad = |why: String| BadName { kind: "object".into(), name: self.name.clone(), why };
        if link.name.is_empty() {
            return Err(
                bad(format!("it is a link to the bucket {}, open that", link.bucket)).into()
            );
        }
        // Anybody may have written it.
        check_bucket(&link.bucket)?;
        let objects = Objects::new(self.objects.js.clone(), link.bucket.clone());
        let (info, _) = objects.existing(&link.name).await?;
        if info.link().is_some() {
            return Err(bad(format!("it is a link to the link {}, get that", link.name)).into());
        }
        Ok((objects, info))
    }
}

/// The pieces of an object, as far as they are there.
struct Pieces {
    from: Ordered,
    items: VecDeque<Item>,
    limit: Duration,
    link: Arc<Link>,
    /// How many there should be, and how many came.
    chunks: u64,
    came: u64,
    size: u64,
    digest: Sha256,
}

impl Pieces {
    async fn new(objects: &Objects, info: &ObjectInfo) -> Result<Self, Error> {
        let chunks = objects.chunk_subject(&info.nuid).ok_or_else(|| BadReply {
            request: objects.info_subject(&info.name),
            error: Arc::new(std::io::Error::other(format!("`{}` is no nuid", info.nuid))),
        })?;
        let mut from = Ordered::new(
            objects.js.clone(),
            objects.stream.clone(),
            ("bucket", objects.bucket.clone()),
            vec![chunks],
            false,
            WatchFrom::History,
        );
        let items = match info.chunks {
            0 => VecDeque::from([Item::Ready]),
            _ => from.start().await?.into(),
        };
        Ok(Self {
            from,
            items,
            limit: objects.js.api.limit,
            link: objects.js.link().clone(),
            chunks: info.chunks,
            came: 0,
            size: 0,
            digest: Sha256::new(),
        })
    }

    /// The next piece; `None` when all have come, or no more are there.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.came < self.chunks {
            match self.items.pop_front() {
                Some(Item::Message(message, _)) => {
                    self.came += 1;
                    self.size += message.payload.len() as u64;
                    self.digest.update(&message.payload);
                    return Ok(Some(message.payload));
                }
                Some(Item::Ready) => break,
                Some(Item::Resumed(_)) => {}
                None => match tokio::time::timeout(self.limit, self.from.next()).await {
                    Ok(Some(items)) => self.items.extend(items),
                    Ok(None) => {
                        self.link.check_open()?;
                        return Err(self.link.offline());
                    }
                    Err(_) => {
                        let what = "get an object".into();
                        return Err(Timeout { what, after: self.limit }.into());
                    }
                },
            }
        }
        Ok(None)
    }
}
