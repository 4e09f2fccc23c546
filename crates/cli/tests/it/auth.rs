//! `auth quick` and what it makes.

use std::path::Path;

use super::{bare, end, run};

fn quick(dir: &Path, more: &[&str]) -> super::Ended {
    let mut arguments = vec!["auth", "quick", dir.to_str().unwrap()];
    arguments.extend(more);
    end(bare(&arguments))
}

// Shows U-106.
#[test]
fn everything_it_makes_works_together() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("new/demo");
    quick(&made, &["--port", "4333"]).ok();
    let conf = std::fs::read_to_string(made.join("server.conf")).unwrap();
    assert!(conf.contains("\nport: 4333\n"), "{conf}");
    let said = quick(&made, &["-f"]).ok();
    for text in ["server.conf", "demo.creds", "natterjack serve -c", "pub demo.secret"] {
        assert!(said.text().contains(text), "{text}: {said:?}");
    }
    let server = super::start_quick(&made);
    let with = |creds: &str, arguments: &[&str]| {
        let file = made.join(format!("{creds}.creds"));
        let mut all = vec!["--creds", file.to_str().unwrap()];
        all.extend(arguments);
        run(&server, &all)
    };
    with("demo", &["pub", "foo", "x"]).ok();
    let refused = with("demo", &["pub", "demo.secret", "x", "--json"]).exits(4);
    let error: serde_json::Value = serde_json::from_str(refused.err.trim()).unwrap();
    assert_eq!(error["error"]["code"], "auth.permission");
    assert_eq!(error["error"]["message"], "permission denied: publish demo.secret");
    with("demo", &["sub", "demo.secret"]).exits(4);
    // One of two messages is refused: partly done.
    with("demo", &["pub", "demo.{{Count}}", "x", "--count", "2"]).ok();
    with("admin", &["pub", "demo.secret", "x"]).ok();
    with("demo", &["stream", "add", "S", "--subjects", "s"]).ok();
    with("demo", &["pub", "-J", "s", "x"]).ok();
    with("sys", &["pub", "foo", "x"]).ok();
    with("sys", &["stream", "ls"]).exits(5);
    let expired = with("expired", &["pub", "foo", "x", "--json"]).exits(4).error();
    assert_eq!(expired["code"], "auth.creds_expired");
    assert!(expired["message"].as_str().unwrap().contains("expired 3 h ago"), "{expired}");
    let revoked = with("revoked", &["pub", "foo", "x", "--json"]).exits(4).error();
    assert_eq!(revoked["code"], "auth.denied");
    run(&server, &["pub", "foo", "x"]).exits(4);
    // account info shows who it is and what it may not do.
    let info = with("demo", &["account", "info", "--json"]).ok().json();
    assert!(info["user"]["user"].as_str().unwrap().starts_with('U'));
    assert!(info["user"]["account"].as_str().unwrap().starts_with('A'));
    assert_eq!(info["jetstream"]["streams"], 1);
    let info = with("demo", &["account", "info"]).ok();
    assert!(info.text().contains("Publish deny: demo.secret"), "{info:?}");
}

// Shows U-107.
#[test]
fn creds_have_the_documented_shape_and_no_one_else_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("demo");
    let told = quick(&made, &["--json"]).ok().json();
    let file = told["creds"]["demo"].as_str().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[0], "-----BEGIN NATS USER JWT-----");
    assert_eq!(lines[1].split('.').count(), 3);
    assert_eq!(
        &lines[2..9],
        [
            "------END NATS USER JWT------",
            "",
            "************************* IMPORTANT *************************",
            "NKEY Seed printed below can be used to sign and prove identity.",
            "NKEYs are sensitive and should be treated as secrets.",
            "",
            "-----BEGIN USER NKEY SEED-----",
        ]
    );
    assert!(lines[9].starts_with("SU") && lines[9].len() == 58);
    // The expression with which the reference implementations cut such files, and async-nats.
    let block = r"\s*(?:(?:[-]{3,}[^\n]*[-]{3,}\n)(.+)(?:\n\s*[-]{3,}[^\n]*[-]{3,}[\n]*))";
    let blocks: Vec<String> =
        regex::Regex::new(block).unwrap().captures_iter(&text).map(|c| c[1].to_owned()).collect();
    assert_eq!(blocks, [lines[1], lines[9]]);
    async_nats::ConnectOptions::with_credentials(&text).unwrap();
    assert_eq!(
        &lines[10..],
        [
            "------END USER NKEY SEED------",
            "",
            "*************************************************************",
            "",
        ]
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&made), mode(&made.join("keys"))), (0o700, 0o700));
        for name in ["server.conf", "demo.creds", "admin.creds", "sys.creds", "keys/operator.nk"] {
            assert_eq!(mode(&made.join(name)), 0o600, "{name}");
        }
    }
}

#[test]
fn keys_are_not_lost_by_a_second_call() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("demo");
    quick(&made, &[]).ok();
    let before = std::fs::read(made.join("keys/operator.nk")).unwrap();
    quick(&made, &[]).exits(7);
    assert_eq!(std::fs::read(made.join("keys/operator.nk")).unwrap(), before);
    quick(&made, &["-f"]).ok();
    assert_ne!(std::fs::read(made.join("keys/operator.nk")).unwrap(), before);
}
