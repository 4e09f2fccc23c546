//! What is drawn on small and large terminals, what keys do, and what becomes of a lost server.

use std::time::Instant;

use natterjack_server::Server;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::keys::Action;
use super::model::{Model, Tab};
use super::source::{Sample, Source, Wish};
use super::view;
use crate::connect::Context;
use crate::exit::{Failure, status};
use crate::plot;

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

fn screen(model: &Model, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, model)).unwrap();
    plot::text(terminal.backend().buffer())
}

fn sample(at: Instant, messages: u64) -> Sample {
    let connection = |cid: u64, name: &str, subs: u64| {
        json!({"cid": cid, "name": name, "ip": "127.0.0.1", "port": 1000 + cid, "subscriptions": subs,
            "pending_bytes": 2048, "in_msgs": cid * 10, "out_msgs": 5, "in_bytes": 4096,
            "out_bytes": 1, "uptime": "3m", "start": format!("2026-01-31T12:00:0{cid}Z"),
            "account": "APP", "lang": "rust", "version": "0.51.0", "rtt": "1.5ms",
            "subscriptions_list": ["orders.>"]})
    };
    let consumer = |name: &str, pending: u64, waiting: u64| {
        json!({"stream_name": "ORDERS", "name": name, "num_pending": pending, "num_waiting": waiting,
            "num_ack_pending": 0, "num_redelivered": 0, "delivered": {"stream_seq": 9},
            "ack_floor": {"stream_seq": 8}})
    };
    let stream = json!({"name": "ORDERS", "state": {"messages": 1234, "bytes": 1 << 20,
        "first_seq": 1, "last_seq": messages, "consumer_count": 2},
        "config": {"storage": "file", "subjects": ["orders.>"]},
        "consumer_detail": [consumer("idle", 0, 0), consumer("slow", 7, 1), consumer("gone", 9, 0)]});
    Sample {
        at,
        varz: json!({"server_name": "one", "server_id": "NX", "version": "2.15.1", "uptime": "3m",
            "connections": 3, "max_connections": 65536, "in_msgs": messages, "out_msgs": 2 * messages,
            "in_bytes": messages * 100, "out_bytes": 0, "mem": 11 << 20, "cpu": 1.5}),
        connz: json!({"connections": [connection(1, "alpha", 2), connection(2, "beta", 9),
            connection(3, "gamma\x1b[31m", 4)]}),
        jsz: json!({"streams": 1, "consumers": 3, "messages": 1234,
            "account_details": [{"name": "APP", "stream_detail": [stream]}]}),
    }
}

fn model() -> Model {
    let mut model = Model::new(Tab::Connections);
    let begin = Instant::now();
    model.apply(Ok(sample(begin, 1000)), begin);
    let later = begin + std::time::Duration::from_secs(2);
    model.apply(Ok(sample(later, 3000)), later);
    model
}

fn press(model: &mut Model, keys: &str) -> Action {
    let mut last = Action::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\x1b' => KeyCode::Esc,
            '↓' => KeyCode::Down,
            key => KeyCode::Char(key),
        };
        last = model.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    last
}

/// The names of the connections, from top to bottom.
fn order(model: &Model) -> Vec<String> {
    model.rows().iter().map(|row| row.cells[1].chars().take(5).collect()).collect()
}

// Shows U-103.
#[test]
fn each_tab_is_drawn_on_small_and_large_terminals() {
    for size in SIZES {
        let mut model = model();
        let lines = |model: &Model| -> Vec<String> {
            screen(model, size).lines().map(str::to_owned).collect()
        };
        let shown = lines(&model);
        assert_eq!(shown.len(), usize::from(size.1));
        assert!(shown[0].starts_with("one  v2.15.1  up 3m"), "{shown:?}");
        assert!(shown[1].contains("1 Server") && shown[1].contains("4 Consumers"), "{shown:?}");
        assert!(shown[2].contains("CID▲") && shown[2].contains("MSGS FROM"), "{shown:?}");
        assert!(shown[3].contains("alpha") && shown[3].contains("127.0.0.1:1001"), "{shown:?}");
        // What a client calls itself is text.
        assert!(shown[5].contains("gamma\u{fffd}[31m"), "{shown:?}");
        assert!(shown.last().unwrap().contains("? help"), "{shown:?}");
        // Only the large one has room for all of it.
        assert_eq!(shown[2].contains("LAST ACTIVITY"), size.0 == 200, "{shown:?}");
        press(&mut model, "1");
        let shown = screen(&model, size);
        for text in
            ["Connections: 3 of 65,536", "1,000 msgs/s", "in msgs/s, at most 1,000", "1 streams"]
        {
            assert!(shown.contains(text), "{text}: {shown}");
        }
        // A sparkline that rises to its height.
        assert!(shown.contains('█'), "{shown}");
        press(&mut model, "3");
        let shown = screen(&model, size);
        assert!(shown.contains("ORDERS") && shown.contains("MSGS/S"), "{shown}");
        assert!(shown.contains("1,000"), "messages per second of the stream: {shown}");
        press(&mut model, "\t");
        let shown = lines(&model);
        assert!(shown[2].contains("LAG▼"), "{shown:?}");
        for (line, name, state) in
            [(3, "gone", "stalled"), (4, "slow", "behind"), (5, "idle", "ok")]
        {
            assert!(shown[line].contains(name) && shown[line].contains(state), "{shown:?}");
        }
    }
}

// Shows U-103.
#[test]
fn rows_are_sorted_filtered_and_shown_in_full() {
    let mut model = model();
    assert_eq!(order(&model), ["alpha", "beta", "gamma"]);
    press(&mut model, "osubs\n");
    assert_eq!(order(&model), ["beta", "gamma", "alpha"]);
    press(&mut model, "osubs\n");
    assert_eq!(order(&model), ["alpha", "gamma", "beta"]);
    press(&mut model, "R");
    assert_eq!(order(&model), ["beta", "gamma", "alpha"]);
    press(&mut model, "<");
    press(&mut model, "<");
    assert!(screen(&model, (80, 24)).contains("NAME▼"));
    press(&mut model, "oodd\n");
    assert!(screen(&model, (80, 24)).contains("no column is called `odd`"));
    press(&mut model, "/bet\n");
    assert_eq!(order(&model), ["beta"]);
    press(&mut model, "\x1b");
    assert_eq!(order(&model).len(), 3);
    press(&mut model, "ocid\n");
    press(&mut model, "R↓");
    let shown = screen(&model, (80, 24));
    press(&mut model, "\n");
    let detail = screen(&model, (80, 24));
    assert!(detail.contains("\"name\": \"beta\""), "{shown} {detail}");
    press(&mut model, "\x1b");
    press(&mut model, "b");
    let shown = screen(&model, (200, 60));
    assert!(shown.contains(" 2048 ") && shown.contains(" 4096 "), "{shown}");
    assert_eq!(press(&mut model, "n7\n"), Action::Refresh);
    assert_eq!(model.wish().limit, 7);
    assert_eq!(press(&mut model, "s"), Action::Refresh);
    assert!(model.wish().subscriptions);
    // Only after it was said twice.
    press(&mut model, "k");
    assert!(screen(&model, (80, 24)).contains("close connection 2? y/n"));
    assert_eq!(press(&mut model, "n"), Action::Nothing);
    press(&mut model, "k");
    assert_eq!(press(&mut model, "y"), Action::Kick(2));
}

// Shows U-103.
#[test]
fn it_can_be_paused_helped_and_left() {
    let mut model = model();
    press(&mut model, " ");
    assert!(model.paused && screen(&model, (80, 24)).contains("PAUSED"));
    assert_eq!(press(&mut model, " "), Action::Refresh);
    press(&mut model, "?");
    let help = screen(&model, (80, 24));
    for text in ["Keys", "sort by a column", "pause, and go on", "q, Ctrl-C"] {
        assert!(help.contains(text), "{text}: {help}");
    }
    // Any key leaves the help, and does nothing else.
    assert_eq!(press(&mut model, "q"), Action::Nothing);
    assert!(!model.help);
    assert_eq!(press(&mut model, "q"), Action::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.key(interrupt), Action::Quit);
}

// Shows U-103.
#[test]
fn a_lost_server_is_a_banner_over_what_was_known() {
    let mut model = model();
    let now = Instant::now();
    let gone = || Err(Failure::new(status::FAILED, "monitor.unreachable", "connection refused"));
    model.apply(gone(), now);
    for size in SIZES {
        let shown = screen(&model, size);
        assert!(shown.contains("server lost ") && shown.contains("connection refused"), "{shown}");
        assert!(shown.contains("alpha"), "{shown}");
    }
    // Another process: its counters begin anew.
    let mut again = sample(now, 10);
    again.varz["server_id"] = "NY".into();
    model.apply(Ok(again), now);
    assert!(!screen(&model, (80, 24)).contains("server lost"));
    assert_eq!(model.rates.in_msgs, 0.0);
}

// Shows U-103.
#[tokio::test]
async fn a_server_is_asked_again_after_its_restart() {
    let context = Context::for_tests();
    let with_port = |port: u16| {
        let text = format!("http: \"127.0.0.1:{}\"", if port == 0 { -1 } else { i32::from(port) });
        Server::builder().config(&text).unwrap().name("one").jetstream_in_memory()
    };
    let server = with_port(0).start().await.unwrap();
    let url = server.monitor_url().unwrap();
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let source = Source::open(&context, Some(&url)).await.unwrap();
    let wish = Wish { limit: 10, subscriptions: false };
    let mut model = Model::new(Tab::Server);
    let mut look = async || {
        model.apply(source.sample(&context, &wish).await, Instant::now());
        (model.lost.is_some(), model.sample.clone().map(|sample| sample.varz))
    };
    let (lost, first) = look().await;
    assert!(!lost);
    assert_eq!(first.as_ref().unwrap()["server_name"], Value::from("one"));
    server.shutdown().await;
    let (lost, known) = look().await;
    assert!(lost);
    assert_eq!(known, first);
    let server = with_port(port).start().await.unwrap();
    let (lost, second) = look().await;
    assert!(!lost);
    assert_ne!(second.unwrap()["server_id"], first.unwrap()["server_id"]);
    server.shutdown().await;
}
