//! Messages that a stream has still to acknowledge, so many at once.

use std::time::{Duration, Instant};

use async_nats::header::HeaderMap;
use async_nats::subject::Subject;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::core::{ended, unlistened, unsent};
use super::harness::{Seat, waiting};
use super::publish::check_ack;
use super::stats::Meter;
use crate::exit::{Failure, Outcome, status};
use crate::units;

/// Messages on their way, each in a place that has a reply subject of its own.
pub(super) struct Window {
    client: Client,
    answers: Subscriber,
    replies: Vec<Subject>,
    /// When the message in a place was sent.
    sent: Vec<Option<(Instant, Subject)>>,
    /// Places that are free.
    pub(super) free: Vec<usize>,
    limit: Duration,
}

impl Window {
    pub(super) async fn open(seat: &Seat, places: usize) -> Result<Self, Failure> {
        let inbox = seat.client.new_inbox();
        let subscribed = seat.client.subscribe(format!("{inbox}.*")).await;
        Ok(Self {
            client: seat.client.clone(),
            answers: subscribed.map_err(|error| unlistened(&error))?,
            replies: (0..places).map(|place| format!("{inbox}.{place}").into()).collect(),
            sent: vec![None; places],
            free: (0..places).rev().collect(),
            limit: seat.limit,
        })
    }

    /// Sends a message; there must be a free place.
    pub(super) async fn send(
        &mut self,
        subject: Subject,
        headers: Option<HeaderMap>,
        body: Bytes,
    ) -> Outcome {
        let Some(place) = self.free.pop() else { return Ok(()) };
        let reply = self.replies[place].clone();
        self.sent[place] = Some((Instant::now(), subject.clone()));
        let sent = match headers {
            None => self.client.publish_with_reply(subject, reply, body).await,
            Some(headers) => {
                self.client.publish_with_reply_and_headers(subject, reply, headers, body).await
            }
        };
        sent.map_err(|error| unsent(&error))
    }

    /// Waits for answers and notes those that are there.
    pub(super) async fn receive(&mut self, meter: &mut Meter, size: usize) -> Outcome {
        let mut next = match waiting(&mut self.answers) {
            Some(next) => next,
            None => match tokio::time::timeout(self.limit, self.answers.next()).await {
                Ok(next) => next,
                Err(_) => return Err(self.late()),
            },
        };
        loop {
            let answer = next.ok_or_else(ended)?;
            let place = answer.subject.rsplit('.').next().and_then(|text| text.parse().ok());
            let place: usize = place.unwrap_or(usize::MAX);
            if let Some((sent, subject)) = self.sent.get_mut(place).and_then(Option::take) {
                check_ack(&subject, &answer.payload)?;
                self.free.push(place);
                meter.time(sent.elapsed());
                meter.add(size);
            }
            match waiting(&mut self.answers) {
                Some(more) => next = more,
                None => return Ok(()),
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.replies.len() - self.free.len()
    }

    fn late(&self) -> Failure {
        let text = format!(
            "no acknowledgement within {}, with {} messages on their way",
            units::duration(self.limit),
            units::count(self.in_flight() as u64)
        );
        Failure::new(status::TIMEOUT, "conn.timeout", text)
            .hint("a longer --timeout, or a smaller --batch")
    }
}
