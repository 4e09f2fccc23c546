//! Where server and login come from: options, environment, contexts.

use natterjack_server::Server;

use super::{bare, command, end, nobody, run, server};

// Shows U-091.
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
    url.env("NATS_URL", nobody());
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

// Shows U-090, U-091.
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
    let dead = nobody();
    end(with(&["--no-context", "-s", &dead, "pub", "a", "b"])).exits(3);
    let none = end(with(&["--context", "none", "pub", "a", "b"])).exits(2);
    assert!(none.err.contains("context none not found"), "{none:?}");
    std::fs::write(home.path().join("nats/context.txt"), "gone").unwrap();
    let gone = end(with(&["pub", "a", "b"])).exits(2);
    assert!(gone.err.contains("natterjack context unselect"), "{gone:?}");
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

/// Runs a verb three times: with options, variables and a selected context that say different things;
/// without the options; and with the context alone. `values` are what each says, in this order.
fn three(
    [options, variables, keys]: [&[&str]; 3],
    values: [&[&str]; 3],
    url: &str,
    verb: &[&str],
) -> [super::Ended; 3] {
    let home = tempfile::tempdir().unwrap();
    let contexts = home.path().join("nats/context");
    std::fs::create_dir_all(&contexts).unwrap();
    let mut context = serde_json::json!({"url": url});
    for (key, value) in keys.iter().zip(values[2]) {
        context[key] = (*value).into();
    }
    std::fs::write(contexts.join("c.json"), context.to_string()).unwrap();
    std::fs::write(home.path().join("nats/context.txt"), "c").unwrap();
    [0, 1, 2].map(|weaker| {
        let mut arguments = verb.to_vec();
        if weaker == 0 {
            arguments.extend(options.iter().zip(values[0]).flat_map(|(a, b)| [*a, *b]));
        }
        let mut command = bare(&arguments);
        if weaker <= 1 {
            command.envs(variables.iter().zip(values[1]));
        }
        end({
            command.env("XDG_CONFIG_HOME", home.path());
            command
        })
    })
}

// Shows U-091.
#[test]
fn options_beat_variables_and_those_the_context_in_files_and_prefixes() {
    let server = server();
    let values = [&["/option", "/option"][..], &["/variable", "/variable"], &["/context"; 2]];
    // What a missing file is called shows which one was looked for.
    for places in [
        [&["--creds"][..], &["NATS_CREDS"], &["creds"]],
        [&["--nkey"], &["NATS_NKEY"], &["nkey"]],
        [&["--tlsca"], &["NATS_CA"], &["ca"]],
        [&["--tlscert", "--tlskey"], &["NATS_CERT", "NATS_KEY"], &["cert", "key"]],
    ] {
        let ended = three(places, values, &server.client_url(), &["pub", "a", "b"]);
        for (ended, value) in ended.iter().zip(values) {
            assert!(ended.code != Some(0) && ended.err.contains(value[0]), "{places:?}: {ended:?}");
        }
    }
    // These have no variables.
    let values = [&["option"][..], &[], &["context"]];
    for (places, verb, shown) in [
        (["--inbox-prefix", "inbox_prefix"], &["sub", "--inbox", "--wait", "1ms"][..], "on {}."),
        (["--js-domain", "jetstream_domain"], &["stream", "ls", "--trace"], "$JS.{}.API."),
        (["--js-api-prefix", "jetstream_api_prefix"], &["stream", "ls", "--trace"], ">>> {}."),
    ] {
        let places = [&places[..1], &[], &places[1..]];
        let [option, _, context] = three(places, values, &server.client_url(), verb);
        assert!(option.err.contains(&shown.replace("{}", "option")), "{option:?}");
        assert!(context.err.contains(&shown.replace("{}", "context")), "{context:?}");
    }
    let mut soon = command(&server, &["pub", "a", "b"]);
    soon.env("NATS_TIMEOUT", "soon");
    end(soon).exits(2);
    let mut given = command(&server, &["pub", "a", "b", "--timeout", "1m"]);
    given.env("NATS_TIMEOUT", "soon");
    end(given).ok();
}

// Shows U-091.
#[test]
fn options_beat_variables_and_those_the_context_in_logins() {
    let users: String = ["option", "variable", "context"]
        .map(|name| format!("{{ user: {name}, password: {name} }}"))
        .join(", ");
    let config = format!("authorization {{ users = [ {users} ] }}");
    let server = Server::builder().config(&config).unwrap().start_blocking().unwrap();
    let who = |ended: super::Ended| ended.ok().json()["user"]["user"].as_str().unwrap().to_owned();
    let info = ["account", "info", "--json"];
    let places =
        [&["--user", "--password"][..], &["NATS_USER", "NATS_PASSWORD"], &["user", "password"]];
    let values = [&["option"; 2][..], &["variable"; 2], &["context"; 2]];
    let seen = three(places, values, &server.client_url(), &info).map(who);
    assert_eq!(seen, ["option", "variable", "context"]);
    // Three users with a JWT and a seed.
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("demo");
    end(bare(&["auth", "quick", made.to_str().unwrap(), "-q"])).ok();
    let server = super::start_quick(&made);
    let files = ["demo", "admin", "sys"].map(|name| made.join(format!("{name}.creds")));
    let texts = files.each_ref().map(|file| std::fs::read_to_string(file).unwrap());
    let lines = texts.each_ref().map(|text| text.lines().collect::<Vec<_>>());
    let values = lines.each_ref().map(|lines| [lines[1], lines[9]]);
    let places = [&["--jwt", "--seed"][..], &["NATS_JWT", "NATS_SEED"], &["user_jwt", "user_seed"]];
    let seen =
        three(places, values.each_ref().map(|value| &value[..]), &server.client_url(), &info);
    let wanted = files.map(|file| {
        who(run(&server, &["account", "info", "--json", "--creds", file.to_str().unwrap()]))
    });
    assert_eq!(seen.map(who), wanted);
}

// Shows U-091.
#[test]
fn options_beat_variables_and_those_the_context_in_servers_and_tokens() {
    let server = Server::builder().token("right").start_blocking().unwrap();
    let url = server.client_url();
    let codes = |places, values: [&str; 3]| {
        let values = values.each_ref().map(std::slice::from_ref);
        three(places, values, &url, &["pub", "a", "b"]).map(|ended| ended.code.unwrap())
    };
    let token = [&["--token"][..], &["NATS_TOKEN"], &["token"]];
    assert_eq!(codes(token, ["right", "wrong", "wrong"]), [0, 4, 4]);
    assert_eq!(codes(token, ["wrong", "right", "wrong"]), [4, 0, 4]);
    assert_eq!(codes(token, ["wrong", "wrong", "right"]), [4, 4, 0]);
    let login = url.replace("nats://", "nats://right@");
    let dead = nobody();
    let address = [&["--server"][..], &["NATS_URL"], &["url"]];
    assert_eq!(codes(address, [&login, &dead, &dead]), [0, 3, 3]);
    assert_eq!(codes(address, [&dead, &login, &dead]), [3, 0, 3]);
    assert_eq!(codes(address, [&dead, &dead, &login]), [3, 3, 0]);
}

/// Takes connections, as a SOCKS5 proxy with a login does, and says where they went.
fn proxy() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("socks5://me:s3cret@{}", listener.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, tell) = (client.unwrap(), tell.clone());
            std::thread::spawn(move || pass_on(&client, &tell));
        }
    });
    (url, told)
}

/// Version and methods; name and password (RFC 1928, RFC 1929).
fn pass_on(mut client: &std::net::TcpStream, tell: &std::sync::mpsc::Sender<String>) {
    use std::io::{Read as _, Write as _};
    let mut from = client;
    let mut take = |count: u8| {
        let mut bytes = vec![0; count.into()];
        from.read_exact(&mut bytes).unwrap();
        bytes
    };
    let methods = take(2)[1];
    take(methods);
    client.write_all(&[5, 2]).unwrap();
    let user = take(2)[1];
    let user = take(user);
    let password = take(1)[0];
    let password = take(password);
    assert_eq!((&user[..], &password[..]), (&b"me"[..], &b"s3cret"[..]));
    client.write_all(&[1, 0]).unwrap();
    let host = match take(4)[3] {
        1 => take(4).iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        _ => {
            let length = take(1)[0];
            String::from_utf8(take(length)).unwrap()
        }
    };
    let port = take(2);
    let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
    let mut server = std::net::TcpStream::connect(&target).unwrap();
    tell.send(target).unwrap();
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    let (mut up, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut up, &mut to_server));
    let _ = std::io::copy(&mut server, &mut client);
}

#[test]
fn servers_are_reached_through_a_proxy() {
    let server = server();
    let (url, told) = proxy();
    let address = server.client_url().replace("nats://", "");
    run(&server, &["pub", "a", "b", "--socks-proxy", &url]).ok();
    assert_eq!(told.recv().unwrap(), address);
    let mut by_env = command(&server, &["rtt", "1", "--json"]);
    by_env.env("NATS_SOCKS_PROXY", &url);
    assert_eq!(end(by_env).ok().lines().len(), 1);
    assert_eq!(told.recv().unwrap(), address);
    let gone = format!("socks5://{}", nobody());
    run(&server, &["pub", "a", "b", "--socks-proxy", &gone]).exits(3);
    run(&server, &["pub", "a", "b", "--socks-proxy", "http://x"]).exits(2);
}
