//! object: all verbs.

use std::path::Path;

use serde_json::json;

use super::witness::Tested;
use super::{Ended, Running, command, feed, run, server};

/// A server with a bucket, and a directory with a file of 300 kB.
fn with_file() -> (Tested, tempfile::TempDir, String) {
    let server = server();
    run(&server, &["object", "add", "B", "--storage", "memory", "-q"]).ok();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("big.bin");
    std::fs::write(&file, content()).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (server, dir, path)
}

/// Bytes that are not the same anywhere.
fn content() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn put(server: &Tested, path: &str, more: &[&str]) -> Ended {
    let mut all = vec!["object", "put", "B", path];
    all.extend(more);
    run(server, &all)
}

#[test]
fn a_bucket_is_what_other_clients_make() {
    let server = server();
    let add = [
        "object",
        "add",
        "FILES",
        "--ttl",
        "1h",
        "--max-bucket-size",
        "1MiB",
        "--storage",
        "memory",
        "--description",
        "text",
        "--metadata",
        "k:v",
        "--json",
    ];
    let config = run(&server, &add).ok().json()["config"].clone();
    for (name, value) in [
        ("name", json!("OBJ_FILES")),
        ("subjects", json!(["$O.FILES.C.>", "$O.FILES.M.>"])),
        ("discard", json!("new")),
        ("allow_rollup_hdrs", json!(true)),
        ("allow_direct", json!(true)),
        ("storage", json!("memory")),
        ("max_age", json!(3_600_000_000_000_u64)),
        ("max_bytes", json!(1 << 20)),
        ("description", json!("text")),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
    let sheet = run(&server, &["object", "info", "FILES"]).ok();
    for line in ["Information for Object Store Bucket FILES", "TTL: 1h0m0s", "Sealed: false"] {
        assert!(sheet.text().contains(line), "{line}: {sheet:?}");
    }
    assert_eq!(run(&server, &["object", "ls", "-n"]).ok().text(), "FILES\n");
    let table = run(&server, &["object", "ls", "--output", "csv"]).ok();
    assert!(table.text().starts_with("Bucket,Description,Created,Size,Last Update\nFILES,text,"));
    let edit = ["object", "edit", "FILES", "--description", "new"];
    let dry = run(&server, &[&edit[..], &["--dry-run"]].concat()).ok();
    assert_eq!(dry.text(), "~ description: \"text\" -> \"new\"\n");
    run(&server, &edit).exits(9);
    let info = run(&server, &[&edit[..], &["-f", "--json"]].concat()).ok().json();
    assert_eq!(info["config"]["description"], "new");
    let other = run(&server, &["object", "add", "FILES", "--json"]).exits(7).error();
    assert!(other["message"].as_str().unwrap().contains("bucket FILES exists"), "{other}");
    let missing = run(&server, &["object", "ls", "FILSE"]).exits(5);
    assert!(missing.err.contains("bucket FILSE not found"), "{missing:?}");
    assert!(missing.err.contains("did you mean FILES?"), "{missing:?}");
    run(&server, &["object", "add", "no.dots"]).exits(2);
}

// Shows U-088.
#[test]
fn a_file_comes_back_byte_for_byte() {
    let (server, dir, path) = with_file();
    let info =
        put(&server, &path, &["--description", "text", "-H", "A:b", "--metadata", "k:v", "--json"]);
    let info = info.ok().json();
    for (name, value) in [
        ("name", json!("big.bin")),
        ("bucket", json!("B")),
        ("size", json!(300_000)),
        ("description", json!("text")),
        ("headers", json!({"A": ["b"]})),
        ("metadata", json!({"k": "v"})),
    ] {
        assert_eq!(info[name], value, "{name}");
    }
    let target = dir.path().join("copy.bin");
    let to = target.to_str().unwrap();
    let got = run(&server, &["object", "get", "B", "big.bin", "-O", to, "--json"]).ok().json();
    assert_eq!((&got["size"], &got["digest"]), (&json!(300_000), &info["digest"]));
    assert_eq!(std::fs::read(&target).unwrap(), content());
    // It is there already.
    run(&server, &["object", "get", "B", "big.bin", "-O", to]).exits(9);
    run(&server, &["object", "get", "B", "big.bin", "-O", to, "-f"]).ok();
    let piped = run(&server, &["object", "get", "B", "big.bin", "-O", "-"]).ok();
    assert_eq!(piped.out, content());
    let mut here = command(&server, &["object", "get", "B", "big.bin"]);
    let below = tempfile::tempdir().unwrap();
    here.current_dir(below.path());
    super::end(here).ok();
    assert_eq!(std::fs::read(below.path().join("big.bin")).unwrap(), content());
    let sheet = run(&server, &["object", "info", "B", "big.bin"]).ok();
    for line in ["Object information for B > big.bin", "Size: 293 KiB", "Digest: SHA-256 "] {
        assert!(sheet.text().contains(line), "{line}: {sheet:?}");
    }
    let missing = run(&server, &["object", "get", "B", "bigbin"]).exits(5);
    assert!(missing.err.contains("did you mean big.bin?"), "{missing:?}");
}

#[test]
fn standard_input_is_stored_under_a_name() {
    let (server, _dir, _) = with_file();
    let stored = feed(&server, &["object", "put", "B", "--name", "in", "--json"], b"hello").ok();
    assert_eq!(stored.json()["size"], 5);
    assert_eq!(run(&server, &["object", "get", "B", "in", "-O", "-"]).ok().text(), "hello");
    // Nothing at all is a file, too.
    feed(&server, &["object", "put", "B", "-", "--name", "none", "-q"], b"").ok();
    assert_eq!(run(&server, &["object", "get", "B", "none", "-O", "-"]).ok().text(), "");
    run(&server, &["object", "put", "B"]).exits(2);
    run(&server, &["object", "put", "B", "/no/such/file"]).exits(1);
}

// Shows U-088, U-100.
#[test]
fn a_file_is_replaced_and_deleted_when_asked() {
    let (server, dir, path) = with_file();
    put(&server, &path, &["-q"]).ok();
    put(&server, &path, &["-q"]).exits(9);
    std::fs::write(&path, "short").unwrap();
    assert_eq!(put(&server, &path, &["-f", "--json"]).ok().json()["size"], 5);
    // The pieces of the old one are gone.
    let state = run(&server, &["stream", "info", "OBJ_B", "--state", "--json"]).ok().json();
    assert_eq!(state["messages"], 2);
    let table = run(&server, &["object", "ls", "B", "--output", "tsv"]).ok();
    assert!(table.text().starts_with("Name\tSize\tTime\nbig.bin\t5 B\t"), "{table:?}");
    assert_eq!(
        run(&server, &["object", "ls", "B", "-n", "--json"]).ok().json(),
        json!(["big.bin"])
    );
    run(&server, &["object", "del", "B", "big.bin"]).exits(9);
    run(&server, &["object", "del", "B", "big.bin", "--dry-run"]).ok();
    run(&server, &["object", "rm", "B", "big.bin", "-f"]).ok();
    assert_eq!(run(&server, &["object", "ls", "B", "--json"]).ok().json(), json!([]));
    run(&server, &["object", "get", "B", "big.bin", "-O", "-"]).exits(5);
    run(&server, &["object", "del", "B"]).exits(9);
    run(&server, &["object", "del", "B", "-f"]).ok();
    run(&server, &["object", "info", "B"]).exits(5);
    drop(dir);
}

// Other clients write no time into what they store: the message has it.
#[test]
fn when_a_file_was_stored_is_the_time_of_its_message() {
    let (server, _dir, path) = with_file();
    let stored = put(&server, &path, &["--json"]).ok().json();
    assert!(stored["mtime"].as_str().unwrap().starts_with("20"), "{stored}");
    let body = r#"{"name":"theirs","bucket":"B","nuid":"N","size":0,"chunks":0,"mtime":"0001-01-01T00:00:00Z"}"#;
    run(&server, &["pub", "-J", "$O.B.M.dGhlaXJz", body, "-q"]).ok();
    for name in ["big.bin", "theirs"] {
        let info = run(&server, &["object", "info", "B", name]).ok();
        assert!(info.text().contains("Modification Time: 20"), "{info:?}");
    }
    let table = run(&server, &["object", "ls", "B", "--output", "tsv"]).ok();
    assert!(table.text().contains("\ntheirs\t0 B\t20"), "{table:?}");
    let watched = run(&server, &["object", "watch", "B", "--count", "2"]).ok();
    assert!(!watched.text().contains("[-]"), "{watched:?}");
}

// Shows U-088.
#[test]
fn a_damaged_file_is_not_written() {
    let (server, dir, path) = with_file();
    put(&server, &path, &["-q", "--chunk-size", "64K"]).ok();
    run(&server, &["stream", "rmm", "OBJ_B", "2", "-f"]).ok();
    let target = dir.path().join("copy.bin");
    let get = ["object", "get", "B", "big.bin", "-O", target.to_str().unwrap(), "--json"];
    assert_eq!(run(&server, &get).exits(1).error()["code"], "object.digest");
    assert!(!Path::new(&target).exists());
    put(&server, &path, &["--chunk-size", "1GiB", "-f"]).exits(2);
}

// Shows U-088.
#[test]
fn changes_are_watched() {
    let (server, _dir, path) = with_file();
    put(&server, &path, &["-q"]).ok();
    let mut watch = Running::start(command(&server, &["object", "watch", "B", "--json"]));
    let next = |watch: &mut Running| {
        let change: serde_json::Value = serde_json::from_str(&watch.line()).unwrap();
        (change["op"].as_str().unwrap().to_owned(), change["name"].as_str().unwrap().to_owned())
    };
    assert_eq!(next(&mut watch), ("PUT".to_owned(), "big.bin".to_owned()));
    feed(&server, &["object", "put", "B", "--name", "two", "-q"], b"2").ok();
    assert_eq!(next(&mut watch), ("PUT".to_owned(), "two".to_owned()));
    run(&server, &["object", "del", "B", "two", "-f"]).ok();
    assert_eq!(next(&mut watch), ("DEL".to_owned(), "two".to_owned()));
    watch.signal("INT");
    watch.end().ok();
    let first = run(&server, &["object", "watch", "B", "--count", "1"]).ok();
    assert!(first.text().contains("PUT B > big.bin: 293 KiB in "), "{first:?}");
}

// Shows U-088.
#[test]
fn a_sealed_bucket_keeps_what_it_has() {
    let (server, _dir, path) = with_file();
    put(&server, &path, &["-q"]).ok();
    run(&server, &["object", "seal", "B"]).exits(9);
    let info = run(&server, &["object", "seal", "B", "-f", "--json"]).ok().json();
    assert_eq!(info["config"]["sealed"], true);
    put(&server, &path, &["--name", "more"]).exits(1);
    let piped = run(&server, &["object", "get", "B", "big.bin", "-O", "-"]).ok();
    assert_eq!(piped.out, content());
}

// Shows U-088.
#[cfg(target_os = "linux")]
#[test]
fn a_bar_shows_on_a_terminal_how_far_a_transfer_is() {
    let (server, dir, path) = with_file();
    let target = dir.path().join("copy.bin").display().to_string();
    for arguments in [&["put", "B", &path][..], &["get", "B", "big.bin", "-O", &target]] {
        // `script` gives the command a terminal.
        let words = [&[env!("CARGO_BIN_EXE_natterjack"), "object"][..], arguments].concat();
        let mut terminal = std::process::Command::new("script");
        terminal.args(["-qec", &words.join(" "), "/dev/null"]);
        terminal.env("NATS_URL", server.client_url()).env("TERM", "xterm");
        terminal.stdin(std::process::Stdio::null());
        let ended = super::end(terminal).ok();
        let text = ended.text();
        assert!(text.contains("100%") && text.contains('█'), "{arguments:?}: {text}");
    }
    assert_eq!(std::fs::read(&target).unwrap(), content());
}

#[test]
fn a_file_that_does_not_fit_leaves_nothing_behind() {
    let (server, _dir, path) = with_file();
    let add = ["object", "add", "SMALL", "--storage", "memory", "--max-bucket-size", "200KB", "-q"];
    run(&server, &add).ok();
    let refused = run(&server, &["object", "put", "SMALL", &path, "--json"]).exits(1);
    assert_eq!(refused.error()["err_code"], 10077);
    let state = run(&server, &["stream", "info", "OBJ_SMALL", "--state", "--json"]).ok().json();
    assert_eq!(state["messages"], 0, "pieces of the file fill the bucket");
    feed(&server, &["object", "put", "SMALL", "--name", "n", "-q"], &[7; 100_000]).ok();
}
