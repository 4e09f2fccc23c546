//! Forms of output: JSON on each verb, tables, colour, help, completions.

use super::{bare, command, end, run, server};

// Shows U-097.
#[test]
fn json_on_each_verb_parses() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    run(&server, &["stream", "add", "S", "--subjects", "s.>"]).ok();
    run(&server, &["sub", "--stream", "S", "--durable", "D", "-T"]).ok();
    run(&server, &["kv", "add", "B", "--history", "9"]).ok();
    let cases: &[(&[&str], &[&str])] = &[
        (&["pub", "s.a", "b"], &["subject", "bytes"]),
        (&["pub", "-J", "s.a", "b"], &["subject", "bytes", "stream", "seq"]),
        (
            &["sub", "--stream", "S", "--count", "1"],
            &[
                "number",
                "received",
                "stream",
                "consumer",
                "seq",
                "delivered",
                "pending",
                "time",
                "subject",
                "size",
                "data",
            ],
        ),
        (&["stream", "info", "S"], &["type", "config", "created", "state"]),
        (&["stream", "get", "S", "1"], &["stream", "seq", "time", "subject", "size", "data"]),
        (&["stream", "view", "S", "1"], &["stream", "seq", "time", "subject", "size", "data"]),
        (&["stream", "purge", "S", "-f"], &["type", "success", "purged"]),
        (
            &["consumer", "info", "S", "D"],
            &["type", "stream_name", "name", "config", "delivered", "ack_floor", "num_pending"],
        ),
        (&["kv", "put", "B", "k", "v"], &["bucket", "key", "revision"]),
        (&["kv", "create", "B", "l", "v"], &["bucket", "key", "revision"]),
        (&["kv", "update", "B", "l", "w", "2"], &["bucket", "key", "revision"]),
        (&["kv", "get", "B", "k"], &["bucket", "key", "op", "revision", "created", "value"]),
        (&["kv", "revert", "B", "k", "1", "-f"], &["bucket", "key", "revision"]),
        (
            &["kv", "watch", "B", "--count", "1"],
            &["bucket", "key", "op", "revision", "created", "value"],
        ),
        (&["kv", "del", "B", "k", "-f"], &["bucket", "key", "op", "revision"]),
        (&["kv", "purge", "B", "l", "-f"], &["bucket", "key", "op", "revision"]),
        (&["kv", "compact", "B", "-f"], &["bucket", "forgotten"]),
        (&["kv", "info", "B"], &["type", "config", "created", "state"]),
        (&["kv", "edit", "B", "--history", "5", "-f"], &["type", "config", "state"]),
        (&["rtt", "1"], &["server", "address", "rtt_ns"]),
        (&["account", "info"], &["connection", "user", "jetstream", "jetstream_error"]),
        (
            &["auth", "quick", demo.to_str().unwrap()],
            &["server_conf", "operator", "accounts", "creds", "keys"],
        ),
        (&["kv", "del", "B", "-f"], &["type", "success"]),
        (&["stream", "rm", "S", "-f"], &["type", "success"]),
    ];
    for (arguments, names) in cases {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let ended = run(&server, &arguments).ok();
        assert_eq!(ended.err, "", "{arguments:?}");
        let object = ended.json();
        for name in *names {
            assert!(object.get(name).is_some(), "{arguments:?} has no {name}: {object}");
        }
    }
    for arguments in [&["stream", "ls"][..], &["kv", "ls"]] {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        assert!(run(&server, &arguments).ok().json().is_array());
    }
}

// Shows U-099.
#[test]
fn colour_is_obeyed() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s"]).ok();
    run(&server, &["pub", "-J", "s", "x"]).ok();
    let read = ["sub", "--stream", "S", "-T", "-q"];
    let colored = |more: &[&str], variables: &[(&str, &str)]| {
        let mut arguments = read.to_vec();
        arguments.extend(more);
        let mut command = command(&server, &arguments);
        command.envs(variables.iter().copied());
        end(command).ok().text().contains('\x1b')
    };
    assert!(!colored(&[], &[]), "a pipe");
    assert!(colored(&["--color", "always"], &[]));
    assert!(colored(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!colored(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&["--color", "always", "--json"], &[]));
}

// Shows U-099.
#[test]
fn tables_take_the_form_of_the_environment() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s"]).ok();
    let mut command = command(&server, &["stream", "ls"]);
    command.env("NATS_TABLE_FORMAT", "md");
    assert!(end(command).ok().text().starts_with("| Name |"));
    for (form, begin) in [("md", "| Name |"), ("csv", "Name,"), ("tsv", "Name\t")] {
        let table = run(&server, &["stream", "ls", "--output", form]).ok();
        assert!(table.text().starts_with(begin), "{form}: {table:?}");
    }
    let lines = run(&server, &["stream", "ls"]).ok();
    assert!(lines.text().contains("╭") && lines.text().contains("│ S "), "{lines:?}");
}

// Shows U-105.
#[test]
fn a_misspelled_command_brings_the_nearest() {
    let ended = end(bare(&["strem", "ls"])).exits(2);
    assert!(ended.err.contains("'stream'"), "{ended:?}");
    let ended = end(bare(&["stream", "inof", "S"])).exits(2);
    assert!(ended.err.contains("'info'"), "{ended:?}");
    let error = end(bare(&["--json", "strem"])).exits(2).error();
    assert!(error["hint"].as_str().unwrap().contains("stream"), "{error}");
}

#[test]
fn help_is_data_and_no_failure() {
    for arguments in [&["--help"][..], &["kv", "--help"], &["sub", "-h"], &["--version"]] {
        let ended = end(bare(arguments)).ok();
        assert!(!ended.out.is_empty() && ended.err.is_empty(), "{ended:?}");
    }
    end(bare(&[])).exits(2);
}

// Shows U-102.
#[test]
fn completion_scripts_call_the_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = end(bare(&["completions", shell])).ok();
        assert!(script.text().contains("NATTERJACK_COMPLETE"), "{shell}: {script:?}");
        assert!(script.text().contains("natterjack"), "{shell}: {script:?}");
    }
    end(bare(&["completions", "cmd"])).exits(2);
}

/// What fish would be offered after these words.
fn offered(mut command: std::process::Command) -> Vec<String> {
    command.env("NATTERJACK_COMPLETE", "fish");
    let text = end(command).ok();
    assert_eq!(text.err, "");
    let word = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    text.text().lines().map(word).collect()
}

// Shows U-102.
#[test]
fn verbs_and_existing_names_are_completed() {
    let server = server();
    run(&server, &["stream", "add", "ORDERS", "--subjects", "o"]).ok();
    run(&server, &["sub", "--stream", "ORDERS", "--durable", "billing", "-T", "-q"]).ok();
    run(&server, &["kv", "add", "CONFIG"]).ok();
    run(&server, &["kv", "put", "CONFIG", "colour", "red"]).ok();
    // A server that is busy may not answer while somebody waits at a key; who asks again is answered.
    let patiently = |offer: &dyn Fn() -> Vec<String>| {
        let asked = std::iter::repeat_with(offer).take(100);
        asked.into_iter().find(|names| !names.is_empty()).unwrap_or_default()
    };
    let offer = |words: &[&str]| {
        let mut all = vec!["--", "natterjack"];
        all.extend(words);
        patiently(&|| offered(command(&server, &all)))
    };
    assert_eq!(offer(&["strea"]), ["stream"]);
    assert_eq!(offer(&["stream", "info", "OR"]), ["ORDERS"]);
    assert_eq!(offer(&["sub", "--stream", "O"]), ["ORDERS"]);
    assert_eq!(offer(&["ben"]), ["bench"]);
    assert_eq!(offer(&["bench", "js", "consume", "--stream", "O"]), ["ORDERS"]);
    assert_eq!(offer(&["bench", "kv", "get", "--bucket", "C"]), ["CONFIG"]);
    assert_eq!(offer(&["consumer", "info", "ORDERS", "b"]), ["billing"]);
    assert_eq!(offer(&["kv", "get", "C"]), ["CONFIG"]);
    assert_eq!(offer(&["kv", "get", "CONFIG", "co"]), ["colour"]);
    // The server that is typed is the one that is asked.
    let words = ["--", "natterjack", "-s", &server.client_url(), "kv", "get", "C"];
    assert_eq!(patiently(&|| offered(bare(&words))), ["CONFIG"]);
    // So are the contexts, whose files are here.
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("nats/context")).unwrap();
    std::fs::write(home.path().join("nats/context/prod.json"), "{}").unwrap();
    let mut contexts = bare(&["--", "natterjack", "context", "select", "p"]);
    contexts.env("XDG_CONFIG_HOME", home.path());
    assert_eq!(offered(contexts), ["prod"]);
    // Nothing, and no complaint, without a server.
    let dead = super::nobody();
    let words = ["--", "natterjack", "-s", &dead, "kv", "get", "C"];
    assert_eq!(offered(bare(&words)), Vec::<String>::new());
}

/// A server that takes a connection and says nothing is waited for no longer than a moment.
// Shows U-102.
#[test]
fn a_silent_server_does_not_hold_up_the_shell() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    // Nobody ends the connection, so that it is the limit that does.
    let keep = std::thread::spawn(move || silent.incoming().take(1).collect::<Vec<_>>());
    let words = ["--", "natterjack", "--timeout", "1h", "-s", &url, "stream", "info", "OR"];
    assert_eq!(offered(bare(&words)), Vec::<String>::new());
    drop(keep.join().unwrap());
}

/// Each script is read by its shell, where that is at hand.
// Shows U-102.
#[test]
fn completion_scripts_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut read_by = Vec::new();
    for (shell, arguments) in [
        ("bash", &["--noprofile", "--norc"][..]),
        ("zsh", &["-f"]),
        ("fish", &["--no-config"]),
        ("pwsh", &["-NoProfile"]),
        ("elvish", &["-norc"]),
    ] {
        let name = if shell == "pwsh" { "powershell" } else { shell };
        let script = end(bare(&["completions", name])).ok();
        let path = dir.path().join(shell);
        std::fs::write(&path, &script.out).unwrap();
        let mut command = std::process::Command::new(shell);
        command.args(arguments).arg(&path).stdin(std::process::Stdio::null());
        let Ok(loaded) = command.output() else { continue };
        let text = String::from_utf8_lossy(&loaded.stderr);
        // zsh has its functions for completion only when they are asked for.
        let fine = loaded.status.success() || text.contains("compdef");
        assert!(fine, "{shell}: {text}");
        read_by.push(shell);
    }
    assert!(read_by.contains(&"bash"), "{read_by:?}");
}

#[test]
fn lines_of_tables_take_a_scheme() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s", "-q"]).ok();
    let green = run(&server, &["stream", "ls", "--color", "always", "--colors", "green"]).ok();
    assert!(green.text().contains("\x1b[32m"), "{green:?}");
    let mut double = command(&server, &["stream", "ls"]);
    double.env("NATS_COLOR", "double");
    let double = end(double).ok();
    assert!(double.text().contains('╔') && !double.text().contains('\x1b'), "{double:?}");
    run(&server, &["stream", "ls", "--colors", "pink"]).exits(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    end(bare(&["man", pages.to_str().unwrap()])).ok();
    let verbs = super::json::every_verb();
    assert!(verbs.len() > 100, "{verbs:?}");
    for verb in verbs {
        let name = format!("natterjack-{}", verb.replace(' ', "-"));
        let page = std::fs::read_to_string(pages.join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
}

#[test]
fn configurations_are_checked_and_shown_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    file("users.conf", "users: [{user: u, password: s3cret}]");
    let good = file("good.conf", "port: 4333\nauthorization { include \"users.conf\" }\n");
    let checked = end(bare(&["config", "check", &good])).ok();
    assert!(checked.text().contains(" is valid (sha256:"), "{checked:?}");
    assert_eq!(end(bare(&["config", "check", &good, "--json"])).ok().json()["valid"], true);
    let shown = end(bare(&["config", "print", &good])).ok().json();
    let user = serde_json::json!({"user": "u", "password": "***"});
    assert_eq!((&shown["port"], &shown["authorization"]["users"][0]), (&4333.into(), &user));
    let bad = file("bad.conf", "prot: 4333\n");
    let refused = end(bare(&["config", "check", &bad])).exits(1);
    assert!(refused.err.contains("unknown field \"prot\""), "{refused:?}");
}
