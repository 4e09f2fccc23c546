//! Forms of output: JSON on each verb, tables, colour, help, completions.

use super::{bare, command, end, run, server};

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

#[test]
fn tables_take_the_form_of_the_environment() {
    let server = server();
    run(&server, &["stream", "add", "S", "--subjects", "s"]).ok();
    let mut command = command(&server, &["stream", "ls"]);
    command.env("NATS_TABLE_FORMAT", "md");
    assert!(end(command).ok().text().starts_with("| Name |"));
    let lines = run(&server, &["stream", "ls"]).ok();
    assert!(lines.text().contains("╭") && lines.text().contains("│ S "), "{lines:?}");
}

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

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = end(bare(&["completions", shell])).ok();
        for verb in ["account", "stream", "watch", "send-on", "completions"] {
            assert!(script.text().contains(verb), "{shell} lacks {verb}");
        }
    }
    end(bare(&["completions", "cmd"])).exits(2);
}
