//! Files of a store: never a panic, whatever they hold; what is served fits together, and the store goes
//! on from there.
//!
//! The input changes the files of a small store that is otherwise whole: catalog, segments, sidecars,
//! table, journal, and the notes of consumers in the segments. Checksums do not count here, and segments
//! are small (`cfg(fuzzing)`).

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use libfuzzer_sys::fuzz_target;
use natterjack_fuzz::{Files, MemDisk, NOW, Server};
use natterjack_jetstream::AccountLimits;
use natterjack_store::commit::{Journal, JournalOptions, commit};
use natterjack_store::{Disk, DiskOp, DiskRequest, RequestId, SEQ_END};
use serde::Deserialize;
use serde::de::IgnoredAny;

fn start(disk: MemDisk) -> Option<Server> {
    Server::start(disk, AccountLimits::default(), NOW)
}

/// A store with all kinds of files, and their names.
fn whole() -> &'static (Files, Vec<Arc<str>>) {
    static WHOLE: OnceLock<(Files, Vec<Arc<str>>)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let mut server = start(MemDisk::default()).expect("an empty disk");
        server.ask(
            "STREAM.CREATE.S",
            r#"{"name":"S","subjects":["s"],"allow_msg_ttl":true,"allow_atomic":true}"#,
        );
        server.ask(
            "STREAM.CREATE.K",
            r#"{"name":"K","subjects":["k.*"],"max_msgs_per_subject":2,"retention":"workqueue"}"#,
        );
        for stream in ["S", "K"] {
            let body = format!(
                r#"{{"stream_name":"{stream}","config":{{"durable_name":"c","ack_policy":"explicit"}}}}"#
            );
            server.ask(&format!("CONSUMER.DURABLE.CREATE.{stream}.c"), &body);
        }
        for number in 0..20_u8 {
            server.publish(b"s", b"", &[number; 40]);
            server.publish(&[b'k', b'.', b'a' + number % 3], b"", &[number; 20]);
        }
        server.publish(b"s", b"NATS/1.0\r\nNats-TTL: 1h\r\nNats-Msg-Id: a\r\n\r\n", b"x");
        server.take_sent();
        server.api(b"CONSUMER.MSG.NEXT.S.c", b"", b"7");
        server.api(b"CONSUMER.MSG.NEXT.K.c", b"", b"1");
        server.ack_all();
        server.ask("STREAM.MSG.DELETE.S", r#"{"seq":12}"#);
        // So much that segments are full and an orderly end writes what stands beside them.
        for _ in 0..6 {
            server.publish(b"s", b"", &[7; 900]);
        }
        let disk = server.shutdown();
        let mut server = start(disk).expect("its own files");
        server.publish(b"s", b"", b"behind the checkpoint");
        journal(&server.disk);
        let files = server.disk.files();
        let paths = files.paths();
        (files, paths)
    })
}

/// A journal with a record.
fn journal(disk: &MemDisk) {
    let options = JournalOptions { file_bytes: 16 << 10, ..JournalOptions::default() };
    let (journal, _) = Journal::open(disk, options, 3).expect("a sound disk");
    let journal = Mutex::new(journal);
    let paths = disk.files().paths();
    let path = paths.iter().rfind(|path| path.ends_with(".seg")).expect("there is a stream");
    let data = disk.read_at(path, 160, 200).expect("a sound disk");
    let ops =
        vec![DiskOp::Write { path: path.clone(), offset: 160, data }, DiskOp::Sync(path.clone())];
    let request = DiskRequest { id: RequestId(1), ops };
    let weight = Journal::weight(&request);
    // It is made when it was asked for often enough.
    for _ in 0..100 {
        let (has_room, work) = {
            let mut journal = journal.lock().expect("nothing panics");
            (journal.has_room(weight), journal.work())
        };
        if let Some(work) = work {
            work.run(disk, &journal).expect("a sound disk");
        }
        if has_room {
            commit(disk, &journal, &[&request]);
            return;
        }
    }
    panic!("there is no journal");
}

fuzz_target!(|data: &[u8]| {
    let (whole, paths) = whole();
    let disk = MemDisk::from(whole.clone());
    damage(&disk, paths, data);
    let Some(mut server) = start(disk) else { return };
    let before = ["S", "K"].map(|stream| look(&mut server, stream));
    for (stream, state) in ["S", "K"].into_iter().zip(&before) {
        if let Some(state) = state {
            read(&mut server, stream, state);
        }
    }
    server.take_sent();
    server.api(b"CONSUMER.MSG.NEXT.S.c", b"", b"5");
    server.api(b"CONSUMER.MSG.NEXT.K.c", b"", b"5");
    server.ack_all();
    server.publish(b"s", b"", b"new");
    server.publish(b"k.a", b"", b"new");
    server.sleep(60_000_000_000);
    let after = ["S", "K"].map(|stream| look(&mut server, stream));
    goes_on(&before, &after);
    // What it wrote itself it reads again. Where damage lies that no checksum shows, a start may see it
    // which the one before had no need to look at; sequences are handed out once all the same.
    let now = server.now;
    let disk = server.shutdown();
    let limits = AccountLimits::default();
    let mut server =
        Server::start(disk, limits, now).expect("a store does not open after its own end");
    let again = ["S", "K"].map(|stream| look(&mut server, stream));
    goes_on(&after, &again);
});

/// A sequence is handed out once. Files that were made to end at the last sequence there is have no next
/// one, which no publishing comes to (D-0027).
fn goes_on(before: &[Option<State>], after: &[Option<State>]) {
    for (before, after) in before.iter().zip(after) {
        if let (Some(before), Some(after)) = (before, after)
            && before.last_seq <= SEQ_END
        {
            assert!(after.last_seq >= before.last_seq, "{after:?} after {before:?}");
        }
    }
}

/// A file, a place, a length, and bytes for there; or where it is cut off.
fn damage(disk: &MemDisk, paths: &[Arc<str>], data: &[u8]) {
    let mut rest = data;
    while let Some(([file, high, low, len], bytes)) = rest.split_first_chunk() {
        let path = &paths[usize::from(*file) % paths.len()];
        let size = disk.len(path).unwrap_or(0);
        // From the beginning or the end.
        let at = u64::from(u16::from_be_bytes([*high & 0x3f, *low]));
        let at = if high & 0x40 == 0 { at } else { size.saturating_sub(at) };
        if high & 0x80 != 0 && *len == 255 {
            let _ = disk.truncate(path, at.min(size));
        }
        let (bytes, after) = bytes.split_at(usize::from(*len % 16).min(bytes.len()));
        let _ = disk.write_at(path, at.min(size), bytes);
        rest = after;
    }
}

/// What a stream says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    error: Option<IgnoredAny>,
    state: State,
    delivered: Place,
    ack_floor: Place,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    num_deleted: u64,
    subjects: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    consumer_seq: u64,
    stream_seq: u64,
}

/// Asks a stream and its consumer, whose answers make sense; `None` if it is not there.
fn look(server: &mut Server, stream: &str) -> Option<State> {
    let info = |answer: &[u8]| -> Info { serde_json::from_slice(answer).expect("JSON") };
    let answer = server.ask(&format!("STREAM.INFO.{stream}"), r#"{"subjects_filter":">"}"#);
    let Info { error: None, state, .. } = info(&answer) else { return None };
    if state.messages == 0 {
        let next = state.last_seq.checked_add(1);
        let untouched = (state.first_seq, state.last_seq) == (0, 0);
        assert!((Some(state.first_seq) == next || untouched) && state.bytes == 0, "{state:?}");
    } else {
        let all = state.last_seq - state.first_seq + 1;
        assert_eq!(state.messages + state.num_deleted, all, "{state:?}");
    }
    // Names that are not UTF-8 may look the same.
    assert!(state.subjects.values().sum::<u64>() <= state.messages, "{state:?}");
    let answer = server.ask(&format!("CONSUMER.INFO.{stream}.c"), "");
    let Info { ack_floor: floor, delivered, .. } = info(&answer);
    assert!(floor.consumer_seq <= delivered.consumer_seq, "{floor:?} {delivered:?}");
    assert!(floor.stream_seq <= delivered.stream_seq, "{floor:?} {delivered:?}");
    Some(state)
}

/// Reads at both ends and in between.
fn read(server: &mut Server, stream: &str, state: &State) {
    let State { first_seq, last_seq, .. } = state;
    let get = format!("STREAM.MSG.GET.{stream}");
    for seq in [*first_seq, first_seq / 2 + last_seq / 2, *last_seq, 5] {
        server.ask(&get, &format!("{{\"seq\":{seq}}}"));
    }
    server.ask(&get, r#"{"seq":1,"next_by_subj":">"}"#);
    server.ask(&get, r#"{"last_by_subj":"k.*"}"#);
}
