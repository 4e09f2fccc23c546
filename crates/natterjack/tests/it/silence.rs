//! The library writes nothing to standard output or standard error.

use natterjack::Reconnect;

use crate::{builder, server};

/// What the child does: everything that could tempt the library to print.
#[tokio::test]
#[ignore = "run by `nothing_is_printed` in a process of its own"]
async fn child() {
    let mut server = server().await;
    let connector = builder(server.url()).reconnect(Reconnect::Never).build().await.unwrap();
    let kv = connector.kv::<String>("B").ensure().await.unwrap();
    let revision = kv.put("a", &"x".into()).await.unwrap();
    // A revision of another key: async-nats prints here.
    assert!(kv.at("b", revision).await.unwrap().is_none());
    assert!(connector.request::<_, u32>("nobody", &1).await.is_err());
    let mut subscription = connector.subscribe::<u32>("x").await.unwrap();
    connector.publish("x", "not a number").await.unwrap();
    assert!(subscription.next().await.unwrap().is_err());
    server.stop().await;
    // The end of the async-nats task by unwinding must not be seen either.
    assert!(subscription.next().await.is_none());
    assert!(natterjack::Connector::connect("127.0.0.1:1").await.is_err());
}

// Shows U-052.
#[test]
fn nothing_is_printed() {
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program)
        .args(["--ignored", "--exact", "silence::child", "--nocapture", "--quiet"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // What the test harness itself says.
    let own = |line: &&str| {
        !line.is_empty()
            && *line != "."
            && *line != "running 1 test"
            && !line.starts_with("test result: ok")
    };
    assert_eq!(text.lines().filter(own).collect::<Vec<_>>(), [""; 0]);
}
