//! Servers that are away, silent, or refuse: what is told, and that nothing waits for ever.

use std::time::Duration;

use natterjack::error::ConnectError;
use natterjack::testing::server_with;
use natterjack::{
    Auth, Backoff, CloseReason, Connector, Event, EventStream, FirstConnect, HealthLevel,
    Reconnect, ServerOrder, millis, secs,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::operator::Operator;
use crate::peer::{Peer, Says};
use crate::{PATIENCE, builder, event, server};

/// A wait that no test could sit out: whatever ends does so for another reason.
const NEVER: Duration = secs(3600);

/// Waits announced before attempts to reconnect.
async fn waits(events: &mut EventStream, count: usize) -> Vec<Duration> {
    let mut waits = Vec::new();
    while waits.len() < count {
        waits.push(
            event(events, |e| match e {
                Event::ReconnectFailed { retry_in, .. } => retry_in,
                _ => None,
            })
            .await,
        );
    }
    waits
}

// Shows U-006.
#[tokio::test]
async fn waits_grow_with_jitter_up_to_the_maximum_and_begin_anew_after_a_success() {
    let mut server = server().await;
    let backoff = Backoff::exponential(millis(10), millis(80));
    let connector = Connector::builder()
        .server(server.url())
        .backoff(backoff)
        .reconnect(Reconnect::Forever)
        .build()
        .await
        .unwrap();
    let mut events = connector.events();
    for _ in 0..2 {
        server.stop().await;
        let seen = waits(&mut events, 12).await;
        let full = [10, 20, 40].into_iter().chain(std::iter::repeat(80)).map(millis);
        for (wait, full) in seen.iter().zip(full) {
            assert!(*wait <= full && *wait >= full.mul_f64(0.79), "{wait:?} of {full:?}");
        }
        assert!(seen[3..].iter().any(|wait| *wait != seen[3]), "no jitter: {seen:?}");
        server.start().await.unwrap();
        event(&mut events, |e| matches!(e, Event::Reconnected { .. }).then_some(())).await;
    }
    connector.close().await.unwrap();
}

// Shows U-023.
#[tokio::test]
async fn a_life_with_a_restart_is_told_in_order_with_the_names_of_servers() {
    let mut server = server().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let on_event = move |event: Event| {
        let tell = tell.clone();
        async move { tell.send(event).unwrap() }
    };
    let connector = builder(server.url()).on_event(on_event).build().await.unwrap();
    let label = server.url().replace("nats://", "");
    server.stop().await;
    let (mut names, mut kinds) = (Vec::new(), Vec::new());
    let mut reason = None;
    while let Some(event) = told.recv().await {
        let (kind, name) = match event {
            Event::Connected { server, .. } => ("connected", Some(server)),
            Event::Disconnected { server, reason: why } => {
                reason = Some(why);
                ("disconnected", Some(server))
            }
            Event::ReconnectFailed { server: name, .. } => {
                server.start().await.unwrap();
                ("failed", Some(name))
            }
            Event::Reconnected { server, .. } => {
                let connector = connector.clone();
                tokio::spawn(async move { connector.drain().await });
                ("reconnected", Some(server))
            }
            Event::Draining { .. } => ("draining", None),
            Event::Closed { reason } => {
                assert_eq!(reason, CloseReason::Drained);
                ("closed", None)
            }
            other => panic!("{other}"),
        };
        names.extend(name);
        kinds.push(kind);
    }
    kinds.dedup();
    let wanted = ["connected", "disconnected", "failed", "reconnected", "draining", "closed"];
    assert_eq!(kinds, wanted);
    assert_eq!(reason, Some(natterjack::DisconnectReason::PeerClosed));
    assert!(names.iter().all(|name| *name == label), "{names:?}");
}

// Shows U-018.
#[tokio::test]
async fn no_call_waits_past_its_timeout_while_there_is_no_server() {
    let mut server = server().await;
    let soon = millis(20);
    let connector = builder(server.url())
        .request_timeout(soon)
        .publish_timeout(soon)
        .connect_timeout(NEVER)
        .ping_interval(NEVER)
        .build()
        .await
        .unwrap();
    let patient = connector.jetstream().timeout(PATIENCE);
    patient.kv::<u32>("B").ensure().await.unwrap();
    patient.stream("S").subjects(["s"]).ensure().await.unwrap();
    let js = connector.jetstream();
    // Asked until the server is quick enough for once.
    let kv = async {
        loop {
            if let Ok(kv) = js.kv::<u32>("B").get().await {
                return kv;
            }
        }
    };
    let kv = tokio::time::timeout(PATIENCE, kv).await.expect("the server answers");
    server.stop().await;
    crate::state(&connector, |s| matches!(s, natterjack::ConnState::Reconnecting { .. })).await;
    let ends = async {
        connector.flush(soon).await.unwrap_err();
        connector.barrier(soon).await.unwrap_err();
        connector.rtt().await.unwrap_err();
        connector.request::<_, u32>("a", &1).await.unwrap_err();
        connector.ask("a").timeout(soon).send::<_, u32>(&1).await.unwrap_err();
        connector.to("a").confirmed().send(&1).await.unwrap_err();
        js.publish("s", &1).await.unwrap_err();
        js.stream("S").get().await.unwrap_err();
        kv.get("a").await.unwrap_err();
        kv.put("a", &1).await.unwrap_err();
        kv.keys(">").await.unwrap_err();
        assert_eq!(connector.health(soon).await.level, HealthLevel::Down);
    };
    tokio::time::timeout(PATIENCE, ends).await.expect("a call waits for the server");
}

// Shows U-057.
#[tokio::test]
async fn health_tells_a_silent_server_from_none_and_keeps_its_limit() {
    let peer = Peer::start(Says::Welcome).await;
    let connector = builder(peer.url.clone())
        .ping_interval(NEVER)
        .request_timeout(NEVER)
        .build()
        .await
        .unwrap();
    assert_eq!(connector.health(PATIENCE).await.level, HealthLevel::Up);
    peer.freeze();
    let health = tokio::time::timeout(PATIENCE, connector.health(millis(20))).await.unwrap();
    assert_eq!((health.level, health.rtt), (HealthLevel::Degraded, None));
}

/// A port whose listener takes no connection: what is sent there gets no answer.
async fn black_hole() -> (TcpListener, TcpStream, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Room for one, which is taken.
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    (listener, first, address.to_string())
}

// Shows U-008.
#[tokio::test]
async fn the_deadline_bounds_the_whole_of_a_connect_into_black_holes() {
    let (one, two) = (black_hole().await, black_hole().await);
    let build = Connector::builder()
        .servers([one.2.clone(), two.2.clone()])
        .server_order(ServerOrder::AsGiven)
        .connect_timeout(NEVER)
        .connect_deadline(millis(50))
        .build();
    let error = tokio::time::timeout(PATIENCE, build).await.expect("an end").unwrap_err();
    let ConnectError::Unreachable(unreachable) = &error else { panic!("{error}") };
    assert!(error.to_string().contains("no answer within the deadline"), "{error}");
    assert!(!unreachable.tried.is_empty());
}

// Shows U-010.
#[tokio::test]
async fn each_wrong_login_is_denied_at_once_and_not_tried_again() {
    let (right, wrong) = (Operator::new(), Operator::new());
    let pair = nkeys::KeyPair::new_user();
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    let users = format!("authorization {{ users = [ {{ nkey: {} }} ] }}", pair.public_key());
    let closed = [
        (server_with(|server| server.token("t")).await.unwrap(), Auth::token("wrong")),
        (server_with(|s| s.user("u", "p")).await.unwrap(), Auth::user_password("u", "wrong")),
        (server_with(|s| s.config(&users).unwrap()).await.unwrap(), Auth::nkey_seed(seed)),
        (
            server_with(|s| s.config(&right.config).unwrap()).await.unwrap(),
            Auth::creds_text(wrong.creds),
        ),
    ];
    for (server, auth) in closed {
        // If it were tried again, that would be an hour later.
        let patient = FirstConnect::RetryFor(NEVER);
        let connector = Connector::builder().server(server.url()).auth(auth);
        let denied = connector.backoff(Backoff::fixed(NEVER)).first_connect(patient).build();
        let error = tokio::time::timeout(PATIENCE, denied).await.expect("no wait").unwrap_err();
        assert!(matches!(error, ConnectError::AuthDenied(_)), "{error}");
    }
}

// Shows U-013.
#[tokio::test]
async fn credentials_in_the_shapes_that_occur_connect() {
    let operator = Operator::new();
    let server = server_with(|server| server.config(&operator.config).unwrap()).await.unwrap();
    let text = operator.creds;
    let lines: Vec<&str> = text.lines().collect();
    let no_banner = [&lines[0..3], &lines[8..11]].concat().join("\n");
    for shape in [text.clone(), text.trim_end().to_owned(), text.replace('\n', "\r\n"), no_banner] {
        let connector = builder(server.url()).auth(Auth::creds_text(shape)).build().await.unwrap();
        connector.barrier(PATIENCE).await.unwrap();
        connector.close().await.unwrap();
    }
}

// Shows U-014.
#[tokio::test]
async fn a_credentials_file_that_was_replaced_is_used_at_the_next_reconnect() {
    let (old, new) = (Operator::new(), Operator::new());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("user.creds");
    std::fs::write(&path, &old.creds).unwrap();
    let config = |text: &str| format!("{text}\n");
    let mut server = server_with(|s| s.config(&config(&old.config)).unwrap()).await.unwrap();
    let connector = builder(server.url()).auth(Auth::creds_file(&path)).build().await.unwrap();
    let mut events = connector.events();
    server.stop().await;
    std::fs::write(&path, &new.creds).unwrap();
    // Nobody whom the old operator let in may come back.
    server.start_with(|s| s.config(&config(&new.config)).unwrap()).await.unwrap();
    event(&mut events, |e| matches!(e, Event::Reconnected { .. }).then_some(())).await;
    connector.barrier(PATIENCE).await.unwrap();
    connector.close().await.unwrap();
}

// Shows U-030.
#[tokio::test]
async fn servers_that_are_learned_at_a_reconnect_are_told() {
    let peer = Peer::start(Says::Welcome).await;
    let connector = builder(peer.url.clone()).build().await.unwrap();
    let mut events = connector.events();
    peer.announce("127.0.0.1:9");
    connector.reconnect_now().await;
    let changed = event(&mut events, |e| match e {
        Event::ServersChanged { added, removed } => Some((added, removed)),
        _ => None,
    });
    assert_eq!(changed.await, (vec!["127.0.0.1:9".to_owned()], vec![]));
    connector.close().await.unwrap();
}
