//! Removal by age and by TTL, and the markers it leaves (ADR-43).

use natterjack_store::{Get, LogPos, Next, Purge, SeqRange};

use super::{FLAG_MARKER, Stream};
use crate::host::Host;
use crate::stream::ttl::Ttl;
use crate::time::{Now, go_duration};

/// Messages that one call removes one by one; the timer comes back at once for the rest, so that
/// a stream is not kept from its publishers.
const BATCH: usize = 4096;

impl Stream {
    /// Removes what is too old, and makes what is due. True when more is due already.
    pub(super) fn expire(&mut self, host: &mut dyn Host, now: Now) -> bool {
        if self.holds_markers() {
            return false;
        }
        let more = self.expire_ttls(host, now.unix_ns);
        let more = self.expire_age(host, now.unix_ns) || more;
        self.run_schedules(host, now) || more
    }

    /// Forgets when removed messages would have been due, once that is most of what is known. What is
    /// replaced again and again may be due in years, so no timer leads here. What the disk may refuse
    /// yet has not replaced anything for good.
    pub(super) fn compact_dues(&mut self) {
        let log = &self.log;
        if log.durable() == log.end() {
            let messages = log.state().messages;
            self.expiry.compact(messages, |seq| log.contains(seq));
            self.plan.compact(messages, |seq| log.contains(seq));
        }
    }

    /// True while the disk takes no markers: what would leave one stays until it does.
    pub(super) fn holds_markers(&self) -> bool {
        self.config.subject_delete_marker_ttl > 0 && self.log.blocked().is_some()
    }

    /// The disk refused markers: what they stood for is there again, and due.
    pub(super) fn expire_again(&mut self, after: LogPos, now: i64) {
        for (pos, seq) in std::mem::take(&mut self.expired) {
            if pos > after {
                self.expiry.push_back(seq, now);
            }
        }
    }

    /// The wall-clock time at which something gets too old, or a schedule is due.
    pub(super) fn next_expiry(&mut self) -> Option<i64> {
        let ttl = self.expiry.next();
        let age = self.next_age();
        let schedule = self.plan.first().map(|(due, _)| due);
        [ttl, age, schedule].into_iter().flatten().min()
    }

    fn expire_ttls(&mut self, host: &mut dyn Host, now: i64) -> bool {
        for _ in 0..BATCH {
            let Some(seq) = self.expiry.pop(now) else { return false };
            if self.log.contains(seq) && !self.expire_one(host, seq, now) {
                // Its block is being read; the completion calls again.
                self.expiry.push_back(seq, now);
                self.expiry_reads = true;
                return false;
            }
        }
        true
    }

    fn expire_age(&mut self, host: &mut dyn Host, now: i64) -> bool {
        let age = self.config.max_age;
        if age <= 0 || self.log.state().messages == 0 {
            return false;
        }
        let oldest = now.saturating_sub(age);
        if self.config.subject_delete_marker_ttl > 0 || self.expiry.has_endless() {
            return self.expire_age_one_by_one(host, oldest, now);
        }
        if self.log.state().first_time > oldest {
            return false;
        }
        // One record for the whole run. A message at exactly the age goes, too.
        let last = self.log.state().last_seq;
        let below = match self.log.seq_at_time(oldest.saturating_add(1)) {
            Next::Found(seq) => seq,
            Next::End => last + 1,
            Next::Pending => {
                self.expiry_reads = true;
                return false;
            }
        };
        self.evict_below(below);
        self.log.purge(&Purge { filter: None, below_seq: Some(below), keep: None });
        false
    }

    /// Lets consumers hear of each message below this sequence as of one that a limit took.
    fn evict_below(&mut self, below: u64) {
        let gone = self.evicted.runs_mut();
        let mut first = self.log.state().first_seq;
        for gap in self.log.deleted().take_while(|gap| gap.first < below) {
            if gap.first > first {
                gone.push(SeqRange { first, last: gap.first - 1 });
            }
            first = first.max(gap.last.saturating_add(1));
        }
        if first < below {
            gone.push(SeqRange { first, last: below - 1 });
        }
    }

    fn expire_age_one_by_one(&mut self, host: &mut dyn Host, oldest: i64, now: i64) -> bool {
        let mut from = self.log.state().first_seq;
        for _ in 0..BATCH {
            let Some((seq, time)) = self.first_mortal(from) else { return false };
            if time > oldest {
                return false;
            }
            if !self.expire_one(host, seq, now) {
                self.expiry_reads = true;
                return false;
            }
            from = seq + 1;
        }
        true
    }

    /// The first message at or after `from` that `max_age` applies to, with its time.
    fn first_mortal(&mut self, from: u64) -> Option<(u64, i64)> {
        // Those that it does not apply to are passed once, however many stay in front.
        let mut from = from.max(self.mortal_from);
        loop {
            let Next::Found(seq) = self.log.next_match(&[], from) else { return None };
            if self.expiry.never_ends(seq) {
                from = seq + 1;
                self.mortal_from = from;
                continue;
            }
            return Some((seq, self.log.time_of(seq)?));
        }
    }

    fn next_age(&mut self) -> Option<i64> {
        if self.config.max_age <= 0 || self.log.state().messages == 0 {
            return None;
        }
        let time = if self.expiry.has_endless() {
            self.first_mortal(self.log.state().first_seq)?.1
        } else {
            self.log.state().first_time
        };
        Some(time.saturating_add(self.config.max_age))
    }

    /// Removes one message that got too old, and leaves a marker if it was the last of its
    /// subject. False when its record is not at hand yet.
    fn expire_one(&mut self, host: &mut dyn Host, seq: u64, now: i64) -> bool {
        let ttl = self.config.subject_delete_marker_ttl;
        if ttl <= 0 {
            self.remove_message(seq, false);
            return true;
        }
        let (subject, flags) = match self.log.get(seq) {
            Get::Found(message) => (message.subject.to_vec(), message.flags),
            Get::Pending => return false,
            Get::Missing | Get::Damaged => {
                self.remove_message(seq, false);
                return true;
            }
        };
        let last = self.log.subject(&subject).is_some_and(|state| state.count == 1);
        if !last || flags & FLAG_MARKER != 0 {
            self.remove_message(seq, false);
        } else {
            let mut headers = b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: ".to_vec();
            headers.extend_from_slice(go_duration(ttl).as_bytes());
            headers.extend_from_slice(b"\r\nNats-Rollup: sub\r\n\r\n");
            let ttl = Ttl::Seconds(ttl / 1_000_000_000);
            self.store_own(host, seq, now, &subject, &headers, Some(ttl));
            // Without its marker it would be there again.
            let below_seq = Some(self.log.state().last_seq);
            let pos = self.roll_up(&Purge { filter: Some(&subject), below_seq, keep: None });
            let durable = self.log.durable();
            self.expired.retain(|(pos, _)| *pos > durable);
            if pos > durable {
                self.expired.push((pos, seq));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use natterjack_store::Log;

    use crate::account::{Account, AccountLimits};
    use crate::consumer::tests::Recorder;
    use crate::engine::JetStream;
    use crate::options::Options;
    use crate::stream::{Inbound, Parts, Scope, StreamCell, log_limits};
    use crate::time::Now;

    /// A stream in memory.
    fn cell(config: &[u8]) -> StreamCell {
        let config: crate::stream::Config = crate::json::decode(config, true).unwrap();
        let engine = JetStream::new(Options::default());
        StreamCell::new(Parts {
            scope: Scope {
                account: "A".into(),
                stream: "S".into(),
                stream_id: 1,
                domain: None,
                server: "n".into(),
                memory: true,
            },
            shared: Arc::clone(&engine.shared),
            account: Arc::new(Account::new("A", AccountLimits::default())),
            log: Log::memory(1, log_limits(&config)),
            config,
            created: 0,
            dedupe_key: [1, 2],
        })
    }

    /// Half of what a consumer counted, delivered or listed is deleted one by one and the rest gets too
    /// old at once: 500 runs between as many gaps.
    #[test]
    fn what_expires_between_gaps_is_told_once_and_missed_by_nobody() {
        let config = br#"{"name":"S","subjects":["s.*"],"storage":"memory","max_msgs":-1,
            "max_bytes":-1,"max_msg_size":-1,"max_msgs_per_subject":-1,"max_age":1000000000}"#;
        let cell = cell(config);
        let mut host = Recorder::default();
        let at = |ms: u64| Now { mono_ns: ms * 1_000_000, unix_ns: ms as i64 * 1_000_000 };
        let publish = |host: &mut Recorder, now: Now, subject: &[u8]| {
            cell.publish(host, now, &Inbound { subject, reply: None, headers: b"", payload: b"" });
            cell.settle(host, now);
        };
        for seq in 1..=1000 {
            publish(&mut host, at(1), if seq % 4 < 2 { b"s.a" } else { b"s.b" });
        }
        let consumers = [
            ("all", ""),
            ("some", r#","filter_subject":"s.a""#),
            ("c", ""),
            ("last", r#","deliver_policy":"last_per_subject","filter_subject":"s.*""#),
        ];
        let add = |host: &mut Recorder, name: &str, id: u64, more: &str| {
            let text = format!(r#"{{"durable_name":"{name}","ack_policy":"explicit"{more}}}"#);
            let mut config = crate::json::decode(text.as_bytes(), true).unwrap();
            let limits = crate::consumer::Limits::default();
            crate::consumer::fill_defaults(&mut config, &limits, false).unwrap();
            let mut stream = cell.lock();
            stream.add_consumer(host, at(2), name, id, config);
            stream.consumer_ready(name, id);
            stream.settle(host, at(2));
        };
        for (id, (name, more)) in (1..).zip(consumers) {
            add(&mut host, name, id, more);
        }
        let state = |host: &mut Recorder, name: &str| {
            let info = cell.lock().consumer_info(host, at(2), name, false).unwrap();
            (info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq)
        };
        host.listen("in");
        cell.lock().pull(&mut host, at(2), "c", b"in", b"600");
        cell.settle(&mut host, at(2));
        assert_eq!(state(&mut host, "c"), (400, 600, 0));
        assert_eq!(state(&mut host, "last"), (2, 0, 998));
        for seq in (1..=1000).filter(|seq| seq % 2 == 0) {
            cell.lock().delete(seq, false, None, b"").unwrap();
        }
        cell.settle(&mut host, at(2));
        assert_eq!(state(&mut host, "all"), (500, 0, 0));
        assert_eq!(state(&mut host, "some"), (250, 0, 0));
        assert_eq!(state(&mut host, "c"), (200, 300, 0));
        assert_eq!(state(&mut host, "last"), (1, 0, 998));
        for _ in 0..3 {
            publish(&mut host, at(900), b"s.a");
        }
        cell.tick(&mut host, at(1100));
        cell.settle(&mut host, at(1100));
        assert_eq!(cell.lock().log.state().messages, 3);
        for name in ["all", "some"] {
            assert_eq!(state(&mut host, name), (3, 0, 0), "{name}");
        }
        assert_eq!(state(&mut host, "c"), (3, 0, 600));
        assert_eq!(state(&mut host, "last"), (3, 0, 998));
        let told = host.count(r#""reason":"Unacknowledged message was deleted""#);
        assert_eq!(told, 600);
    }

    #[test]
    fn what_is_replaced_again_and_again_leaves_nothing() {
        let config = br#"{"name":"S","subjects":["s.*"],"storage":"memory","max_msgs":-1,
            "max_bytes":-1,"max_msg_size":-1,"max_msgs_per_subject":1,"allow_msg_ttl":true,
            "allow_msg_schedules":true,"allow_rollup_hdrs":true}"#;
        let cell = cell(config);
        let (mut host, now) = (Recorder::default(), Now { mono_ns: 1, unix_ns: 1 });
        let schedule =
            b"NATS/1.0\r\nNats-Schedule: @every 1000h\r\nNats-Schedule-Target: s.b\r\n\r\n";
        for (subject, headers) in
            [(b"s.a", &schedule[..]), (b"s.c", b"NATS/1.0\r\nNats-TTL: 1000h\r\n\r\n")]
        {
            for _ in 0..5000 {
                let msg = Inbound { subject, reply: None, headers, payload: b"" };
                cell.publish(&mut host, now, &msg);
                cell.settle(&mut host, now);
            }
        }
        let stream = cell.lock();
        assert_eq!((stream.log.state().messages, stream.log.state().last_seq), (2, 10_000));
        let known = (stream.plan.len(), stream.expiry.len());
        assert!(known.0 < 1100 && known.1 < 1100, "{known:?}");
    }
}
