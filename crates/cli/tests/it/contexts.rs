//! Contexts: the files of the `nats` tool.

use std::path::Path;
use std::process::Command;

use natterjack_server::Server;
use serde_json::{Value, json};

use super::{Ended, bare, end};

/// The command with a configuration directory.
fn at(home: &Path, arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command.env("XDG_CONFIG_HOME", home).env("HOME", home);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Ended {
    end(at(home, arguments))
}

fn read(home: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(home.join("nats/context").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the `nats` tool decodes a context into: its Go struct (`jsm.go/natscontext`, `settings`), whose
/// decoder refuses a field of another type and fills in what is not there.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct TheirSettings {
    description: String,
    url: String,
    socks_proxy: String,
    token: String,
    user: String,
    password: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    nsc: String,
    jetstream_domain: String,
    jetstream_api_prefix: String,
    jetstream_event_prefix: String,
    inbox_prefix: String,
    user_jwt: String,
    user_seed: String,
    color_scheme: String,
    tls_first: bool,
    windows_cert_store: String,
    windows_cert_match_by: String,
    windows_cert_match: String,
    windows_ca_certs_match: Option<Vec<String>>,
}

// Shows U-090.
#[test]
fn every_option_of_a_context_is_one_of_theirs() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let all = [
        "context",
        "add",
        "all",
        "--server",
        "nats://h:1",
        "--user",
        "u",
        "--password",
        "p",
        "--description",
        "d",
        "--js-domain",
        "hub",
        "--js-event-prefix",
        "E",
        "--inbox-prefix",
        "I",
        "--socks-proxy",
        "socks5://p:1",
        "--colors",
        "green",
        "--tlsca",
        "/ca",
        "--tlscert",
        "/cert",
        "--tlskey",
        "/key",
        "--tlsfirst",
    ];
    run(home, &all).ok();
    let text = std::fs::read_to_string(home.join("nats/context/all.json")).unwrap();
    let theirs: TheirSettings = serde_json::from_str(&text).unwrap();
    assert_eq!((theirs.url.as_str(), theirs.socks_proxy.as_str()), ("nats://h:1", "socks5://p:1"));
    assert_eq!(
        (theirs.jetstream_event_prefix.as_str(), theirs.color_scheme.as_str()),
        ("E", "green")
    );
    assert_eq!((theirs.cert.as_str(), theirs.key.as_str()), ("/cert", "/key"));
    assert!(theirs.tls_first);
    for login in [&["--token", "t"][..], &["--creds", "/c"], &["--nkey", "/n"]] {
        let name = ["context", "add", "one"];
        run(home, &[&name[..], login].concat()).ok();
        let text = std::fs::read_to_string(home.join("nats/context/one.json")).unwrap();
        serde_json::from_str::<TheirSettings>(&text).unwrap();
    }
}

// Shows U-090.
#[test]
fn a_context_is_written_as_the_nats_tool_reads_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let add = [
        "context",
        "add",
        "prod",
        "--server",
        "nats://a:1,nats://b:2",
        "--user",
        "me",
        "--password",
        "s3cret",
        "--description",
        "the real one",
        "--js-domain",
        "hub",
        "--select",
        "--tlsfirst",
    ];
    let shown = run(home, &add).ok();
    assert!(shown.text().contains("NATS Configuration Context \"prod\""), "{shown:?}");
    assert!(!shown.text().contains("s3cret"), "{shown:?}");
    let file = read(home, "prod.json");
    for (key, value) in [
        ("description", "the real one"),
        ("url", "nats://a:1,nats://b:2"),
        ("user", "me"),
        ("password", "s3cret"),
        ("token", ""),
        ("creds", ""),
        ("jetstream_domain", "hub"),
    ] {
        assert_eq!(file[key], value, "{key}");
    }
    assert_eq!(file["tls_first"], true);
    let selected = std::fs::read_to_string(home.join("nats/context.txt")).unwrap();
    assert_eq!(selected, "prod");
    let list = run(home, &["context", "ls"]).ok();
    assert!(list.text().contains("Known Contexts") && list.text().contains("prod*"), "{list:?}");
    let list = run(home, &["ctx", "ls", "--json"]).ok().json();
    assert_eq!((&list[0]["name"], &list[0]["selected"]), (&json!("prod"), &json!(true)));
    assert_eq!(list[0]["password"], "***");
}

// Shows U-090.
#[cfg(unix)]
#[test]
fn contexts_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(home, &["context", "add", "c", "--token", "t"]).ok();
    let mode = |path: &str| home.join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("nats/context/c.json"), 0o600);
    assert_eq!((mode("nats"), mode("nats/context")), (0o700, 0o700));
}

// Shows U-090.
#[test]
fn keys_that_are_not_known_here_survive() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("nats/context")).unwrap();
    let theirs =
        r#"{"url":"nats://h:1","token":"t","later":{"x":[1]},"windows_cert_store":"user"}"#;
    std::fs::write(home.join("nats/context/c.json"), theirs).unwrap();
    run(home, &["context", "add", "c", "--description", "new"]).ok();
    let file = read(home, "c.json");
    assert_eq!(file["later"], json!({"x": [1]}));
    assert_eq!(file["windows_cert_store"], "user");
    assert_eq!((&file["url"], &file["token"]), (&json!("nats://h:1"), &json!("t")));
    // Another login takes the place of the one that was there.
    run(home, &["context", "add", "c", "--user", "u", "--password", "p"]).ok();
    let file = read(home, "c.json");
    assert_eq!((&file["token"], &file["user"]), (&json!(""), &json!("u")));
    run(home, &["context", "copy", "c", "d", "--description", "copy"]).ok();
    assert_eq!(read(home, "d.json")["later"], json!({"x": [1]}));
    run(home, &["context", "copy", "c", "d"]).exits(7);
    let both = ["context", "add", "e", "--nkey", "/n", "--creds", "/c"];
    assert!(run(home, &both).exits(2).err.contains("one login"));
}

// Shows U-090.
#[test]
fn the_previous_context_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for name in ["one", "two"] {
        run(home, &["context", "add", name, "--server", "nats://h:1"]).ok();
    }
    run(home, &["context", "select", "one"]).ok();
    run(home, &["context", "select", "two"]).ok();
    let selected = |arguments: &[&str]| {
        run(home, arguments).ok();
        std::fs::read_to_string(home.join("nats/context.txt")).unwrap()
    };
    assert_eq!(selected(&["context", "-"]), "one");
    assert_eq!(selected(&["context", "previous"]), "two");
    run(home, &["context", "unselect"]).ok();
    assert!(!home.join("nats/context.txt").exists());
    assert_eq!(selected(&["context", "previous"]), "two");
    let missing = run(home, &["context", "select", "tow"]).exits(5);
    assert!(missing.err.contains("did you mean two?"), "{missing:?}");
    run(home, &["context", "rm", "two"]).exits(9);
    run(home, &["context", "rm", "two", "-f"]).ok();
    assert_eq!(run(home, &["context", "ls", "-n"]).ok().text(), "one\n");
    run(home, &["context", "add", "../evil", "--server", "nats://h:1"]).exits(2);
}

#[test]
fn an_editor_changes_a_context() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(home, &["context", "add", "c", "--server", "nats://h:1"]).ok();
    let edit = |script: &str| {
        let mut command = at(home, &["context", "edit", "c"]);
        end({
            command.env("EDITOR", format!("sed -i {script}"));
            command
        })
    };
    edit("s/h:1/h:2/").ok();
    assert_eq!(read(home, "c.json")["url"], "nats://h:2");
    assert!(edit("1d").exits(1).err.contains("nothing was changed"));
    assert_eq!(read(home, "c.json")["url"], "nats://h:2");
}

#[test]
fn validation_finds_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(home, &["context", "add", "good", "--server", "nats://h:1"]).ok();
    assert_eq!(run(home, &["context", "validate"]).ok().text(), "good: OK\n");
    run(home, &["context", "add", "bad", "--creds", "/no/such.creds"]).ok();
    let ended = run(home, &["context", "validate", "--json"]).exits(1);
    let lines = ended.lines();
    assert_eq!(lines[0]["valid"], false);
    assert!(lines[0]["problems"][0].as_str().unwrap().contains("/no/such.creds"));
    assert_eq!(lines[1], json!({"name": "good", "valid": true, "problems": []}));
    std::fs::write(home.join("nats/context/bad.json"), r#"{"url":5,"token":null}"#).unwrap();
    let ended = run(home, &["context", "validate", "bad"]).exits(1);
    assert_eq!(ended.text(), "bad: ERROR: url is no text\n");
}

// Shows U-091.
#[test]
fn a_context_connects_and_the_environment_wins() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let server = Server::builder().token("s3cret").start_blocking().unwrap();
    let url = server.client_url();
    run(home, &["context", "add", "c", "--server", &url, "--token", "s3cret"]).ok();
    run(home, &["pub", "a", "b", "--context", "c", "-q"]).ok();
    let mut named = at(home, &["pub", "a", "b", "-q"]);
    named.env("NATS_CONTEXT", "c");
    end(named).ok();
    let connected = run(home, &["context", "info", "c", "--connect"]).ok();
    assert!(connected.text().contains("Connection: OK"), "{connected:?}");
    run(home, &["context", "select", "c"]).ok();
    run(home, &["pub", "a", "b", "-q"]).ok();
    let mut elsewhere = at(home, &["pub", "a", "b", "-q"]);
    elsewhere.env("NATS_TOKEN", "wrong");
    end(elsewhere).exits(4);
    run(home, &["pub", "a", "b", "-q", "--token", "wrong"]).exits(4);
    // Without the context nobody knows the server.
    let without = run(home, &["pub", "a", "b", "-q", "--no-context", "--server", &url]);
    without.exits(4);
    // The credentials of a file, kept in the context itself.
    let other = ["context", "add", "e", "--context", "c", "--description", "from c"];
    run(home, &other).ok();
    assert_eq!(read(home, "e.json")["token"], "s3cret");
}

#[test]
fn credentials_can_stand_in_a_context() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let dir = home.join("demo");
    run(home, &["auth", "quick", dir.to_str().unwrap(), "-q"]).ok();
    let server = super::start_quick(&dir);
    let url = server.client_url();
    let creds = dir.join("demo.creds");
    let add =
        ["context", "add", "c", "--server", &url, "--creds", creds.to_str().unwrap(), "--embed"];
    let shown = run(home, &add).ok();
    assert!(shown.text().contains("Credentials: embedded"), "{shown:?}");
    assert!(read(home, "c.json")["creds"].as_str().unwrap().starts_with("data:;base64,"));
    std::fs::remove_file(&creds).unwrap();
    run(home, &["rtt", "1", "--context", "c"]).ok();
}
