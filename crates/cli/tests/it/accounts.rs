//! account report, backup and restore.

use super::run;
use super::witness::server;

#[test]
fn all_streams_are_saved_and_come_back() {
    let server = server();
    for name in ["A", "B"] {
        let subjects = format!("{name}.>");
        run(&server, &["stream", "add", name, "--subjects", &subjects]).ok();
        run(&server, &["pub", "-J", &format!("{name}.x"), "hello", "--count", "3", "-q"]).ok();
    }
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("all");
    let path = target.to_str().unwrap();
    let saved = run(&server, &["account", "backup", path, "--json"]);
    assert_eq!(saved.ok().lines().len(), 2);
    run(&server, &["account", "backup", path]).exits(9);
    run(&server, &["stream", "rm", "B", "-f"]).ok();
    // One is there already.
    let restored = run(&server, &["account", "restore", path, "--json"]).exits(8);
    assert_eq!(restored.lines()[0]["error"]["err_code"], 10130);
    assert_eq!(restored.lines()[1]["state"]["messages"], 3);
}

#[test]
fn nothing_to_save_is_said() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    run(&server, &["account", "backup", dir.path().to_str().unwrap(), "-f"]).exits(5);
    run(&server, &["account", "restore", dir.path().to_str().unwrap()]).exits(2);
    run(&server, &["account", "restore", "/no/such/directory"]).exits(1);
}
