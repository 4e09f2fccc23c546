//! Counters: each subject holds one number, and a message adds to it (ADR-49, jetstream.md 2.6).
//!
//! The number is what the last message of the subject says. It may have to be read from disk first; then
//! the publish waits, and with it all that come after it ([`parked`](super::parked)). The numbers of
//! subjects that were counted lately are kept, so that a counter in use is read once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use natterjack_store::Get;
use serde::Deserialize;

use super::Stream;
use super::batch::Staged;
use super::decimal::Decimal;
use super::headers::{self, PublishHeaders};
use super::publish::{Checked, Inbound, Put, Verdict};
use crate::account::Account;
use crate::engine::Shared;
use crate::error::ApiError;
use crate::host::Host;
use crate::json;
use crate::time::Now;

/// What came from other streams: the last number of each subject of each.
const SOURCES: &[u8] = b"Nats-Counter-Sources";
/// Digits of the longest number. A publisher's are no more than a header block holds.
const DIGITS_MAX: usize = 128 << 10;
/// Bytes of the numbers that are kept: those of a stream, of its account and of all, added up. So one
/// stream alone may keep a third, and each that comes finds room.
const KEPT_MAX: usize = 48 << 20;
/// What an entry takes besides subject and number.
const ENTRY: usize = 128;

/// Anyone may write the header, so there may be `null` as well.
type Sources = BTreeMap<String, Option<BTreeMap<String, String>>>;

/// Where a counter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    total: Decimal,
    sources: Sources,
}

impl Default for Count {
    fn default() -> Self {
        Self { total: Decimal::ZERO, sources: Sources::new() }
    }
}

/// The body of a counter's message.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "CounterValue")]
struct Body {
    val: String,
}

impl Count {
    /// What a stored message says.
    ///
    /// # Errors
    /// 10172 where it is no counter's.
    fn read(block: &[u8], payload: &[u8]) -> Result<Self, ApiError> {
        let broken = ApiError::MessageCounterBroken;
        let body: Option<Body> = json::decode(payload, false).ok().filter(|_| !payload.is_empty());
        let Some(Body { val }) = body else { return Err(broken) };
        let total = match val.as_str() {
            "" => Decimal::ZERO,
            val => Decimal::parse(val.as_bytes())
                .filter(|total| total.len() <= DIGITS_MAX)
                .ok_or(broken.clone())?,
        };
        let sources = match headers::get(block, SOURCES) {
            Some(text) => serde_json::from_slice::<Option<Sources>>(text)
                .map_err(|_| broken)?
                .unwrap_or_default(),
            None => Sources::new(),
        };
        Ok(Self { total, sources })
    }

    /// The message that the counter's next one is stored as.
    fn message(&self, block: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let payload = format!("{{\"val\":\"{}\"}}", self.total).into_bytes();
        let block = if self.sources.is_empty() {
            block.to_vec()
        } else {
            // Strings only, which cannot fail. Go writes these three so.
            let text = serde_json::to_string(&self.sources).unwrap_or_default();
            let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
            headers::with_line(block, SOURCES, text.as_bytes())
        };
        (block, payload)
    }

    fn bytes(&self) -> usize {
        let subjects = self.sources.values().flatten().flatten();
        let sources: usize = subjects.map(|(subject, val)| ENTRY + subject.len() + val.len()).sum();
        self.total.len() + sources
    }
}

/// A number with the sequence that says so.
#[derive(Debug)]
struct Known {
    seq: u64,
    count: Result<Count, ApiError>,
}

/// Bytes of numbers that are kept: of an account, or of all.
#[derive(Debug, Default)]
pub(crate) struct Kept(AtomicUsize);

/// What is counted for a stream's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping<'a> {
    server: &'a Kept,
    account: &'a Kept,
}

impl<'a> Keeping<'a> {
    pub(super) fn of(shared: &'a Shared, account: &'a Account) -> Self {
        Self { server: &shared.counters, account: &account.counters }
    }

    fn add(self, bytes: usize) {
        for kept in [self.server, self.account] {
            kept.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn sub(self, bytes: usize) {
        for kept in [self.server, self.account] {
            kept.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Whether a stream that keeps so much leaves enough to the others.
    fn fits(self, own: usize) -> bool {
        let [all, of_account] = [self.server, self.account].map(|k| k.0.load(Ordering::Relaxed));
        own + of_account + all <= KEPT_MAX
    }
}

/// The numbers of subjects that were counted lately.
#[derive(Debug, Default)]
pub(super) struct Totals {
    known: HashMap<Box<[u8]>, Known>,
    bytes: usize,
}

impl Totals {
    fn get(&self, subject: &[u8], seq: u64) -> Option<&Result<Count, ApiError>> {
        self.known.get(subject).filter(|known| known.seq == seq).map(|known| &known.count)
    }

    /// Keeps a number, which is needed now. Where there is too much, the others go for it, but with `all`.
    fn keep(
        &mut self,
        keeping: Keeping<'_>,
        subject: &[u8],
        seq: u64,
        count: Result<Count, ApiError>,
        all: bool,
    ) {
        let size = |count: &Result<Count, ApiError>| {
            ENTRY + subject.len() + count.as_ref().map_or(0, Count::bytes)
        };
        if let Some(old) = self.known.remove(subject) {
            self.bytes -= size(&old.count);
            keeping.sub(size(&old.count));
        }
        let bytes = size(&count);
        keeping.add(bytes);
        if !all && !keeping.fits(self.bytes + bytes) {
            self.clear(keeping);
        }
        self.bytes += bytes;
        self.known.insert(subject.into(), Known { seq, count });
    }

    /// Forgets all where it is too much, a single one too. Nobody needs one any more.
    fn trim(&mut self, keeping: Keeping<'_>) {
        if self.bytes > 0 && !keeping.fits(self.bytes) {
            self.clear(keeping);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self, keeping: Keeping<'_>) {
        keeping.sub(self.bytes);
        *self = Self::default();
    }
}

/// A message of a counter as it is stored.
pub(super) struct Counted {
    count: Count,
    pub(super) headers: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl Stream {
    /// Stores a message of a stream of counters, which is not sealed.
    #[cold]
    pub(super) fn put_counted(
        &mut self,
        host: &mut dyn Host,
        time: i64,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Put, ApiError> {
        let (verdict, counted) = self.admit_counted(time, msg, found)?;
        let admitted = match (verdict, &counted) {
            (Verdict::Store(admitted), Some(_)) => admitted,
            (Verdict::Duplicate(seq), _) => return Ok(Put::Duplicate(seq)),
            // Counters have no other retention than limits, which wants all.
            _ => return Err(ApiError::MessageCounterBroken),
        };
        let Some(Counted { count, headers, payload }) = counted else {
            return Err(ApiError::MessageCounterBroken);
        };
        let msg = Inbound { headers: &headers, payload: &payload, ..*msg };
        let (seq, pos) = self.store(host, time, &msg, found, &admitted);
        let total = count.total.to_string();
        // Where a publisher wrote what only sources should, the next one goes on from that: what is kept
        // never differs from what is stored, or a restart would change what comes next.
        let written = headers::get(msg.headers, SOURCES).is_some();
        let count = if written { Count::read(msg.headers, msg.payload) } else { Ok(count) };
        let keeping = Keeping::of(&self.shared, &self.account);
        self.totals.keep(keeping, msg.subject, seq, count, false);
        Ok(Put::Counted { seq, pos, total })
    }

    fn admit_counted(
        &mut self,
        time: i64,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<(Verdict, Option<Counted>), ApiError> {
        let step = check_incr(msg, found)?;
        let rollup = match self.check_headers(time, msg, found)? {
            Checked::New(rollup) => rollup,
            Checked::Duplicate(seq) => return Ok((Verdict::Duplicate(seq), None)),
        };
        let step = step.ok_or(ApiError::MessageIncrMissing)?;
        let mut count = self.count_of(msg.subject).ok_or(ApiError::MessageCounterBroken)??;
        count.total = count.total.plus(&step);
        let (headers, payload) = count.message(msg.headers);
        let msg = Inbound { headers: &headers, payload: &payload, ..*msg };
        let verdict = self.check_storing(&msg, found, rollup)?;
        Ok((verdict, Some(Counted { count, headers, payload })))
    }

    /// A message that another stream sent, as it is stored here: what it adds is by how much the number
    /// there has moved since the last one that came, so that what was missed in between counts, too.
    /// `None` while the number here is not at hand.
    ///
    /// # Errors
    /// 10169, 10171 and 10172.
    pub(super) fn count_sourced(
        &mut self,
        msg: &Inbound<'_>,
        found: &PublishHeaders<'_>,
    ) -> Result<Option<Counted>, ApiError> {
        let incr = found.incr.ok_or(ApiError::MessageIncrMissing)?;
        Decimal::parse(incr).ok_or(ApiError::MessageIncrInvalid)?;
        let there = Count::read(b"", msg.payload)?.total;
        let mut origin = found.stream_source.unwrap_or_default().split(|byte| *byte == b' ');
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let stream = text(origin.next().unwrap_or_default());
        let subject = text(origin.nth(3).unwrap_or(msg.subject));
        if !self.load_count(msg.subject, false) {
            return Ok(None);
        }
        let mut count = self.count_of(msg.subject).ok_or(ApiError::MessageCounterBroken)??;
        let subjects = count.sources.entry(stream).or_default().get_or_insert_default();
        let before = subjects.insert(subject, there.to_string());
        let before = before.and_then(|before| Decimal::parse(before.as_bytes()));
        let step = there.minus(&before.unwrap_or(Decimal::ZERO));
        count.total = count.total.plus(&step);
        let block = headers::with_line(msg.headers, b"Nats-Incr", step.to_string().as_bytes());
        let (headers, payload) = count.message(&block);
        Ok(Some(Counted { count, headers, payload }))
    }

    /// A message that [was counted](Self::count_sourced) is stored at `seq`.
    pub(super) fn keep_counted(&mut self, subject: &[u8], seq: u64, counted: Counted) {
        let keeping = Keeping::of(&self.shared, &self.account);
        self.totals.keep(keeping, subject, seq, Ok(counted.count), false);
    }

    /// The members of a batch as they are stored.
    ///
    /// # Errors
    /// Those of a counter's message by itself.
    pub(super) fn count_batch(&mut self, messages: &[Staged]) -> Result<Vec<Staged>, ApiError> {
        let mut counts: BTreeMap<&[u8], Count> = BTreeMap::new();
        let mut counted = Vec::with_capacity(messages.len());
        for staged in messages {
            let msg = staged.message();
            let found = headers::scan(msg.headers);
            let step = check_incr(&msg, &found)?.ok_or(ApiError::MessageIncrMissing)?;
            let mut count = match counts.remove(msg.subject) {
                Some(count) => count,
                None => self.count_of(msg.subject).ok_or(ApiError::MessageCounterBroken)??,
            };
            count.total = count.total.plus(&step);
            let (headers, payload) = count.message(msg.headers);
            let stored = Inbound { headers: &headers, payload: &payload, ..msg };
            self.check_size(&stored)?;
            counted.push(Staged::of(&stored));
            counts.insert(msg.subject, count);
        }
        Ok(counted)
    }

    /// Whether a publish has to wait: for others that do, or for the disk.
    pub(super) fn must_park(&mut self, msg: &Inbound<'_>, found: &PublishHeaders<'_>) -> bool {
        if !self.parked.is_empty() {
            return true;
        }
        !match found.batch_id {
            // What is kept for the commit needs nothing yet.
            Some(_) if found.batch_commit.is_none() => true,
            Some(id) => {
                let subjects: Vec<Box<[u8]>> = self.batches.subjects(id).map(Into::into).collect();
                let others = subjects.iter().map(|subject| &**subject);
                // All of them, so that they are read at once.
                others.chain([msg.subject]).fold(true, |all, subject| {
                    let known = self.load_count(subject, true);
                    all && known
                })
            }
            None => self.load_count(msg.subject, false),
        }
    }

    /// Sets a publish aside until the disk has been read.
    pub(super) fn park(&mut self, host: &mut dyn Host, msg: &Inbound<'_>, reply: Option<&[u8]>) {
        let options = &self.shared.options;
        let bounds = (options.buffered_msgs, options.buffered_bytes);
        if !self.parked.park(msg, bounds) {
            self.turn_away(host, reply);
        }
    }

    /// Goes on with what waited for the disk.
    pub(super) fn retry_parked(&mut self, host: &mut dyn Host, now: Now) {
        let mut queue = self.parked.take();
        while let Some(parked) = queue.pop_front() {
            let msg = parked.message();
            let found = headers::scan(msg.headers);
            if self.must_park(&msg, &found) {
                queue.push_front(parked);
                break;
            }
            let reply = self.answered(&msg);
            self.publish_parked(host, now, &msg, &found, reply);
        }
        self.parked.put_back(queue);
    }

    /// Gives back what is more than the stream's share of what is kept, unless a batch waits for it.
    pub(super) fn trim_totals(&mut self) {
        if self.parked.is_empty() {
            self.totals.trim(Keeping::of(&self.shared, &self.account));
        }
    }

    /// Whether the number of a subject is at hand; if not, it is asked for. With `all` none of those
    /// that are kept goes for it.
    fn load_count(&mut self, subject: &[u8], all: bool) -> bool {
        let Some(last) = self.log.subject(subject).map(|state| state.last) else { return true };
        if self.totals.get(subject, last).is_some() {
            return true;
        }
        let Some(count) = self.read_count(last) else { return false };
        self.totals.keep(Keeping::of(&self.shared, &self.account), subject, last, count, all);
        true
    }

    /// Where the counter of a subject stands; `None` while it is not at hand.
    fn count_of(&mut self, subject: &[u8]) -> Option<Result<Count, ApiError>> {
        let Some(last) = self.log.subject(subject).map(|state| state.last) else {
            return Some(Ok(Count::default()));
        };
        if let Some(count) = self.totals.get(subject, last) {
            return Some(count.clone());
        }
        self.read_count(last)
    }

    /// What the message at `seq` says; `None` while it is not at hand.
    fn read_count(&mut self, seq: u64) -> Option<Result<Count, ApiError>> {
        match self.log.get(seq) {
            Get::Pending => None,
            Get::Found(message) => Some(Count::read(message.headers, message.payload)),
            Get::Missing | Get::Damaged => Some(Err(ApiError::MessageCounterBroken)),
        }
    }
}

/// What a message adds; `None` where it does not say.
///
/// # Errors
/// 10170 and 10171.
fn check_incr(msg: &Inbound<'_>, found: &PublishHeaders<'_>) -> Result<Option<Decimal>, ApiError> {
    let Some(text) = found.incr else { return Ok(None) };
    let step = Decimal::parse(text).ok_or(ApiError::MessageIncrInvalid)?;
    if !msg.payload.is_empty() {
        return Err(ApiError::MessageIncrPayload);
    }
    let unfit = [
        found.rollup,
        found.expected_stream,
        found.expected_last_msg_id,
        found.expected_last_seq,
        found.expected_last_subject_seq,
        found.expected_last_subject_seq_subject,
    ];
    if unfit.iter().any(Option::is_some) {
        return Err(ApiError::MessageIncrInvalid);
    }
    Ok(Some(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_goes_on_from_what_is_stored() {
        let broken = Err(ApiError::MessageCounterBroken);
        for (payload, expected) in [
            (r#"{"val":"12"}"#, Ok("12")),
            (r#"{"val":"-12","more":1}"#, Ok("-12")),
            (r#"{"val":""}"#, Ok("0")),
            ("{}", Ok("0")),
            (r#"{"val":12}"#, broken.clone()),
            (r#"{"val":"x"}"#, broken.clone()),
            ("12", broken.clone()),
            ("", broken.clone()),
        ] {
            let count = Count::read(b"", payload.as_bytes()).map(|count| count.total.to_string());
            assert_eq!(count, expected.map(str::to_owned), "{payload}");
        }
        let long = format!(r#"{{"val":"{}"}}"#, "1".repeat(DIGITS_MAX + 1));
        assert_eq!(Count::read(b"", long.as_bytes()), Err(ApiError::MessageCounterBroken));
    }

    #[test]
    fn what_sources_said_is_passed_on() {
        let block =
            b"NATS/1.0\r\nNats-Incr: 1\r\nNats-Counter-Sources: {\"A\":{\"a\":\"7\"}}\r\n\r\n";
        let count = Count::read(block, br#"{"val":"8"}"#).unwrap();
        let (next, payload) = count.message(b"NATS/1.0\r\nNats-Incr: 2\r\n\r\n");
        assert_eq!(
            String::from_utf8_lossy(&next),
            "NATS/1.0\r\nNats-Incr: 2\r\nNats-Counter-Sources: {\"A\":{\"a\":\"7\"}}\r\n\r\n"
        );
        assert_eq!(payload, br#"{"val":"8"}"#);
        let odd = b"NATS/1.0\r\nNats-Counter-Sources: x\r\n\r\n";
        assert_eq!(Count::read(odd, br#"{"val":"8"}"#), Err(ApiError::MessageCounterBroken));
    }

    fn fill(totals: &mut Totals, keeping: Keeping<'_>) -> usize {
        let total = Decimal::parse(&[b'7'; 60_000]).unwrap();
        let long = Count { total, sources: Sources::new() };
        let mut most = 0;
        for at in 0..1000_u64 {
            totals.keep(keeping, &at.to_le_bytes(), 1, Ok(long.clone()), false);
            most = most.max(totals.bytes);
        }
        // A newer one replaces the older.
        let before = totals.bytes;
        totals.keep(keeping, &999_u64.to_le_bytes(), 2, Ok(long.clone()), false);
        assert_eq!(totals.bytes, before);
        assert_eq!(totals.get(&999_u64.to_le_bytes(), 1), None);
        assert_eq!(totals.get(&999_u64.to_le_bytes(), 2), Some(&Ok(long)));
        most
    }

    #[test]
    fn what_is_kept_is_bounded_over_all_streams() {
        let (server, one, other) = <(Kept, Kept, Kept)>::default();
        let keeping = Keeping { server: &server, account: &one };
        let mut streams: Vec<Totals> = Vec::new();
        for at in 0..50 {
            streams.push(Totals::default());
            let most = fill(&mut streams[at], keeping);
            assert!(most > 60_000 && (at > 0 || most > KEPT_MAX / 3 - 70_000), "{at} {most}");
            streams[at].trim(keeping);
            assert!(server.0.load(Ordering::Relaxed) < KEPT_MAX / 2);
        }
        // Another account finds room, too.
        let mut last = Totals::default();
        let theirs = Keeping { server: &server, account: &other };
        assert!(fill(&mut last, theirs) > 1 << 20);
        // A batch keeps what it needs, and gives it back.
        let held = server.0.load(Ordering::Relaxed);
        let mut many = Totals::default();
        let total = Decimal::parse(&[b'7'; 60_000]).unwrap();
        for at in 0..1000_u64 {
            let count = Count { total: total.clone(), sources: Sources::new() };
            many.keep(keeping, &at.to_le_bytes(), 1, Ok(count), true);
        }
        assert!(many.known.len() == 1000 && many.bytes > KEPT_MAX);
        many.trim(keeping);
        assert_eq!((many.bytes, server.0.load(Ordering::Relaxed)), (0, held));
        streams.iter_mut().for_each(|totals| totals.clear(keeping));
        last.clear(theirs);
        let left = [&server, &one, &other].map(|kept| kept.0.load(Ordering::Relaxed));
        assert_eq!(left, [0; 3]);
    }
}
