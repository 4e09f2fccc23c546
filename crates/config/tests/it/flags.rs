//! The command line.

use natterjack_config::Options;
use natterjack_config::flags::{Command, FlagError, Overrides, Signal, parse, usage};

fn run(line: &str) -> Result<Command, FlagError> {
    parse(line.split_whitespace().map(str::to_owned))
}

#[track_caller]
fn overrides(line: &str) -> Overrides {
    match run(line) {
        Ok(Command::Serve(overrides)) => overrides,
        other => panic!("{line}: {other:?}"),
    }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

// Shows U-076.
#[test]
fn each_flag_sets_its_option() {
    let default = Overrides::default;
    let debug_trace = Overrides { debug: Some(true), trace: Some(true), ..default() };
    for (lines, expected) in [
        (["-a h", "--addr h", "-net=h"], Overrides { host: text("h"), ..default() }),
        (["-p 1", "--port=1", "-port 1"], Overrides { port: Some(1), ..default() }),
        (["-p -1", "-p=-1", "--port -1"], Overrides { port: Some(0), ..default() }),
        (["-p 0", "", "--"], default()),
        (["-n x", "--name x", "-server_name=x"], Overrides { server_name: text("x"), ..default() }),
        (["-P f", "--pid f", "-pid=f"], Overrides { pid_file: text("f"), ..default() }),
        (
            ["--ports_file_dir d", "-ports_file_dir d", "-ports_file_dir=d"],
            Overrides { ports_file_dir: text("d"), ..default() },
        ),
        (
            ["--client_advertise a", "-client_advertise a", "-client_advertise=a"],
            Overrides { client_advertise: text("a"), ..default() },
        ),
        (
            ["-m 8222", "--http_port 8222", "-m=0x201e"],
            Overrides { http_port: Some(8222), ..default() },
        ),
        (["-c f", "--config f", "-config=f"], Overrides { config: text("f"), ..default() }),
        (["-l f", "--log f", "-log=f"], Overrides { log_file: text("f"), ..default() }),
        (["-T", "--logtime", "-T=1"], Overrides { logtime: Some(true), ..default() }),
        (["-T=false", "--logtime=F", "-T=0"], Overrides { logtime: Some(false), ..default() }),
        (
            ["--logtime_utc", "-logtime_utc", "-logtime_utc=TRUE"],
            Overrides { logtime_utc: Some(true), ..default() },
        ),
        (
            ["--log_size_limit 9", "-log_size_limit 9", "-log_size_limit=9"],
            Overrides { log_size_limit: Some(9), ..default() },
        ),
        (
            ["--max_traced_msg_len 9", "-max_traced_msg_len 9", "-max_traced_msg_len=9"],
            Overrides { max_traced_msg_len: Some(9), ..default() },
        ),
        (["-D", "--debug", "-debug=t"], Overrides { debug: Some(true), ..default() }),
        (["-V", "--trace", "-trace=t"], Overrides { trace: Some(true), ..default() }),
        (
            ["-VV", "--VV", "-VV=true"],
            Overrides { trace: Some(true), trace_verbose: Some(true), ..default() },
        ),
        (["-DV", "--DV", "-D -V"], debug_trace.clone()),
        (["-DVV", "--DVV", "-D -VV"], Overrides { trace_verbose: Some(true), ..debug_trace }),
        (["-js", "--jetstream", "-js=true"], Overrides { jetstream: Some(true), ..default() }),
        (["-sd d", "--store_dir d", "-sd=d"], Overrides { store_dir: text("d"), ..default() }),
        (
            ["--user u --pass=p", "-user u -pass p", "-user=u -pass=p"],
            Overrides { user: text("u"), pass: text("p"), ..default() },
        ),
        (["--auth t", "-auth t", "-auth=t"], Overrides { auth: text("t"), ..default() }),
    ] {
        for line in lines {
            assert_eq!(overrides(line), expected, "{line}");
        }
    }
}

#[test]
fn commands() {
    for line in ["-v", "--version", "version", "VERSION", "-p 1 version", "-v foo", "-V -v"] {
        assert_eq!(run(line), Ok(Command::Version), "{line}");
    }
    for line in ["-h", "--help", "help", "help x", "-js help"] {
        assert_eq!(run(line), Ok(Command::Help), "{line}");
    }
    assert_eq!(
        run("-t -c f -D"),
        Ok(Command::Check(Overrides {
            config: text("f"),
            debug: Some(true),
            ..Overrides::default()
        }))
    );
    for (line, signal, target) in [
        ("-sl ldm", Signal::LameDuck, None),
        ("--signal stop", Signal::Stop, None),
        ("-sl=quit", Signal::Quit, None),
        ("-sl term=12*", Signal::Term, text("12*")),
        ("--signal=reopen=/run/x.pid", Signal::Reopen, text("/run/x.pid")),
        ("-sl reload=", Signal::Reload, None),
    ] {
        assert_eq!(run(line), Ok(Command::Signal { signal, target }), "{line}");
    }
}

#[test]
fn errors_are_those_of_nats_server() {
    for (line, expected) in [
        ("-zzz", "flag provided but not defined: -zzz"),
        ("--zzz=1", "flag provided but not defined: -zzz"),
        ("-p", "flag needs an argument: -p"),
        ("--config", "flag needs an argument: -config"),
        ("-p abc", "invalid value \"abc\" for flag -p: parse error"),
        ("-p=", "invalid value \"\" for flag -p: parse error"),
        (
            "-p 99999999999999999999",
            "invalid value \"99999999999999999999\" for flag -p: value out of range",
        ),
        ("-D=x", "invalid boolean value \"x\" for -D: parse error"),
        ("---p 1", "bad flag syntax: ---p"),
        ("-=1", "bad flag syntax: -=1"),
    ] {
        let error = run(line).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.shows_usage() && error.exit_code() == 0, "{line}");
    }
    for (line, expected) in [
        ("foo", "unrecognized command: \"foo\""),
        ("foo -v", "unrecognized command: \"foo\""),
        ("-D foo version", "unrecognized command: \"foo\""),
        ("-- foo", "unrecognized command: \"foo\""),
        ("-", "unrecognized command: \"-\""),
        (
            "-js REM start the server",
            "unrecognized command: \"REM\"\na remark in a batch file must stand on a line of its \
             own, not after the command",
        ),
        (
            "/p 4222",
            "unrecognized command: \"/p\"\nflags start with a dash: -p 4222, --config FILE",
        ),
        ("/etc/nats.conf", "unrecognized command: \"/etc/nats.conf\""),
        ("-t", "must specify [-c, --config] option to check configuration file syntax"),
        ("-sl foo", "unknown signal \"foo\""),
        ("-sl LDM", "unknown signal \"LDM\""),
        ("-sl =1", "unknown signal \"\""),
        ("-p 70000", "port 70000 is not a port, -1 (any free one) to 65535"),
        ("-ms 70000", "https_port 70000 is not a port, -1 (any free one) to 65535"),
        ("--cluster nats://x:1", "flag -cluster is not supported yet"),
        ("--routes nats://x:1", "flag -routes is not supported yet"),
    ] {
        let error = run(line).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!error.shows_usage() && error.exit_code() == 1, "{line}");
    }
}

#[test]
fn flags_without_effect_say_so() {
    let parsed = overrides("-tls=false --connect_retries 5");
    assert_eq!(parsed.warnings, ["flag -connect_retries is not supported yet and has no effect"]);
    let mut options = Options::default();
    parsed.apply(&mut options);
    assert_eq!(options.warnings[0].to_string(), parsed.warnings[0]);
}

#[test]
fn flags_win_over_the_file() {
    let source = natterjack_config::language::NoSource;
    let file = "port: 1111, host: a, debug: true, server_name: x, jetstream {store_dir: \"/f\"}";
    let mut options = Options::parse(file, "C", &source).unwrap();
    overrides("-p 2222 -D=false -sd /flag -m -1").apply(&mut options);
    assert_eq!(options.port, 2222);
    assert_eq!(options.host.as_deref(), Some("a"));
    assert!(!options.debug);
    assert_eq!(options.server_name.as_deref(), Some("x"));
    assert!(options.jetstream.enabled);
    assert_eq!(options.jetstream.store_dir.as_deref(), Some("/flag"));
    assert_eq!(options.http_port, Some(0));

    let users = "authorization {users [{user a, password b}]}";
    let mut options = Options::parse(users, "C", &source).unwrap();
    overrides("--auth t").apply(&mut options);
    assert_eq!(
        options.validate().unwrap_err().to_string(),
        "Can not have a token and a users array"
    );
}

#[test]
fn usage_names_the_program_and_every_group() {
    let text = usage("natterjack serve");
    assert!(text.starts_with("\nUsage: natterjack serve [options]\n"));
    for group in ["Server", "Logging", "JetStream", "Authorization", "Common"] {
        assert!(text.contains(&format!("\n{group} Options:\n")), "{group}");
    }
    assert!(text.lines().all(|line| line.len() <= 105));
}

#[test]
fn tls_flags_make_a_tls_block() {
    let mut options = Options::default();
    overrides("--tlsverify --tlscert c --tlskey k --tlscacert a -ms 8443").apply(&mut options);
    let tls = options.tls.unwrap();
    assert_eq!(
        (tls.certificates[0].certificate.as_str(), tls.certificates[0].key.as_str()),
        ("c", "k")
    );
    assert!(tls.verify && tls.ca_file.as_deref() == Some("a"));
    assert_eq!(options.https_port, Some(8443));
    let mut options = Options::default();
    overrides("--tls").apply(&mut options);
    let error = options.validate().unwrap_err();
    assert_eq!(error.to_string(), "TLS Server certificate must be present and valid");
    let mut options = Options::default();
    overrides("-tls=false").apply(&mut options);
    assert_eq!(options.tls, None);
    assert!(matches!(run("--help_tls"), Ok(Command::HelpTls)));
}
