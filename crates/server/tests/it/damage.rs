//! Damaged files under the embedded server: what is hit is lost and said, the rest is served, and
//! publishing goes on. The store's own tests (`crates/sim`) look at each bit.

use std::fs;
use std::path::{Path, PathBuf};

use natterjack_server::Server;
use natterjack_server::log::LogOptions;
use serde_json::{Value, json};

use super::Peer;

/// A store that survives its servers, and what they said.
struct Kept {
    folder: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        Kept { folder: tempfile::tempdir().unwrap() }
    }

    fn start(&self) -> (Server, Peer) {
        let server = Server::builder()
            .jetstream(self.folder.path())
            .log(LogOptions { file: Some(self.log_file()), ..LogOptions::default() })
            .start_blocking()
            .unwrap();
        let peer = Peer::open(&server);
        (server, peer)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    #[track_caller]
    fn said(&self, text: &str) {
        let log = self.log();
        assert!(log.contains(text), "{text:?} is not in\n{log}");
    }

    fn path(&self, of: &str) -> PathBuf {
        self.folder.path().join("natterjack").join(of)
    }

    /// The files of a directory whose names end so.
    fn files(&self, directory: &str, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with(ending));
        files.sort();
        files
    }

    /// A store that was closed in order with so many messages in one stream.
    fn with(messages: u64) -> Self {
        let kept = Kept::new();
        let (server, mut peer) = kept.start();
        peer.request("$JS.API.STREAM.CREATE.S", CREATE);
        publish(&mut peer, 1, messages);
        server.shutdown_blocking();
        kept
    }

    /// The only segment of the only stream.
    fn segment(&self) -> PathBuf {
        let streams = self.files("streams", "");
        assert_eq!(streams.len(), 1);
        let id = streams[0].file_name().unwrap().to_string_lossy().into_owned();
        let segments = self.files(&format!("streams/{id}"), ".seg");
        assert_eq!(segments.len(), 1);
        segments[0].clone()
    }
}

fn place(path: &Path, of: &[u8]) -> usize {
    let content = fs::read(path).unwrap();
    content.windows(of.len()).position(|window| window == of).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut content = fs::read(path).unwrap();
    content[at] ^= 0x10;
    fs::write(path, content).unwrap();
}

const CREATE: &str = r#"{"name":"S","subjects":["s.>"]}"#;

/// Stores `one-1.` and so on, each in a round of its own.
fn publish(peer: &mut Peer, from: u64, to: u64) {
    for number in from..=to {
        let ack = peer.request("s.a", &format!("one-{number}."));
        assert_eq!(ack["seq"], number);
    }
}

fn state(peer: &mut Peer) -> Value {
    peer.request("$JS.API.STREAM.INFO.S", "")["state"].clone()
}

#[track_caller]
fn is_there(peer: &mut Peer, seq: u64) {
    let got = peer.request("$JS.API.STREAM.MSG.GET.S", &format!("{{\"seq\":{seq}}}"));
    assert_eq!(got["message"]["seq"], seq);
}

#[track_caller]
fn is_gone(peer: &mut Peer, selector: &str) {
    let got = peer.ask("$JS.API.STREAM.MSG.GET.S", selector);
    assert_eq!(got["error"]["err_code"], 10037, "{got}");
}

// Shows J-209.
#[test]
fn a_flipped_bit_takes_one_message_and_says_which() {
    let kept = Kept::with(20);
    let segment = kept.segment();
    flip(&segment, place(&segment, b"one-8."));
    let (_server, mut peer) = kept.start();
    let state = state(&mut peer);
    assert_eq!((&state["messages"], &state["last_seq"]), (&json!(19), &json!(20)));
    assert_eq!(state["lost"]["msgs"], json!([8]));
    kept.said("was stored and is lost (sequences [SeqRange { first: 8, last: 8 }])");
    is_gone(&mut peer, r#"{"seq":8}"#);
    (1..=20).filter(|seq| *seq != 8).for_each(|seq| is_there(&mut peer, seq));
    publish(&mut peer, 21, 22);
}

// Shows J-209.
#[test]
fn damage_that_the_start_did_not_read_is_said_when_it_is_read() {
    let kept = Kept::new();
    let (server, mut peer) = kept.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    // So much that the orderly end writes what spares the next start the reading.
    let body = "x".repeat(40_000);
    for number in 1..=20 {
        peer.request("s.a", &format!("one-{number}.{body}"));
    }
    server.shutdown_blocking();
    let segment = kept.files("streams/1", ".seg").remove(0);
    flip(&segment, place(&segment, b"one-8."));
    let (_server, mut peer) = kept.start();
    assert!(!kept.log().contains("was stored and is lost"));
    assert_eq!(state(&mut peer)["lost"], Value::Null);
    is_gone(&mut peer, r#"{"seq":8}"#);
    assert_eq!(state(&mut peer)["lost"]["msgs"], json!([8]));
    kept.said("was stored and is lost (sequences [SeqRange { first: 8, last: 8 }])");
    is_there(&mut peer, 7);
    is_there(&mut peer, 9);
}

// Shows J-209.
#[test]
fn an_older_revision_does_not_come_back_for_a_damaged_one() {
    let kept = Kept::new();
    let (server, mut peer) = kept.start();
    let bucket = r#"{"name":"S","subjects":["s.>"],"max_msgs_per_subject":1}"#;
    peer.request("$JS.API.STREAM.CREATE.S", bucket);
    for (key, value) in [("k", "old"), ("k", "revised"), ("o", "a"), ("o", "b"), ("o", "c")] {
        peer.request(&format!("s.{key}"), value);
    }
    server.shutdown_blocking();
    let segment = kept.segment();
    flip(&segment, place(&segment, b"revised"));
    let (_server, mut peer) = kept.start();
    is_gone(&mut peer, r#"{"last_by_subj":"s.k"}"#);
    is_gone(&mut peer, r#"{"seq":1}"#);
    let state = state(&mut peer);
    assert_eq!((&state["messages"], &state["lost"]["msgs"]), (&json!(1), &json!([2])));
    is_there(&mut peer, 5);
    assert_eq!(peer.request("s.k", "new")["seq"], 6);
}

#[test]
fn a_segment_without_a_header_is_read_all_the_same() {
    let kept = Kept::with(5);
    let segment = kept.segment();
    // Both copies.
    flip(&segment, 20);
    flip(&segment, 100);
    let (server, mut peer) = kept.start();
    kept.said("160 damaged bytes");
    (1..=5).for_each(|seq| is_there(&mut peer, seq));
    publish(&mut peer, 6, 7);
    server.shutdown_blocking();
    let (_server, mut peer) = kept.start();
    (1..=7).for_each(|seq| is_there(&mut peer, seq));
}

// Shows J-210.
#[test]
fn a_segment_that_ends_early_is_cut_at_its_last_whole_record() {
    let kept = Kept::with(20);
    let segment = kept.segment();
    let content = fs::read(&segment).unwrap();
    fs::write(&segment, &content[..place(&segment, b"one-15.") + 3]).unwrap();
    let (server, mut peer) = kept.start();
    kept.said("bytes of an unfinished write");
    assert_eq!(state(&mut peer)["messages"], 14);
    is_there(&mut peer, 14);
    // The sequence that can still be made out in the torn record is not handed out again.
    assert_eq!(peer.request("s.a", "again")["seq"], 16);
    server.shutdown_blocking();
    let (_server, mut peer) = kept.start();
    assert_eq!(state(&mut peer)["messages"], 15);
    is_there(&mut peer, 16);
}

// Shows J-210.
#[test]
fn a_segment_that_is_gone_takes_no_other_with_it() {
    let kept = Kept::new();
    let (server, mut peer) = kept.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    let body = "x".repeat(500_000);
    for number in 1..=60 {
        assert_eq!(peer.request("s.a", &body)["seq"], number);
    }
    server.shutdown_blocking();
    let segments = kept.files("streams/1", ".seg");
    assert!(segments.len() >= 4, "{segments:?}");
    fs::remove_file(&segments[1]).unwrap();
    let (_server, mut peer) = kept.start();
    let state = state(&mut peer);
    let (messages, last) = (state["messages"].as_u64().unwrap(), &state["last_seq"]);
    assert!((40..60).contains(&messages) && last == 60, "{state}");
    assert_eq!(state["lost"]["msgs"].as_array().unwrap().len() as u64, 60 - messages);
    kept.said("was stored and is lost");
    is_there(&mut peer, 1);
    is_there(&mut peer, 60);
    assert_eq!(peer.request("s.a", "on")["seq"], 61);
}

#[test]
fn a_segment_that_was_made_and_not_written_is_no_damage() {
    let kept = Kept::with(3);
    fs::write(kept.path("streams/1/0000000000000002.0.seg"), b"").unwrap();
    let (server, mut peer) = kept.start();
    assert!(!kept.log().contains("[ERR]"), "{}", kept.log());
    kept.said("0 bytes of an unfinished write");
    publish(&mut peer, 4, 5);
    server.shutdown_blocking();
    let (_server, mut peer) = kept.start();
    (1..=5).for_each(|seq| is_there(&mut peer, seq));
    assert!(kept.files("streams/1", ".bad").is_empty());
}

// Shows J-211.
#[test]
fn without_a_catalog_the_messages_are_kept_and_reported() {
    let kept = Kept::with(5);
    let before = fs::read(kept.segment()).unwrap();
    fs::remove_dir_all(kept.path("catalog")).unwrap();
    let (server, mut peer) = kept.start();
    kept.said("directory \"streams/1\" belongs to no known stream; it is left as it is");
    let missing = peer.ask("$JS.API.STREAM.INFO.S", "");
    assert_eq!(missing["error"]["err_code"], 10059);
    // The name is free, the files are not touched.
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    publish(&mut peer, 1, 2);
    server.shutdown_blocking();
    let old = kept.files("streams/1", ".seg");
    assert_eq!((old.len(), fs::read(&old[0]).unwrap()), (1, before));
    assert_eq!(kept.files("streams", "").len(), 2);
}

// Shows J-211.
#[test]
fn one_damaged_byte_of_the_catalog_forgets_nothing() {
    let kept = Kept::new();
    let (server, mut peer) = kept.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    let consumer = r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    peer.request("$JS.API.CONSUMER.DURABLE.CREATE.S.c", consumer);
    publish(&mut peer, 1, 3);
    server.shutdown_blocking();
    let catalog = kept.files("catalog", ".seg").remove(0);
    let whole = fs::read(&catalog).unwrap();
    // The first copy of each configuration.
    for what in [&br#""name":"S""#[..], br#""durable_name":"c""#] {
        flip(&catalog, place(&catalog, what) + 9);
        let (server, mut peer) = kept.start();
        kept.said("catalog: ");
        assert_eq!(state(&mut peer)["messages"], 3);
        assert_eq!(peer.request("$JS.API.CONSUMER.INFO.S.c", "")["num_pending"], 3);
        server.shutdown_blocking();
        for file in kept.files("catalog", "") {
            fs::remove_file(file).unwrap();
        }
        fs::write(&catalog, &whole).unwrap();
        fs::remove_file(kept.log_file()).unwrap();
    }
}

/// Asks for the next messages of the consumer `c`, each of which must come; tells where their acks go.
fn pull(peer: &mut Peer, count: usize) -> Vec<(String, String)> {
    peer.send(format!(
        "SUB inbox 1\r\nPUB $JS.API.CONSUMER.MSG.NEXT.S.c inbox {}\r\n{count}\r\n",
        count.to_string().len()
    ));
    let got = (0..count).map(|_| {
        let line = peer.line();
        let reply = line.split(' ').nth(3).unwrap().to_owned();
        (reply, peer.line())
    });
    let got = got.collect();
    peer.send("UNSUB 1\r\n");
    got
}

#[test]
fn a_damaged_ack_brings_back_what_it_acked_and_nothing_else() {
    let kept = Kept::new();
    let (server, mut peer) = kept.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    let consumer = r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit","ack_wait":1000000000}}"#;
    peer.request("$JS.API.CONSUMER.DURABLE.CREATE.S.c", consumer);
    publish(&mut peer, 1, 6);
    let segment = kept.segment();
    let mut places = Vec::new();
    for (reply, _) in pull(&mut peer, 4) {
        places.push(fs::metadata(&segment).unwrap().len() as usize);
        peer.send(format!("SUB acked 2\r\nUNSUB 2 1\r\nPUB {reply} acked 4\r\n+ACK\r\n"));
        assert!(peer.line().starts_with("MSG acked 2 0"));
        peer.line();
    }
    server.shutdown_blocking();
    // In the body of the note about the second ack, behind the record of its round.
    flip(&segment, places[2] - 3);
    let (_server, mut peer) = kept.start();
    kept.said("damaged bytes");
    let info = peer.request("$JS.API.CONSUMER.INFO.S.c", "");
    assert_eq!(info["num_pending"], 2, "{info}");
    let bodies: Vec<String> = pull(&mut peer, 3).into_iter().map(|got| got.1).collect();
    let mut sorted = bodies.clone();
    sorted.sort();
    assert_eq!(sorted, ["one-2.", "one-5.", "one-6."], "{bodies:?}");
    assert_eq!(state(&mut peer)["messages"], 6);
}

#[test]
fn damage_beside_the_segments_costs_a_reading_and_is_said() {
    let kept = Kept::new();
    let (server, mut peer) = kept.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    let body = "x".repeat(40_000);
    (1..=20).for_each(|_| drop(peer.request("s.a", &body)));
    server.shutdown_blocking();
    for ending in [".idx", ".tab"] {
        let beside = kept.files("streams/1", ending);
        assert!(!beside.is_empty(), "{ending}");
        beside.iter().for_each(|file| flip(file, 30));
        let (server, mut peer) = kept.start();
        kept.said("is not whole; what it spares was read instead");
        assert_eq!(state(&mut peer)["messages"], 20);
        assert!(!kept.log().contains("was stored and is lost"), "{}", kept.log());
        // Enough that the end writes them anew.
        (1..=20).for_each(|_| drop(peer.request("s.a", &body)));
        peer.request("$JS.API.STREAM.PURGE.S", r#"{"keep":20}"#);
        server.shutdown_blocking();
        fs::remove_file(kept.log_file()).unwrap();
    }
}

/// Copies what a killed server would have left at this moment.
fn snapshot(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => snapshot(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

#[test]
fn a_damaged_commit_journal_is_said_and_all_that_is_in_the_segments_is_there() {
    let kept = Kept::new();
    let (server, mut peer) = kept.start();
    peer.request("$JS.API.STREAM.CREATE.S", CREATE);
    publish(&mut peer, 1, 60);
    // It is made beside the work, once there was enough of it.
    let mut count = 60;
    while fs::metadata(kept.path("journal/0")).map_or(0, |file| file.len()) < 1 << 20
        || !fs::read(kept.path("journal/0")).unwrap().windows(9).any(|w| w == b"the-mark-")
    {
        count += 1;
        assert!(count < 20_000, "there is no journal");
        peer.request("s.a", "the-mark-");
    }
    // Behind it, or it would pass for a record that a crash tore.
    (0..5).for_each(|_| drop(peer.request("s.a", "x")));
    count += 5;
    let killed = Kept::new();
    snapshot(&kept.path(""), &killed.path(""));
    server.shutdown_blocking();
    let journal = killed.path("journal/0");
    flip(&journal, place(&journal, b"the-mark-"));
    let (_server, mut peer) = killed.start();
    killed.said("damaged bytes in the commit journal");
    assert_eq!(state(&mut peer)["messages"], count);
    assert_eq!(state(&mut peer)["lost"], Value::Null);
    assert_eq!(peer.request("s.a", "on")["seq"], count + 1);
}

#[test]
fn a_damaged_format_file_is_written_anew() {
    let kept = Kept::with(2);
    flip(&kept.path("FORMAT"), 3);
    let (server, mut peer) = kept.start();
    kept.said("FORMAT was not whole");
    assert_eq!(state(&mut peer)["messages"], 2);
    server.shutdown_blocking();
    assert_eq!(fs::read_to_string(kept.path("FORMAT")).unwrap(), "natterjack store 1\n");
}
