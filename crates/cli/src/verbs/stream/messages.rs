//! `natterjack stream view` and `get`: messages as they are stored.

use std::time::Duration;

use async_nats::HeaderMap;
use base64::Engine;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{check_name, stream_info};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::{number, text};
use crate::message::{Received, Show, translated};
use crate::output::Output;
use crate::units;

/// Print messages of a stream.
#[derive(Debug, Args)]
pub(crate) struct View {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Most messages to print
    #[arg(default_value_t = 10)]
    size: u64,
    /// Begin at this sequence
    #[arg(long, value_name = "SEQ", conflicts_with = "since")]
    id: Option<u64>,
    /// Only messages younger than this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    since: Option<Duration>,
    /// Only messages of this subject; wildcards are allowed
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Print bodies only
    #[arg(short, long)]
    raw: bool,
    /// Program that bodies are passed through before they are printed
    #[arg(long, value_name = "CMD")]
    translate: Option<String>,
}

/// Print one message of a stream.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Sequence of the message
    #[arg(required_unless_present = "last_for")]
    seq: Option<u64>,
    /// The last message of this subject
    #[arg(short = 'S', long, value_name = "SUBJECT", conflicts_with = "seq")]
    last_for: Option<String>,
    /// Print the body only
    #[arg(short, long)]
    raw: bool,
    /// Program that the body is passed through before it is printed
    #[arg(long, value_name = "CMD")]
    translate: Option<String>,
}

/// A message as the API shows it.
pub(crate) struct Stored {
    pub(crate) stream: String,
    pub(crate) subject: String,
    pub(crate) seq: u64,
    pub(crate) time: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Stored {
    /// Reads the `message` of a `STREAM.MSG.GET` answer.
    pub(crate) fn read(stream: &str, message: &Value) -> Result<Self, Failure> {
        let bad = |what: &str| {
            let text = format!("the {what} of a message of {stream} cannot be read");
            Failure::new(status::FAILED, "js.bad_reply", text)
        };
        let decode = |name| {
            base64::engine::general_purpose::STANDARD.decode(text(message, name)).map_err(|_| ())
        };
        let headers = decode("/hdrs").map_err(|()| bad("headers"))?;
        Ok(Self {
            stream: stream.to_owned(),
            subject: text(message, "/subject").to_owned(),
            seq: number(message, "/seq"),
            time: text(message, "/time").to_owned(),
            headers: headers_of(&headers),
            body: decode("/data").map_err(|()| bad("body"))?,
        })
    }

    async fn print(&self, out: &Output, show: &Show) -> Outcome {
        let received = Received {
            subject: &self.subject,
            reply: None,
            headers: &self.headers,
            body: &self.body,
        };
        if out.json {
            let mut extra = Map::new();
            extra.insert("stream".to_owned(), self.stream.as_str().into());
            extra.insert("seq".to_owned(), self.seq.into());
            extra.insert("time".to_owned(), self.time.as_str().into());
            out.object(&received.json(extra, show));
            return Ok(());
        }
        let body = translated(show, &self.subject, &self.body, out).await?;
        if show.raw {
            let mut line = body;
            line.push(b'\n');
            out.data(&line);
            return Ok(());
        }
        let head = format!(
            "[{}] Subject: {} Received: {}\n",
            self.seq,
            self.subject,
            units::moment(&self.time, "-")
        );
        let mut block = head.into_bytes();
        block.extend(received.lines(out, show, &body));
        out.data(&block);
        Ok(())
    }
}

/// Headers from the form in which they are on the wire (ADR-4). Lines that are none are left out.
fn headers_of(wire: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in String::from_utf8_lossy(wire).split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && !name.is_empty()
            && let Ok(value) = value.trim().parse::<async_nats::HeaderValue>()
        {
            headers.append(name, value);
        }
    }
    headers
}

/// A message, or `None` if there is none.
pub(crate) async fn get(api: &Api, stream: &str, body: &Value) -> Result<Option<Stored>, Failure> {
    match api.ask(&format!("STREAM.MSG.GET.{stream}"), body).await {
        Ok(answer) => Stored::read(stream, answer.get("message").unwrap_or(&Value::Null)).map(Some),
        Err(failure) if failure.err_code == 10037 => Ok(None),
        Err(failure) => Err(api.did_you_mean(failure, stream).await),
    }
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        check_name("stream", &self.stream)?;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let (wanted, what) = match (&self.last_for, self.seq) {
            (Some(subject), _) => (json!({ "last_by_subj": subject }), format!("on {subject}")),
            (None, seq) => {
                let seq = seq.unwrap_or(0);
                (json!({ "seq": seq }), format!("with sequence {seq}"))
            }
        };
        let found = get(&api, &self.stream, &wanted).await?;
        connector.close().await?;
        let Some(message) = found else {
            let text = format!("no message {what} in stream {}", self.stream);
            let hint = format!("natterjack stream info {} shows what it holds", self.stream);
            return Err(Failure::new(status::NOT_FOUND, "js.not_found", text).hint(hint));
        };
        let show = Show { raw: self.raw, translate: self.translate, ..Show::default() };
        message.print(&context.out, &show).await
    }
}

impl View {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = stream_info(&api, &self.stream).await?;
        let show = Show { raw: self.raw, translate: self.translate.clone(), ..Show::default() };
        let subject = self.subject.as_deref().unwrap_or(">");
        let mut next = match self.since {
            Some(since) => first_since(&api, &info, since).await?,
            None => self.id.unwrap_or(0).max(number(&info, "/state/first_seq")).max(1),
        };
        for _ in 0..self.size {
            let wanted = json!({ "seq": next, "next_by_subj": subject });
            let Some(message) = get(&api, &self.stream, &wanted).await? else { break };
            next = message.seq + 1;
            message.print(&context.out, &show).await?;
        }
        connector.close().await?;
        Ok(())
    }
}

/// The first sequence that is not older than `since`: times rise with sequences, so that half of
/// what is left can be ruled out by one look.
pub(crate) async fn first_since(api: &Api, info: &Value, since: Duration) -> Result<u64, Failure> {
    let stream = text(info, "/config/name");
    let start = jiff::Timestamp::now().as_nanosecond()
        - i128::try_from(since.as_nanos()).unwrap_or(i128::MAX / 2);
    let (mut low, mut high) =
        (number(info, "/state/first_seq"), number(info, "/state/last_seq").saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let wanted = json!({ "seq": middle, "next_by_subj": ">" });
        let found = get(api, stream, &wanted).await?;
        match found {
            Some(message)
                if units::parse_moment(&message.time)
                    .is_some_and(|time| time.as_nanosecond() < start) =>
            {
                low = message.seq + 1;
            }
            _ => high = middle,
        }
    }
    Ok(low.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_headers_and_bodies_are_decoded() {
        let message = json!({
            "subject": "a.b", "seq": 7, "time": "2026-01-31T12:00:00Z", "data": "aGk=",
            "hdrs": base64::engine::general_purpose::STANDARD
                .encode("NATS/1.0\r\nA: 1\r\nA: 2\r\nno header\r\n\r\n"),
        });
        let stored = Stored::read("S", &message).unwrap();
        assert_eq!((stored.seq, stored.body.as_slice()), (7, &b"hi"[..]));
        let values: Vec<&str> =
            stored.headers.get_all("A").map(async_nats::HeaderValue::as_str).collect();
        assert_eq!(values, ["1", "2"]);
        assert!(Stored::read("S", &json!({"data": "!"})).is_err());
    }
}
