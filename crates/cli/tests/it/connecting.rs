//! Where server and login come from: options, environment, contexts.

use natterjack_server::Server;

use super::{bare, command, end, free_port, run, server};

// Shows a part of U-091.
#[test]
fn an_option_wins_over_the_environment() {
    let server = Server::builder().user("u", "p").start_blocking().unwrap();
    let mut by_env = command(&server, &["pub", "a", "b"]);
    by_env.env("NATS_USER", "u").env("NATS_PASSWORD", "p");
    end(by_env).ok();
    let mut wrong = command(&server, &["--user", "u", "--password", "wrong", "pub", "a", "b"]);
    wrong.env("NATS_USER", "u").env("NATS_PASSWORD", "p");
    end(wrong).exits(4);
    let mut mixed = command(&server, &["--user", "u", "pub", "a", "b"]);
    mixed.env("NATS_PASSWORD", "p");
    end(mixed).ok();
    let mut url =
        bare(&["-s", &server.client_url(), "--user", "u", "--password", "p", "pub", "a", "b"]);
    url.env("NATS_URL", format!("127.0.0.1:{}", free_port()));
    end(url).ok();
}

#[test]
fn a_user_alone_is_a_token() {
    let server = Server::builder().token("tok").start_blocking().unwrap();
    run(&server, &["--user", "tok", "pub", "a", "b"]).ok();
    let mut by_env = command(&server, &["pub", "a", "b"]);
    by_env.env("NATS_TOKEN", "tok");
    end(by_env).ok();
}

// Shows U-090; a part of U-091.
#[test]
fn contexts_of_the_nats_tool_are_read() {
    let server = Server::builder().token("tok").start_blocking().unwrap();
    let home = tempfile::tempdir().unwrap();
    let contexts = home.path().join("nats/context");
    std::fs::create_dir_all(&contexts).unwrap();
    let context = serde_json::json!({"url": server.client_url(), "token": "tok", "unknown": 1});
    std::fs::write(contexts.join("prod.json"), context.to_string()).unwrap();
    let with = |arguments: &[&str]| {
        let mut command = bare(arguments);
        command.env("XDG_CONFIG_HOME", home.path());
        command
    };
    end(with(&["--context", "prod", "pub", "a", "b"])).ok();
    let mut by_env = with(&["pub", "a", "b"]);
    by_env.env("NATS_CONTEXT", "prod");
    end(by_env).ok();
    std::fs::write(home.path().join("nats/context.txt"), "prod").unwrap();
    end(with(&["pub", "a", "b"])).ok();
    let rtt = end(with(&["rtt", "1", "--json"])).ok().json();
    assert_eq!(rtt["server"], server.client_url());
    let dead = format!("127.0.0.1:{}", free_port());
    end(with(&["--no-context", "-s", &dead, "pub", "a", "b"])).exits(3);
    end(with(&["--context", "none", "pub", "a", "b"])).exits(2);
}

// Shows U-092.
#[test]
fn rtt_measures_each_address() {
    let server = server();
    let ended = run(&server, &["rtt", "2"]).ok();
    let url = server.client_url();
    assert!(ended.text().starts_with(&format!("{url}:\n\n  {url}: ")), "{ended:?}");
    let object = run(&server, &["rtt", "2", "--json"]).ok().json();
    assert_eq!((object["server"].as_str(), object["address"].as_str()), (Some(&*url), Some(&*url)));
    assert!(object["rtt_ns"].as_u64().unwrap() > 0);
    // A login in the address is used and not shown.
    let secured = Server::builder().user("u", "s3cr3t").start_blocking().unwrap();
    let url = secured.client_url().replace("nats://", "nats://u:s3cr3t@");
    let ended = run(&server, &["rtt", "1", "-s", &url]).ok();
    assert!(!ended.text().contains("s3cr3t"), "{ended:?}");
}

// Shows U-089.
#[test]
fn account_info_checks_the_connection() {
    let server = Server::builder().jetstream_in_memory().start_blocking().unwrap();
    let info = run(&server, &["account", "info"]).ok();
    for text in [
        "Connection Information:",
        "RTT: ",
        "Connected Address: 127.0.0.1:",
        "Streams: 0 of unlimited",
    ] {
        assert!(info.text().contains(text), "{text}: {info:?}");
    }
    let info = run(&server, &["account", "info", "--json"]).ok().json();
    assert_eq!(info["connection"]["server_id"], server.id());
    assert!(info["connection"]["rtt_ns"].as_u64().unwrap() > 0);
    assert!(info["jetstream"]["type"].as_str().unwrap().ends_with("account_info_response"));
    let without = Server::builder().start_blocking().unwrap();
    let info = run(&without, &["account", "info"]).ok();
    assert!(info.text().contains("JetStream is not enabled on this server"), "{info:?}");
    let info = run(&without, &["account", "info", "--json"]).ok().json();
    assert_eq!(info["jetstream_error"]["code"], "js.disabled");
}

#[test]
fn api_traffic_can_be_traced() {
    let ended = run(&server(), &["stream", "ls", "--trace"]).ok();
    assert!(ended.err.contains(">>> $JS.API.STREAM.LIST"), "{ended:?}");
    assert!(ended.err.contains("<<< {"), "{ended:?}");
}
