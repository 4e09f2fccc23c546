//! Asking an origin for a consumer, and what it answers (jetstream.md 2.10; nats-server 2.15.1).
//!
//! The request goes to the API of the origin as any client's would, through imports and prefixes where
//! there are some. What it makes is a push consumer with flow control that no list shows; of a work
//! queue or interest stream one that is kept and whose flow control settles.

use std::collections::BTreeMap;

use serde::Deserialize;

use natterjack_store::SEQ_MAX;

use super::Sourcing;
use super::arrivals::Arrival;
use super::feed::{Feed, Level, Phase, SourceError};
use crate::consumer::{self, AckPolicy, CreateRequest, DeliverPolicy};
use crate::error::ApiError;
use crate::host::{Delivered, Host, Outgoing};
use crate::nuid;
use crate::stream::Stream;
use crate::stream::headers;
use crate::time::Now;

const SECOND: i64 = 1_000_000_000;
const API: &str = "$JS.API";
/// How long an answer may take: for a consumer that is to be made, and for one that is there.
const ANSWER_WAIT: u64 = 30 * SECOND as u64;
const RESET_WAIT: u64 = 5 * SECOND as u64;
const NAME_LEN: usize = 8;
/// Bytes of an identity, which has 8 (nats-server 2.15.1).
const IDENTITY_MAX: usize = 64;
/// Errors of servers that know less (10185, 10025), and of one whose stream is another (10225).
const TOO_NEW: [u64; 2] = [10_185, 10_025];
const OTHER_STREAM: u64 = 10_225;

/// What of an answer matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    error: Option<SourceError>,
    name: String,
    config: Option<Made>,
    delivered: Reached,
    num_pending: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Made {
    ack_policy: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reached {
    stream_seq: u64,
}

impl Stream {
    /// Asks for a consumer, under a new token.
    pub(super) fn ask(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        sourcing: &mut Sourcing,
        at: usize,
    ) {
        let token = sourcing.next_token();
        let names =
            (self.consumer_name(&sourcing.feeds, at), nuid::text(NAME_LEN, || host.random()));
        let Some(feed) = sourcing.feeds.get_mut(at) else { return };
        let (account, id) = (self.scope.account.clone(), self.scope.stream_id);
        feed.close(host, &account, id);
        feed.token = token;
        feed.inbox = format!("$JSC.R.{}", nuid::text(NAME_LEN, || host.random()));
        feed.deliver = deliver_subject(feed, &names.1);
        feed.consumer.clone_from(&names.0);
        let (subject, headers, payload) = match &feed.source.consumer {
            Some(made) => {
                let subject = format!("CONSUMER.RESET.{}.{}", feed.source.name, made.name);
                (subject, required_level(feed), Vec::new())
            }
            None => self.create_request(feed, names),
        };
        let subject = api_subject(feed, &subject);
        host.open_inlet(&account, feed.inbox.as_bytes(), id, token);
        host.open_inlet(&account, feed.deliver.as_bytes(), id, token + 1);
        let wait = if feed.source.consumer.is_some() { RESET_WAIT } else { ANSWER_WAIT };
        feed.asked(now, wait);
        let sent = host.deliver(&Outgoing {
            account: &account,
            route: subject.as_bytes(),
            subject: subject.as_bytes(),
            reply: Some(feed.inbox.as_bytes()),
            headers: &headers,
            payload: &payload,
        });
        if sent == Delivered::No {
            // Nobody is there: no import, or a leafnode that is not connected.
            feed.failed(host, &account, id, now, None);
        }
    }

    /// The name of the consumer: always the same for a stream, so that one that is kept is found again.
    pub(super) fn consumer_name(&self, feeds: &[Feed], at: usize) -> String {
        let hash = |text: &str| -> String {
            nuid::hash8(text.as_bytes()).iter().map(|byte| char::from(*byte)).collect()
        };
        let mut id = format!("{} {}", self.scope.stream, self.scope.account);
        if let Some(domain) = &self.scope.domain {
            id = format!("{id} {domain}");
        }
        let own = hash(&id);
        let Some(feed) = feeds.get(at) else { return own };
        if feed.mirror {
            return format!("JS_MIRROR_{own}");
        }
        // Several sources from one stream have a consumer each.
        let same = feeds.iter().filter(|other| other.source.name == feed.source.name).count();
        let own = if same > 1 { format!("{own} {}", feed.index) } else { own };
        format!("JS_SRC_{}", hash(&own))
    }

    fn create_request(
        &self,
        feed: &Feed,
        (name, random): (String, String),
    ) -> (String, Vec<u8>, Vec<u8>) {
        let kind = if feed.mirror { "mirror" } else { "src" };
        let mut metadata = BTreeMap::new();
        metadata.insert(format!("_nats.{kind}.stream"), self.scope.stream.to_string());
        metadata.insert(format!("_nats.{kind}.acc"), self.scope.account.to_string());
        if let Some(domain) = &self.scope.domain {
            metadata.insert(format!("_nats.{kind}.domain"), domain.to_string());
        }
        let sourcing = feed.level != Level::Plain;
        let name = if sourcing { name } else { format!("{name}_{random}") };
        let mut config = consumer::Config {
            name: name.clone(),
            deliver_subject: feed.deliver.clone(),
            ack_policy: AckPolicy::None,
            ack_wait: 22 * 3600 * SECOND,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: SECOND,
            inactive_threshold: 10 * SECOND,
            direct: true,
            sourcing,
            metadata,
            ..consumer::Config::default()
        };
        self.fill_start(feed, &mut config);
        let transforms = &feed.source.subject_transforms;
        let filters: Vec<&str> = match transforms.is_empty() {
            true => vec![feed.source.filter_subject.as_str()],
            // No source is the source of everything.
            false => transforms
                .iter()
                .map(|rule| if rule.src.is_empty() { ">" } else { rule.src.as_str() })
                .collect(),
        };
        let mut subject = format!("CONSUMER.CREATE.{}", feed.source.name);
        match filters.as_slice() {
            [""] => {}
            [one] => {
                (*one).clone_into(&mut config.filter_subject);
                subject = format!("{subject}.{name}.{one}");
            }
            more => config.filter_subjects = more.iter().map(|one| (*one).to_owned()).collect(),
        }
        let request = CreateRequest {
            stream_name: feed.source.name.clone(),
            config,
            ..CreateRequest::default()
        };
        // Strings, numbers and lists, which always serialize.
        (subject, required_level(feed), serde_json::to_vec(&request).unwrap_or_default())
    }

    /// Where the consumer starts: behind what was taken, or else where the configuration says.
    fn fill_start(&self, feed: &Feed, config: &mut consumer::Config) {
        let state = self.log.state();
        let known = if feed.mirror { state.last_seq } else { feed.seq };
        if known > 0 {
            config.deliver_policy = DeliverPolicy::ByStartSequence;
            config.opt_start_seq = known + 1;
            return;
        }
        let mut time = feed.source.opt_start_time;
        if feed.source.opt_start_seq > 0 {
            config.deliver_policy = DeliverPolicy::ByStartSequence;
            config.opt_start_seq = feed.source.opt_start_seq;
            return;
        }
        if !feed.mirror && state.last_time != 0 {
            // What was sourced before it went is not sourced again.
            match time {
                Some(asked) => time = Some(asked.max(state.last_time)),
                None if state.first_seq > 1 && !feed.recreated => time = Some(state.last_time),
                None => {}
            }
        }
        if time.is_some() {
            config.deliver_policy = DeliverPolicy::ByStartTime;
            config.opt_start_time = time;
        }
    }

    /// Takes an answer to [`ask`](Self::ask).
    pub(super) fn origin_answered(
        &mut self,
        host: &mut dyn Host,
        now: Now,
        feed: &mut Feed,
        arrival: &Arrival,
    ) {
        if !matches!(feed.phase, Phase::Asking(_)) {
            return;
        }
        let (account, id) = (self.scope.account.clone(), self.scope.stream_id);
        let Ok(answer) = serde_json::from_slice::<Answer>(arrival.payload()) else {
            let error = ApiError::invalid_json("unexpected answer of the origin").into();
            return feed.failed(host, &account, id, now, Some(error));
        };
        let Answer { error, name, config, delivered, num_pending } = answer;
        if let Some(error) = error {
            return self.refused(host, now, feed, error);
        }
        let Some(made) = config.filter(|_| delivered.stream_seq <= SEQ_MAX) else {
            let err = "invalid consumer create response".into();
            let error = match feed.mirror {
                true => ApiError::MirrorConsumerSetupFailed { err },
                false => ApiError::SourceConsumerSetupFailed { err },
            };
            return feed.failed(host, &account, id, now, Some(error.into()));
        };
        if feed.source.consumer.is_some() && made.ack_policy != "flow_control" {
            let error = match feed.mirror {
                true => ApiError::MirrorConsumerRequiresAckFc,
                false => ApiError::SourceConsumerRequiresAckFc,
            };
            return feed.failed(host, &account, id, now, Some(error.into()));
        }
        let inbox = std::mem::take(&mut feed.inbox);
        host.close_inlet(&account, inbox.as_bytes(), id);
        feed.follow(now, name);
        feed.pending(num_pending);
        let identity = headers::get(arrival.headers(), b"Nats-Stream-Identity");
        // It goes into headers and notes: what no stream is called by is left out.
        let known =
            |text: &&[u8]| text.len() <= IDENTITY_MAX && text.iter().all(u8::is_ascii_graphic);
        let identity = identity.filter(known).map(String::from_utf8_lossy).unwrap_or_default();
        if feed.mirror {
            // What is before the consumer's start will never come.
            if delivered.stream_seq > self.log.state().last_seq {
                self.log.skip_to(delivered.stream_seq);
            }
            feed.seq = self.log.state().last_seq;
        } else {
            let is_known = !identity.is_empty() && !feed.identity.is_empty();
            if feed.recreated || (is_known && *feed.identity != *identity) {
                feed.rewind();
            }
            feed.recreated = false;
            feed.identity = identity.into_owned();
            feed.seq = feed.seq.max(delivered.stream_seq);
        }
    }

    fn refused(&mut self, host: &mut dyn Host, now: Now, feed: &mut Feed, error: SourceError) {
        let (account, id) = (self.scope.account.clone(), self.scope.stream_id);
        if error.err_code == OTHER_STREAM && !feed.identity.is_empty() {
            feed.identity.clear();
            feed.recreated = true;
            feed.rewind();
            feed.close(host, &account, id);
            return feed.hurry(now);
        }
        let less = match feed.level {
            Level::Identity => Some(Level::Sourcing),
            Level::Sourcing => Some(Level::Plain),
            Level::Plain => None,
        };
        if let Some(less) = less.filter(|_| TOO_NEW.contains(&error.err_code)) {
            feed.level = less;
            feed.close(host, &account, id);
            return feed.hurry(now);
        }
        feed.failed(host, &account, id, now, Some(error));
    }
}

/// The subject of a request to the origin's API.
pub(super) fn api_subject(feed: &Feed, endpoint: &str) -> String {
    let prefix = feed.source.external.as_ref().map_or("", |external| &external.api);
    let prefix = if prefix.is_empty() { API } else { prefix };
    format!("{prefix}.{endpoint}").replace("..", ".")
}

/// Where messages are to go.
fn deliver_subject(feed: &Feed, random: &str) -> String {
    if let Some(made) = &feed.source.consumer {
        return made.deliver_subject.clone();
    }
    let kind = if feed.mirror { "M" } else { "S" };
    let prefix = feed.source.external.as_ref().map_or("", |external| &external.deliver);
    let prefix = if prefix.is_empty() { "$JS" } else { prefix };
    format!("{prefix}.{kind}.{random}").replace("..", ".")
}

/// The headers of the request: what the server of the origin must know.
fn required_level(feed: &Feed) -> Vec<u8> {
    let level = match feed.level {
        Level::Identity => 5,
        Level::Sourcing => 4,
        Level::Plain => return Vec::new(),
    };
    let mut headers = format!("NATS/1.0\r\nNats-Required-Api-Level: {level}\r\n");
    if feed.level == Level::Identity && !feed.identity.is_empty() {
        headers.push_str(&format!("Nats-Stream-Identity: {}\r\n", feed.identity));
    }
    headers.push_str("\r\n");
    headers.into_bytes()
}
