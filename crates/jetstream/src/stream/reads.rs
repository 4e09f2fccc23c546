//! Reading stored messages: `STREAM.MSG.GET` and Direct Get (ADR-31, jetstream.md 2.13, 2.14).
//!
//! A read whose record is not durable yet, or whose block must come from disk, waits in a list of
//! the stream and is tried again with each settle.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use natterjack_store::{Filter, Locate, Located, Next, Stored};
use serde::{Deserialize, Serialize};

use super::Stream;
use super::headers::VERSION_LINE;
use crate::error::ApiError;
use crate::host::{Host, Outgoing};
use crate::json::{int, time, write_u64};
use crate::time::write_rfc3339;

/// Bytes of requests that may wait in one stream.
const WAITING_BYTES: usize = 16 << 20;
/// Bytes of a buffer for headers that is kept.
const HEADERS_KEPT: usize = 4096;
/// Subjects that one multi get answers.
const MULTI_MAX: usize = 1024;
/// Bytes after which a batch ends if the request names no bound: one client's default outbox.
const BATCH_BYTES: usize = 64 << 20;

/// The body of `STREAM.MSG.GET` and of Direct Get.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename = "JSApiMsgGetRequest")]
pub(crate) struct GetRequest {
    pub(crate) seq: u64,
    pub(crate) last_by_subj: String,
    pub(crate) next_by_subj: String,
    #[serde(with = "int")]
    pub(crate) batch: i64,
    #[serde(with = "int")]
    pub(crate) max_bytes: i64,
    #[serde(with = "time")]
    pub(crate) start_time: Option<i64>,
    pub(crate) multi_last: Vec<String>,
    pub(crate) up_to_seq: u64,
    #[serde(with = "time")]
    pub(crate) up_to_time: Option<i64>,
    pub(crate) no_hdr: bool,
}

/// One message of a `STREAM.MSG.GET` answer.
#[derive(Debug, Serialize)]
pub(crate) struct ShownMessage {
    subject: String,
    seq: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    hdrs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(with = "crate::json::with::stamp")]
    time: i64,
}

#[derive(Debug, Serialize)]
struct GetAnswer {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ApiError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<ShownMessage>,
}

/// `type` of `STREAM.MSG.GET` answers.
pub(crate) const GET_TYPE: &str = "io.nats.jetstream.api.v1.stream_msg_get_response";

/// Which message a single read is for.
#[derive(Debug)]
enum Selector {
    Seq(u64),
    Last(Vec<u8>),
    /// The first at or after a sequence.
    Next(Option<Filter>, u64),
    /// The first stored at or after a time, among those that match.
    Since(Option<Filter>, i64),
}

enum Lookup {
    Found(Located),
    Missing,
    Wait,
}

/// A Direct Get that was accepted.
#[derive(Debug)]
pub(crate) enum DirectRequest {
    Single { selector: SelectorBox, no_hdr: bool },
    Batch(Batch),
    Multi(Multi),
}

/// Hides the selector's form from the API.
#[derive(Debug)]
pub(crate) struct SelectorBox(Selector);

/// Messages in a row.
#[derive(Debug)]
pub(crate) struct Batch {
    filters: Vec<Filter>,
    start: Start,
    left: i64,
    bytes: usize,
    last: u64,
    pending: u64,
    no_hdr: bool,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Seq(u64),
    Time(i64),
    /// The next sequence, pending already counted.
    Running(u64),
}

/// The last messages of subjects.
#[derive(Debug)]
pub(crate) struct Multi {
    filters: Vec<Filter>,
    from: u64,
    up_to_seq: u64,
    up_to_time: Option<i64>,
    left: i64,
    bytes: usize,
    last: u64,
    /// The sequences still to send, last first; `None` until they are known.
    seqs: Option<Vec<u64>>,
    pending: u64,
}

#[derive(Debug)]
enum Job {
    Get { selector: Selector, no_hdr: bool },
    Direct(DirectRequest),
}

/// The reads that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    jobs: Vec<(Vec<u8>, Job)>,
    /// What the jobs hold, about.
    bytes: usize,
    /// The headers of the answer at hand.
    headers: Vec<u8>,
}

impl Waiting {
    pub(super) fn clear(&mut self) {
        self.jobs.clear();
        self.bytes = 0;
    }
}

impl Job {
    /// About what it keeps of its request.
    fn bytes(&self) -> usize {
        let of = |filter: &Filter| filter.subject().len() + size_of::<Filter>();
        let filters: usize = match self {
            Self::Get { selector, .. }
            | Self::Direct(DirectRequest::Single { selector: SelectorBox(selector), .. }) => {
                match selector {
                    Selector::Seq(_) => 0,
                    Selector::Last(subject) => subject.len(),
                    Selector::Next(filter, _) | Selector::Since(filter, _) => {
                        filter.iter().map(of).sum()
                    }
                }
            }
            Self::Direct(DirectRequest::Batch(batch)) => batch.filters.iter().map(of).sum(),
            Self::Direct(DirectRequest::Multi(multi)) => multi.filters.iter().map(of).sum(),
        };
        filters + size_of::<Self>()
    }
}

impl GetRequest {
    fn selector(&self) -> Selector {
        if !self.last_by_subj.is_empty() {
            return Selector::Last(self.last_by_subj.clone().into_bytes());
        }
        let filter = self.next_filter();
        match self.start_time {
            Some(time) => Selector::Since(filter, time),
            None if !self.next_by_subj.is_empty() => Selector::Next(filter, self.seq),
            None => Selector::Seq(self.seq),
        }
    }

    fn next_filter(&self) -> Option<Filter> {
        (!self.next_by_subj.is_empty()).then(|| Filter::new(self.next_by_subj.as_bytes()))
    }

    /// True when nothing says what to read.
    fn selects_nothing(&self) -> bool {
        self.seq == 0
            && self.last_by_subj.is_empty()
            && self.next_by_subj.is_empty()
            && self.start_time.is_none()
            && self.multi_last.is_empty()
    }

    /// True when two selectors exclude each other.
    fn contradicts(&self) -> bool {
        let last = !self.last_by_subj.is_empty();
        let next = !self.next_by_subj.is_empty();
        let multi = !self.multi_last.is_empty();
        (last && (self.seq > 0 || next || multi || self.start_time.is_some() || self.batch > 0))
            || (multi && next)
            || (self.seq > 0 && self.start_time.is_some())
            || (self.up_to_seq > 0 && self.up_to_time.is_some())
    }

    /// # Errors
    /// 10003 unless exactly one message is selected. What only a Direct Get knows is ignored, but for the
    /// bounds of a batch (nats-server 2.15.1).
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let many = self.batch > 0 || self.max_bytes > 0;
        let place = self.seq > 0 || self.start_time.is_some();
        let next = !self.next_by_subj.is_empty();
        let selects = if self.last_by_subj.is_empty() {
            (place || next) && !(self.seq > 0 && self.start_time.is_some())
        } else {
            !place && !next
        };
        if selects && !many { Ok(()) } else { Err(ApiError::BadRequest) }
    }

    /// What a Direct Get is to do, or the status that refuses it.
    pub(crate) fn direct(&self) -> Result<DirectRequest, &'static str> {
        if self.selects_nothing() {
            return Err("408 Empty Request");
        }
        if self.contradicts() {
            return Err("408 Bad Request");
        }
        let bytes = usize::try_from(self.max_bytes).ok().filter(|n| *n > 0).unwrap_or(BATCH_BYTES);
        if !self.multi_last.is_empty() {
            return Ok(DirectRequest::Multi(Multi {
                filters: self.multi_last.iter().map(|f| Filter::new(f.as_bytes())).collect(),
                from: self.seq,
                up_to_seq: self.up_to_seq,
                up_to_time: self.up_to_time,
                left: if self.batch > 0 { self.batch } else { i64::MAX },
                bytes,
                last: 0,
                seqs: None,
                pending: 0,
            }));
        }
        if self.batch != 0 {
            return Ok(DirectRequest::Batch(Batch {
                filters: self.next_filter().into_iter().collect(),
                start: self.start_time.map_or(Start::Seq(self.seq), Start::Time),
                left: self.batch,
                bytes,
                last: 0,
                pending: 0,
                no_hdr: self.no_hdr,
            }));
        }
        let selector = SelectorBox(self.selector());
        Ok(DirectRequest::Single { selector, no_hdr: self.no_hdr })
    }

    /// The last message on `subject`: the form with the subject in the request's subject.
    pub(crate) fn last_direct(subject: &[u8], no_hdr: bool) -> DirectRequest {
        let selector = SelectorBox(Selector::Last(subject.to_vec()));
        DirectRequest::Single { selector, no_hdr }
    }
}

impl Stream {
    /// Answers `STREAM.MSG.GET`, now or later.
    pub(crate) fn get(&mut self, host: &mut dyn Host, reply: &[u8], request: &GetRequest) {
        let job = Job::Get { selector: request.selector(), no_hdr: request.no_hdr };
        self.read(host, reply, job);
    }

    /// Answers a Direct Get, now or later. True when it was now.
    pub(crate) fn direct(
        &mut self,
        host: &mut dyn Host,
        reply: &[u8],
        request: DirectRequest,
    ) -> bool {
        self.read(host, reply, Job::Direct(request))
    }

    /// Answers a Direct Get of the last message on `subject`, now or later. True when it was now.
    pub(crate) fn direct_last(
        &mut self,
        host: &mut dyn Host,
        reply: &[u8],
        subject: &[u8],
    ) -> bool {
        let next = self.log.last_on(subject);
        match self.found(next) {
            Lookup::Wait => {
                let request = GetRequest::last_direct(subject, false);
                return self.wait(host, reply, Job::Direct(request));
            }
            Lookup::Missing => self.status(host, reply, "404 Message Not Found"),
            Lookup::Found(found) => self.send_stored(host, reply, &found, None, false),
        }
        true
    }

    fn read(&mut self, host: &mut dyn Host, reply: &[u8], mut job: Job) -> bool {
        let is_done = self.run(host, reply, &mut job);
        self.report(host);
        is_done || self.wait(host, reply, job)
    }

    /// Keeps a read for later. True if there are too many, and it was refused.
    fn wait(&mut self, host: &mut dyn Host, reply: &[u8], job: Job) -> bool {
        let bytes = job.bytes();
        if self.waiting.jobs.len() >= self.shared.options.reads_max
            || self.waiting.bytes + bytes > WAITING_BYTES
        {
            match job {
                Job::Get { .. } => self.send_get(host, reply, Err(ApiError::InsufficientResources)),
                Job::Direct(_) => self.status(host, reply, "503 Insufficient Resources"),
            }
            return true;
        }
        self.waiting.bytes += bytes;
        self.waiting.jobs.push((reply.to_vec(), job));
        false
    }

    /// Tries the waiting reads again.
    pub(super) fn retry_reads(&mut self, host: &mut dyn Host) {
        if self.waiting.jobs.is_empty() {
            return;
        }
        let mut jobs = std::mem::take(&mut self.waiting.jobs);
        jobs.retain_mut(|(reply, job)| !self.run(host, reply, job));
        self.waiting.bytes = jobs.iter().map(|(_, job)| job.bytes()).sum();
        self.waiting.jobs = jobs;
    }

    /// True when the job is done.
    fn run(&mut self, host: &mut dyn Host, reply: &[u8], job: &mut Job) -> bool {
        match job {
            Job::Get { selector, no_hdr } => match self.lookup(selector) {
                Lookup::Wait => return false,
                Lookup::Missing => self.send_get(host, reply, Err(ApiError::NoMessageFound)),
                Lookup::Found(found) => {
                    let shown = self.log.message(&found).map(|found| shown_message(found, *no_hdr));
                    self.send_get(host, reply, shown.ok_or(ApiError::NoMessageFound));
                }
            },
            Job::Direct(DirectRequest::Single { selector, no_hdr }) => {
                match self.lookup(&selector.0) {
                    Lookup::Wait => return false,
                    Lookup::Missing => self.status(host, reply, "404 Message Not Found"),
                    Lookup::Found(found) => self.send_stored(host, reply, &found, None, *no_hdr),
                }
            }
            Job::Direct(DirectRequest::Batch(batch)) => return self.run_batch(host, reply, batch),
            Job::Direct(DirectRequest::Multi(multi)) => return self.run_multi(host, reply, multi),
        }
        true
    }

    fn lookup(&mut self, selector: &Selector) -> Lookup {
        let next = match selector {
            Selector::Seq(seq) => Next::Found(*seq),
            Selector::Last(filter) => self.log.last_on(filter),
            Selector::Next(filter, from) => self.log.next_match(filter.as_slice(), *from),
            Selector::Since(filter, time) => match self.log.seq_at_time(*time) {
                Next::Found(seq) => self.log.next_match(filter.as_slice(), seq),
                other => other,
            },
        };
        self.found(next)
    }

    fn found(&mut self, next: Next) -> Lookup {
        match next {
            Next::End => Lookup::Missing,
            Next::Pending => Lookup::Wait,
            Next::Found(seq) => self.fetch(seq),
        }
    }

    fn fetch(&mut self, seq: u64) -> Lookup {
        // What the disk refused is gone although its sequence is used up: there is nothing to wait for.
        if seq > self.log.visible_last() && self.log.contains(seq) {
            return Lookup::Wait;
        }
        match self.log.locate(seq) {
            Locate::Found(message) => Lookup::Found(message),
            Locate::Missing | Locate::Damaged => Lookup::Missing,
            Locate::Pending => Lookup::Wait,
        }
    }

    fn run_batch(&mut self, host: &mut dyn Host, reply: &[u8], batch: &mut Batch) -> bool {
        let mut from = match batch.start {
            Start::Running(from) => from,
            start => {
                let from = match start {
                    Start::Time(time) => match self.log.seq_at_time(time) {
                        Next::Found(seq) => seq,
                        Next::End => u64::MAX,
                        Next::Pending => return false,
                    },
                    Start::Seq(seq) | Start::Running(seq) => seq,
                };
                batch.pending = self.log.num_pending(&batch.filters, from);
                if batch.pending == 0 {
                    self.status(host, reply, "404 Message Not Found");
                    return true;
                }
                from
            }
        };
        while batch.left > 0 && batch.bytes > 0 {
            batch.start = Start::Running(from);
            let seq = match self.log.next_match(&batch.filters, from) {
                Next::Found(seq) if seq <= self.log.visible_last() => seq,
                Next::Found(_) | Next::End => break,
                Next::Pending => return false,
            };
            match self.fetch(seq) {
                Lookup::Wait => return false,
                Lookup::Missing => {}
                Lookup::Found(found) => {
                    batch.bytes = batch.bytes.saturating_sub(size_of_message(&found));
                    // Without headers the reference does not count down, either.
                    batch.pending = batch.pending.saturating_sub(u64::from(!batch.no_hdr));
                    let place = Some((batch.pending, batch.last));
                    self.send_stored(host, reply, &found, place, batch.no_hdr);
                    batch.last = seq;
                    batch.left -= 1;
                }
            }
            from = seq + 1;
        }
        self.end_of_batch(host, reply, batch.pending, batch.last, None);
        true
    }

    fn run_multi(&mut self, host: &mut dyn Host, reply: &[u8], multi: &mut Multi) -> bool {
        if multi.seqs.is_none() {
            let mut up_to = match multi.up_to_time {
                None if multi.up_to_seq > 0 => multi.up_to_seq,
                None => u64::MAX,
                Some(time) => match self.log.seq_at_time(time) {
                    Next::Found(seq) => seq.saturating_sub(1),
                    Next::End => u64::MAX,
                    Next::Pending => return false,
                },
            };
            up_to = up_to.min(self.log.visible_last());
            let mut seqs = self.log.last_per_subject(&multi.filters, up_to);
            seqs.retain(|seq| *seq >= multi.from);
            if seqs.is_empty() {
                self.status(host, reply, "404 No Results");
                return true;
            }
            if seqs.len() > MULTI_MAX {
                self.status(host, reply, "413 Too Many Results");
                return true;
            }
            multi.up_to_seq = up_to;
            multi.pending = seqs.len() as u64;
            seqs.reverse();
            multi.seqs = Some(seqs);
        }
        let Some(seqs) = &mut multi.seqs else { return true };
        while multi.left > 0 && multi.bytes > 0 {
            let Some(seq) = seqs.last().copied() else { break };
            match self.fetch(seq) {
                Lookup::Wait => return false,
                Lookup::Missing => multi.pending -= 1,
                Lookup::Found(found) => {
                    multi.pending -= 1;
                    multi.bytes = multi.bytes.saturating_sub(size_of_message(&found));
                    let place = Some((multi.pending, multi.last));
                    self.send_stored(host, reply, &found, place, false);
                    multi.last = seq;
                    multi.left -= 1;
                }
            }
            seqs.pop();
        }
        self.end_of_batch(host, reply, multi.pending, multi.last, Some(multi.up_to_seq));
        true
    }

    fn end_of_batch(
        &mut self,
        host: &mut dyn Host,
        reply: &[u8],
        pending: u64,
        last: u64,
        up_to: Option<u64>,
    ) {
        let mut headers = b"NATS/1.0 204 EOB\r\n".to_vec();
        write_place(&mut headers, pending, last);
        if let Some(up_to) = up_to {
            headers.extend_from_slice(b"Nats-UpTo-Sequence: ");
            write_u64(&mut headers, up_to);
            headers.extend_from_slice(b"\r\n");
        }
        headers.extend_from_slice(b"\r\n");
        self.send(host, reply, &headers, &[]);
    }

    /// A status line without further headers.
    pub(crate) fn status(&self, host: &mut dyn Host, reply: &[u8], status: &str) {
        let headers = format!("NATS/1.0 {status}\r\n\r\n");
        self.send(host, reply, headers.as_bytes(), &[]);
    }

    /// The stored message with where it comes from; `place` is (pending, last) within a batch.
    fn send_stored(
        &mut self,
        host: &mut dyn Host,
        reply: &[u8],
        found: &Located,
        place: Option<(u64, u64)>,
        no_hdr: bool,
    ) {
        let Some(message) = self.log.message(found) else { return };
        if no_hdr {
            return self.send(host, reply, &[], message.payload);
        }
        let headers = &mut self.waiting.headers;
        headers.clear();
        match message.headers.strip_suffix(b"\r\n") {
            Some(head) => headers.extend_from_slice(head),
            None => headers.extend_from_slice(VERSION_LINE),
        }
        headers.extend_from_slice(b"Nats-Stream: ");
        headers.extend_from_slice(self.scope.stream.as_bytes());
        headers.extend_from_slice(b"\r\nNats-Subject: ");
        headers.extend_from_slice(message.subject);
        headers.extend_from_slice(b"\r\nNats-Sequence: ");
        write_u64(headers, message.seq);
        headers.extend_from_slice(b"\r\nNats-Time-Stamp: ");
        write_rfc3339(headers, message.time);
        headers.extend_from_slice(b"\r\n");
        if let Some((pending, last)) = place {
            write_place(headers, pending, last);
        }
        headers.extend_from_slice(b"\r\n");
        host.deliver(&Outgoing {
            account: &self.scope.account,
            route: reply,
            subject: reply,
            reply: None,
            headers,
            payload: message.payload,
        });
        if headers.capacity() > HEADERS_KEPT {
            *headers = Vec::new();
        }
    }

    fn send(&self, host: &mut dyn Host, reply: &[u8], headers: &[u8], payload: &[u8]) {
        host.deliver(&Outgoing {
            account: &self.scope.account,
            route: reply,
            subject: reply,
            reply: None,
            headers,
            payload,
        });
    }

    fn send_get(&self, host: &mut dyn Host, reply: &[u8], found: Result<ShownMessage, ApiError>) {
        let (message, error) = match found {
            Ok(message) => (Some(message), None),
            Err(error) => {
                // Only failed ones count (nats-server 2.15.1).
                self.account.count_api(true);
                (None, Some(error))
            }
        };
        let answer = GetAnswer { kind: GET_TYPE, error, message };
        // Strings and numbers always serialize.
        let payload = serde_json::to_vec(&answer).unwrap_or_default();
        self.send(host, reply, &[], &payload);
    }
}

fn write_place(headers: &mut Vec<u8>, pending: u64, last: u64) {
    headers.extend_from_slice(b"Nats-Num-Pending: ");
    write_u64(headers, pending);
    headers.extend_from_slice(b"\r\nNats-Last-Sequence: ");
    write_u64(headers, last);
    headers.extend_from_slice(b"\r\n");
}

fn size_of_message(found: &Located) -> usize {
    found.subject_len() + found.content_len()
}

fn shown_message(message: Stored<'_>, no_hdr: bool) -> ShownMessage {
    let hdrs = if no_hdr { String::new() } else { STANDARD.encode(message.headers) };
    ShownMessage {
        subject: String::from_utf8_lossy(message.subject).into_owned(),
        seq: message.seq,
        hdrs,
        data: STANDARD.encode(message.payload),
        time: message.time,
    }
}
