//! Messages that cannot be handled, kept aside with the story of why.

use std::time::Duration;

use super::meta::Meta;
use super::publish::{PublishOptions, publish_once};
use crate::connect::Link;
use crate::error::Error;
use async_nats::HeaderMap;
use bytes::Bytes;

/// Where messages go that cannot be handled. A stream has to store the subject: the original is
/// terminated only after the copy is acknowledged.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    subject: String,
}

impl DeadLetter {
    /// To this subject.
    pub fn to(subject: impl Into<String>) -> Self {
        Self { subject: subject.into() }
    }

    /// Stores a copy of a message with its headers, and `Natterjack-Dl-{Reason,Stream,Seq,Subject,
    /// Consumer,Deliveries,Error,Time}`.
    pub(crate) async fn keep(
        &self,
        link: &Link,
        letter: &Letter<'_>,
        limit: Duration,
    ) -> Result<(), Error> {
        let options = letter.headers();
        publish_once(link, &self.subject, letter.body.clone(), options, limit).await?;
        link.meters.dead_lettered();
        Ok(())
    }
}

/// A message that is to be kept, and why.
pub(crate) struct Letter<'a> {
    pub(crate) subject: &'a str,
    pub(crate) original: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    pub(crate) meta: &'a Meta,
    pub(crate) reason: &'a str,
    pub(crate) error: &'a str,
}

impl Letter<'_> {
    fn headers(&self) -> PublishOptions {
        let mut options = PublishOptions::default();
        for (name, values) in self.original.iter() {
            // Headers that would be instructions to the stream that keeps the copy.
            let name: &str = name.as_ref();
            if !name.to_ascii_lowercase().starts_with("nats-") {
                for value in values {
                    options.header(name, value.as_str());
                }
            }
        }
        let meta = self.meta;
        let line = |text: &str| text.replace(['\r', '\n'], " ");
        let time = jiff::Timestamp::now().to_string();
        for (name, value) in [
            ("Reason", line(self.reason)),
            ("Stream", meta.stream.clone()),
            ("Seq", meta.stream_seq.to_string()),
            ("Subject", self.subject.to_owned()),
            ("Consumer", meta.consumer.clone()),
            ("Deliveries", meta.delivered.to_string()),
            ("Error", line(self.error)),
            ("Time", time),
        ] {
            options.header(&format!("Natterjack-Dl-{name}"), &value);
        }
        // The copy may be sent again when its acknowledgement is lost, and is to be stored once.
        options.header(
            "Nats-Msg-Id",
            &format!("dl-{}-{}-{}", meta.stream, meta.consumer, meta.stream_seq),
        );
        options.id = true;
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_tells_the_story_and_keeps_the_programs_headers() {
        let mut original = HeaderMap::new();
        original.insert("x", "y");
        original.insert("Nats-Expected-Last-Sequence", "3");
        let meta = Meta::parse("$JS.ACK.S.C.4.7.9.1000.0").unwrap();
        let body = Bytes::from_static(b"b");
        let letter = Letter {
            subject: "orders.new",
            original: &original,
            body: &body,
            meta: &meta,
            reason: "max deliveries",
            error: "a\nb",
        };
        let headers = letter.headers().headers;
        let get = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        for (name, value) in [
            ("x", "y"),
            ("Natterjack-Dl-Reason", "max deliveries"),
            ("Natterjack-Dl-Stream", "S"),
            ("Natterjack-Dl-Seq", "7"),
            ("Natterjack-Dl-Subject", "orders.new"),
            ("Natterjack-Dl-Consumer", "C"),
            ("Natterjack-Dl-Deliveries", "4"),
            ("Natterjack-Dl-Error", "a b"),
            ("Nats-Msg-Id", "dl-S-C-7"),
        ] {
            assert_eq!(get(name).as_deref(), Some(value), "{name}");
        }
        assert!(get("Natterjack-Dl-Time").is_some());
        assert_eq!(get("Nats-Expected-Last-Sequence"), None);
    }
}
