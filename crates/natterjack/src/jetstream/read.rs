//! Reading a stream from some place on, in order, without a consumer that stays.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};

use super::JetStream;
use super::api::Target;
use super::config::Deliver;
use super::delivery::Delivery;
use super::stream::{check_name, info, parse_stored};
use crate::codec::{Binary, Decoder};
use crate::error::{Error, StreamError, check_subject};
use crate::kv::{Item, Ordered, WatchFrom};

/// Which messages of a stream are read, made by [`JetStream::read`].
#[must_use = "nothing is read before `start`"]
#[derive(Debug, Clone)]
pub struct ReadBuilder {
    js: JetStream,
    stream: String,
    filters: Vec<String>,
    from: Deliver,
    headers_only: bool,
}

impl JetStream {
    /// The messages of a stream, in order, as they are stored: what the stream holds, then what comes.
    /// Nothing is acknowledged, and nothing is left behind.
    pub fn read(&self, stream: impl Into<String>) -> ReadBuilder {
        ReadBuilder {
            js: self.clone(),
            stream: stream.into(),
            filters: Vec::new(),
            from: Deliver::All,
            headers_only: false,
        }
    }
}

impl ReadBuilder {
    /// Only messages of this subject, which may hold wildcards; may be called several times for
    /// subjects that do not overlap.
    pub fn filter(mut self, subject: impl Into<String>) -> Self {
        self.filters.push(subject.into());
        self
    }

    /// Where to begin; default with the first message.
    pub fn from(mut self, from: Deliver) -> Self {
        self.from = from;
        self
    }

    /// Without bodies.
    pub fn headers_only(mut self) -> Self {
        self.headers_only = true;
        self
    }

    /// Begins to read.
    ///
    /// # Errors
    /// `NotFound` if there is no such stream; `BadName`, `BadSubject`, `PermissionDenied`, `Timeout`, ..
    pub async fn start(self) -> Result<StreamReader, StreamError> {
        check_name("stream", &self.stream)?;
        for filter in &self.filters {
            check_subject(filter, true)?;
        }
        let from = match self.from {
            Deliver::All => WatchFrom::History,
            Deliver::New => WatchFrom::New,
            Deliver::LastPerSubject => WatchFrom::Latest,
            Deliver::From(seq) => WatchFrom::Revision(seq),
            Deliver::Last => self.last().await?,
        };
        let filters = match self.filters.is_empty() {
            // The last of each subject is asked for by naming the subjects; all of them by this.
            true => vec![">".to_owned()],
            false => self.filters,
        };
        let shown = ("stream", self.stream.clone());
        let mut from = Ordered::new(self.js, self.stream, shown, filters, self.headers_only, from);
        let items = from.start().await?.into();
        Ok(StreamReader { from, items })
    }

    /// The place of the last message that passes the filters.
    async fn last(&self) -> Result<WatchFrom, Error> {
        if self.filters.is_empty() {
            let info = info(&self.js, &self.stream, "stream", &self.stream).await?;
            return Ok(WatchFrom::Revision(info.last_seq));
        }
        let target = Target::of("get", "message", &self.stream);
        let call = format!("STREAM.MSG.GET.{}", self.stream);
        let mut last = None;
        for filter in &self.filters {
            let body = json!({ "last_by_subj": filter });
            match self.js.api.call::<Value>(self.js.link(), &call, Some(&body), &target).await {
                Ok(answer) => last = last.max(Some(parse_stored(&answer)?.seq)),
                Err(Error::NotFound(missing)) if missing.kind == "message" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(last.map_or(WatchFrom::New, WatchFrom::Revision))
    }
}

/// What reading a stream brings.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly all are messages")]
pub enum ReadEvent {
    /// A message.
    Message(Delivery<Bytes>),
    /// All that was there at the beginning has come. Comes once, also if that was nothing.
    Ready,
    /// It was interrupted and goes on; so many messages were stored meanwhile and follow.
    Resumed {
        /// Their number.
        missed: u64,
    },
}

/// Messages of a stream as they come. It goes on over restarts of the server, without loss and without
/// telling anything twice, and ends only with the connection.
///
/// Dropping it removes its consumer from the server.
pub struct StreamReader {
    from: Ordered,
    items: VecDeque<Item>,
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamReader")
    }
}

impl StreamReader {
    /// The next event; `None` when the connection is over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ReadEvent> {
        loop {
            while let Some(item) = self.items.pop_front() {
                return Some(match item {
                    Item::Ready => ReadEvent::Ready,
                    Item::Resumed(missed) => ReadEvent::Resumed { missed },
                    Item::Message(message, meta) => {
                        // Bytes always decode as bytes.
                        let decoder = Decoder::of::<Binary>();
                        let Ok(delivery) = Delivery::decode(message, meta, decoder) else {
                            continue;
                        };
                        ReadEvent::Message(delivery)
                    }
                });
            }
            self.items.extend(self.from.next().await?);
        }
    }

    /// Ends it, and waits until its consumer is removed.
    pub async fn stop(self) {
        self.from.end().await;
    }
}
