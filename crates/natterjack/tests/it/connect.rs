//! Making, losing and ending connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use natterjack::error::{ConnectError, Error, PublishError};
use natterjack::testing::server_with;
use natterjack::{
    Auth, CloseReason, ConnState, Connector, DisconnectReason, Event, FirstConnect, HealthLevel,
    Offline, Reconnect, ServerOrder, Tls, kib, millis, secs,
};

use crate::peer::{Peer, Says};
use crate::{PATIENCE, builder, connect, event, server, state};

/// A port that nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

// Shows U-001, U-057.
#[tokio::test]
async fn a_connection_has_state_round_trip_and_server() {
    let server = server().await;
    let connector = Connector::connect(server.url()).await.unwrap();
    assert_eq!(connector.state(), ConnState::Connected);
    assert!(connector.rtt().await.unwrap() > Duration::ZERO);
    let id = connector.server().unwrap();
    assert!(id.jetstream && id.version.starts_with("2."), "{id:?}");
    let health = connector.health(secs(5)).await;
    assert_eq!((health.level, health.state), (HealthLevel::Up, ConnState::Connected));
    connector.close().await.unwrap();
    assert_eq!(connector.health(secs(5)).await.level, HealthLevel::Down);
}

// Shows U-003.
#[tokio::test]
async fn a_long_backoff_does_not_delay_the_first_connect() {
    let server = server().await;
    let backoff = natterjack::Backoff::fixed(secs(600));
    let build = Connector::builder().server(server.url()).backoff(backoff).build();
    let connector = tokio::time::timeout(PATIENCE, build).await.expect("no wait").unwrap();
    connector.close().await.unwrap();
}

// Shows U-009.
#[tokio::test]
async fn an_unreachable_pool_names_each_server_with_its_own_reason() {
    let (a, b) = (nobody(), nobody());
    let pool = [a.clone(), b.clone(), "nosuch.invalid".into()];
    let error = Connector::builder()
        .servers(pool)
        .server_order(ServerOrder::AsGiven)
        .build()
        .await
        .unwrap_err();
    let ConnectError::Unreachable(unreachable) = &error else { panic!("{error}") };
    let tried: Vec<(&str, &str)> =
        unreachable.tried.iter().map(|t| (t.server.as_str(), t.why.as_str())).collect();
    assert_eq!(
        tried,
        [
            (a.as_str(), "connection refused"),
            (b.as_str(), "connection refused"),
            ("nosuch.invalid:4222", "cannot resolve nosuch.invalid")
        ]
    );
    assert_eq!(
        (error.code(), error.retryable(), error.exit_code()),
        ("connect.unreachable", true, 3)
    );
}

// Shows U-008.
#[tokio::test]
async fn the_deadline_ends_a_connect_that_nobody_answers() {
    let peer = Peer::start(Says::Nothing).await;
    let error = builder(peer.url.clone()).connect_deadline(millis(50)).build().await.unwrap_err();
    assert!(error.to_string().ends_with("(no answer within the deadline)"), "{error}");
}

// Shows U-010.
#[tokio::test]
async fn a_refused_login_is_an_error_at_once_and_shows_no_secret() {
    let server = server_with(|server| server.token("right")).await.unwrap();
    let wrong = || builder(server.url()).auth(Auth::token("wr0ng"));
    // Without retry, and with: neither goes on in the background.
    for policy in [FirstConnect::FailFast, FirstConnect::RetryFor(secs(600))] {
        let error = wrong().first_connect(policy).build().await.unwrap_err();
        let ConnectError::AuthDenied(denied) = &error else { panic!("{error}") };
        assert_eq!(denied.method, "token");
        assert_eq!((error.code(), error.retryable(), error.exit_code()), ("auth.denied", false, 4));
        assert!(!format!("{error} {error:?}").contains("wr0ng"));
    }
    let error = builder(server.url()).build().await.unwrap_err();
    assert!(error.to_string().contains("asks for a login"), "{error}");
    let ok = builder(server.url()).auth(Auth::token("right")).build().await.unwrap();
    ok.close().await.unwrap();
}

#[tokio::test]
async fn user_information_in_the_address_logs_in() {
    let server = server_with(|server| server.user("derek", "p@ss")).await.unwrap();
    let url = server.url().replace("nats://", "nats://derek:p%40ss@");
    let connector = Connector::connect(url).await.unwrap();
    assert_eq!(connector.effective_options().login, "user and password");
    assert!(!format!("{connector:?} {:?}", connector.effective_options()).contains("p@ss"));
    connector.close().await.unwrap();
}

#[tokio::test]
async fn one_refusing_server_does_not_hide_another() {
    let refusing = Peer::start(Says::Refused).await;
    let server = server().await;
    let connector = Connector::builder()
        .servers([refusing.url.clone(), server.url()])
        .server_order(ServerOrder::AsGiven)
        .build()
        .await
        .unwrap();
    assert_eq!(connector.state(), ConnState::Connected);
    assert_eq!(*refusing.accepted.borrow(), 1);
    connector.close().await.unwrap();
}

#[tokio::test]
async fn in_the_background_two_refusals_close_the_connection() {
    let server = server_with(|server| server.token("right")).await.unwrap();
    let refused = builder(server.url())
        .auth(Auth::token("wrong"))
        .first_connect(FirstConnect::Background)
        .build()
        .await
        .unwrap();
    let closed = state(&refused, |s| matches!(s, ConnState::Closed { .. })).await;
    assert_eq!(closed, ConnState::Closed { reason: CloseReason::AuthFailed });
    let error = refused.publish("a", &1).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed(_)), "{error}");
    assert_eq!(error.exit_code(), 4);
}

#[tokio::test]
async fn in_the_background_a_server_may_come_later() {
    let mut server = server().await;
    server.stop().await;
    let connector =
        builder(server.url()).first_connect(FirstConnect::Background).build().await.unwrap();
    let mut events = connector.events();
    connector.publish("early", "kept").await.unwrap();
    assert_eq!(connector.stats().unsent, 1);
    server.start().await.unwrap();
    event(&mut events, |e| matches!(e, Event::Connected { .. }).then_some(())).await;
    connector.barrier(PATIENCE).await.unwrap();
    assert_eq!(connector.stats().unsent, 0);
    connector.close().await.unwrap();
}

// Shows U-019, U-023.
#[tokio::test]
async fn a_restart_is_told_in_order_and_what_was_published_meanwhile_arrives() {
    let mut server = server().await;
    let connector = connect(&server).await;
    let mut events = connector.events();
    let mut numbers = connector.subscribe::<u32>("n").await.unwrap();
    server.stop().await;
    let label = server.url().replace("nats://", "");
    let reason = event(&mut events, |e| match e {
        Event::Disconnected { server, reason } => Some((server, reason)),
        other => panic!("{other}"),
    });
    assert_eq!(reason.await, (label.clone(), DisconnectReason::PeerClosed));
    for n in 0..5u32 {
        connector.publish("n", &n).await.unwrap();
    }
    for wait in [connector.flush(millis(20)).await, connector.barrier(millis(20)).await] {
        assert_eq!(wait.unwrap_err().code(), "conn.timeout");
    }
    let error = connector.ask("n").timeout(millis(20)).send::<_, u32>(&1).await.unwrap_err();
    assert_eq!(error.code(), "conn.timeout");
    server.start().await.unwrap();
    let (name, attempts) = event(&mut events, |e| match e {
        Event::Reconnected { server, attempts, .. } => Some((server, attempts)),
        Event::ReconnectFailed { .. } => None,
        other => panic!("{other}"),
    })
    .await;
    assert!(name == label && attempts >= 1);
    for n in 0..5 {
        assert_eq!(*numbers.next().await.unwrap().unwrap().value(), n);
    }
    connector.close().await.unwrap();
    let reason = event(&mut events, |e| match e {
        Event::Closed { reason } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, CloseReason::Requested);
    assert!(events.next().await.is_none(), "Closed comes last");
}

// Shows U-004.
#[tokio::test]
async fn never_means_that_a_loss_closes() {
    let mut server = server().await;
    let connector = builder(server.url()).reconnect(Reconnect::Never).build().await.unwrap();
    let mut events = connector.events();
    let mut subscription = connector.subscribe::<u32>("x").await.unwrap();
    server.stop().await;
    assert!(subscription.next().await.is_none());
    let mut closed = 0;
    while let Some(event) = events.next().await {
        closed += u32::from(matches!(event, Event::Closed { reason: CloseReason::GaveUp { .. } }));
    }
    assert_eq!(closed, 1);
    assert_eq!(connector.publish("x", &1).await.unwrap_err().code(), "conn.closed");
    // The async-nats task has ended too: its handles know.
    assert!(connector.raw().unwrap().publish("x", "".into()).await.is_err());
}

// Shows U-005.
#[tokio::test]
async fn attempts_are_counted_for_each_server() {
    let mut server = server().await;
    let (a, b) = (nobody(), nobody());
    let connector = builder(format!("{},{a},{b}", server.url()))
        .server_order(ServerOrder::AsGiven)
        .reconnect(Reconnect::Attempts(1))
        .build()
        .await
        .unwrap();
    let mut events = connector.events();
    let own = server.url().replace("nats://", "");
    server.stop().await;
    let mut tried = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::ReconnectFailed { server, .. } = event {
            tried.push(server);
        }
    }
    assert_eq!(tried, [a, b, own]);
}

// Shows U-011.
#[tokio::test]
async fn a_login_that_is_revoked_closes_and_does_not_go_on_for_ever() {
    let mut server = server_with(|server| server.token("one")).await.unwrap();
    let connector = builder(server.url()).auth(Auth::token("one")).build().await.unwrap();
    server.start_with(|server| server.token("two")).await.unwrap();
    let closed = state(&connector, |s| matches!(s, ConnState::Closed { .. })).await;
    assert_eq!(closed, ConnState::Closed { reason: CloseReason::AuthFailed });
}

#[tokio::test]
async fn a_token_file_that_changed_is_used_at_the_next_reconnect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "one\n").unwrap();
    let mut server = server_with(|server| server.token("one")).await.unwrap();
    let connector = builder(server.url()).auth(Auth::token_file(&path)).build().await.unwrap();
    let mut events = connector.events();
    server.stop().await;
    std::fs::write(&path, "two\n").unwrap();
    server.start_with(|server| server.token("two")).await.unwrap();
    event(&mut events, |e| matches!(e, Event::Reconnected { .. }).then_some(())).await;
    connector.close().await.unwrap();
}

// Shows U-007.
#[tokio::test]
async fn a_frozen_server_is_asked_every_second_and_given_up_after_seven() {
    let peer = Peer::start(Says::Welcome).await;
    let connector = builder(peer.url.clone())
        .ping_interval(secs(1))
        .max_outstanding_pings(6)
        .reconnect(Reconnect::Never)
        .build()
        .await
        .unwrap();
    assert_eq!(connector.effective_options().stale_after, secs(7));
    let mut events = connector.events();
    connector.rtt().await.unwrap();
    peer.freeze();
    // From now on time passes where nothing else is to be done.
    tokio::time::pause();
    let (began, asked) = (tokio::time::Instant::now(), *peer.asked.borrow());
    let reason = event(&mut events, |e| match e {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, DisconnectReason::StalePing);
    let took = began.elapsed();
    assert!(took >= millis(5600) && took <= millis(8400), "{took:?}");
    tokio::time::resume();
    let mut seen = peer.asked.clone();
    let all = seen.wait_for(|seen| *seen >= asked + 6);
    tokio::time::timeout(PATIENCE, all).await.expect("six questions").unwrap();
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_outstanding_pings() {
    let peer = Peer::start(Says::Welcome).await;
    let connector = builder(peer.url.clone())
        .ping_interval(millis(30))
        .max_outstanding_pings(3)
        .reconnect(Reconnect::Never)
        .build()
        .await
        .unwrap();
    let mut events = connector.events();
    connector.rtt().await.unwrap();
    peer.freeze();
    let reason = event(&mut events, |e| match e {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, DisconnectReason::StalePing);
}

// Shows U-018.
#[tokio::test]
async fn offline_policies_fail_or_keep_up_to_a_limit() {
    let mut server = server().await;
    let fail = builder(server.url()).while_disconnected(Offline::Fail).build().await.unwrap();
    let keep = builder(server.url()).outbound_limit(kib(4)).build().await.unwrap();
    let drop = builder(server.url())
        .outbound_limit(kib(4))
        .while_disconnected(Offline::DropNewest)
        .build()
        .await
        .unwrap();
    server.stop().await;
    for connector in [&fail, &keep, &drop] {
        state(connector, |s| matches!(s, ConnState::Reconnecting { .. })).await;
    }
    assert_eq!(fail.publish("a", &1).await.unwrap_err().code(), "conn.offline");
    let error = fail.request::<_, u32>("a", &1).await.unwrap_err();
    assert_eq!(error.code(), "conn.offline");
    let body = vec![0_u8; 1000];
    let mut kept = 0;
    let error = loop {
        match keep.to("a").send_bytes(body.clone()).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PublishError::Backpressure(_)) && kept == 3, "{kept}: {error}");
    for _ in 0..10 {
        drop.to("a").send_bytes(body.clone()).await.unwrap();
    }
    assert_eq!((drop.stats().unsent, drop.stats().dropped_out), (3, 7));
}

#[tokio::test]
async fn a_forced_reconnect_says_so() {
    let server = server().await;
    let connector = connect(&server).await;
    let mut events = connector.events();
    connector.reconnect_now().await;
    let reason = event(&mut events, |e| match e {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, DisconnectReason::Forced);
    event(&mut events, |e| matches!(e, Event::Reconnected { .. }).then_some(())).await;
    assert_eq!(connector.stats().reconnects, 1);
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_callback_sees_the_first_connection_too() {
    let server = server().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let connector = builder(server.url())
        .on_event(move |event| {
            let tell = tell.clone();
            async move {
                let _ = tell.send(event);
            }
        })
        .build()
        .await
        .unwrap();
    let first = told.recv().await.unwrap();
    assert!(matches!(first, Event::Connected { attempt: 1, .. }), "{first}");
    connector.close().await.unwrap();
    assert!(matches!(told.recv().await.unwrap(), Event::Closed { .. }));
    assert!(told.recv().await.is_none());
}

// Shows U-024.
#[tokio::test]
async fn a_slow_callback_loses_no_state_and_is_told_that_it_lagged() {
    let server = server().await;
    let connector = connect(&server).await;
    let mut events = connector.events();
    // More events than are kept for a reader.
    for _ in 0..600 {
        let reconnects = connector.stats().reconnects;
        connector.reconnect_now().await;
        while connector.stats().reconnects == reconnects {
            tokio::task::yield_now().await;
        }
    }
    connector.close().await.unwrap();
    let closed = CloseReason::Requested;
    assert_eq!(connector.state(), ConnState::Closed { reason: closed });
    let (mut seen, mut lagged, mut last) = (0_u64, false, None);
    while let Some(event) = events.next().await {
        match event {
            Event::Lagged(n) => (seen, lagged) = (seen + n, true),
            _ => seen += 1,
        }
        last = Some(event);
    }
    assert!(lagged && seen >= 1200, "{seen}");
    assert!(matches!(last, Some(Event::Closed { .. })));
}

// Shows U-021.
#[tokio::test]
async fn a_thousand_messages_published_before_a_close_arrive() {
    let server = server().await;
    let receiver = connect(&server).await;
    let mut numbers = receiver.subscribe::<u32>("n").await.unwrap();
    let url = server.url();
    let publisher = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connector = Connector::connect(url).await.unwrap();
            for n in 0..1000_u32 {
                connector.publish("n", &n).await.unwrap();
            }
            connector.close().await.unwrap();
            connector.close().await.unwrap();
        });
    });
    for n in 0..1000 {
        assert_eq!(*numbers.next().await.unwrap().unwrap().value(), n);
    }
    publisher.join().unwrap();
    receiver.close().await.unwrap();
}

// Shows U-020.
#[tokio::test]
async fn a_drain_lets_handlers_finish_and_reports_them() {
    let server = server().await;
    let connector = connect(&server).await;
    let (count, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (counted, waiting) = (count.clone(), gate.clone());
    let _task = connector
        .on("work")
        .serve(4, move |_: natterjack::Msg<u32>| {
            let (count, gate) = (counted.clone(), waiting.clone());
            async move {
                let _permit = gate.acquire().await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await
        .unwrap();
    for n in 0..50_u32 {
        connector.publish("work", &n).await.unwrap();
    }
    let mut events = connector.events();
    let drain = tokio::spawn({
        let connector = connector.clone();
        async move { connector.drain().await }
    });
    event(&mut events, |e| matches!(e, Event::Draining { .. }).then_some(())).await;
    gate.add_permits(4);
    let report = drain.await.unwrap().unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 50);
    assert_eq!((report.handled, report.abandoned, report.unsent), (50, 0, 0));
    assert_eq!(connector.state(), ConnState::Closed { reason: CloseReason::Drained });
    assert!(matches!(Error::from(connector.drain().await.unwrap_err()), Error::Closed(_)));
}

// Shows U-020.
#[tokio::test]
async fn a_drain_keeps_its_deadline() {
    let server = server().await;
    let connector = builder(server.url()).drain_timeout(millis(50)).build().await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let _task = connector
        .on("work")
        .serve(1, move |_: natterjack::Msg<u32>| {
            let _ = tell.send(());
            std::future::pending::<()>()
        })
        .await
        .unwrap();
    connector.publish("work", &1).await.unwrap();
    told.recv().await.unwrap();
    let error = connector.drain().await.unwrap_err();
    assert_eq!(error.code(), "conn.drain_timeout");
    assert_eq!(connector.state(), ConnState::Closed { reason: CloseReason::Drained });
}

// Shows U-016.
#[tokio::test]
async fn tls_files_are_checked_before_anything_is_dialed() {
    let error =
        builder("127.0.0.1:1").tls(Tls::native().ca("/nowhere/ca.pem")).build().await.unwrap_err();
    assert_eq!(error.code(), "tls.failed");
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn servers_of_the_pool_are_left_for_one_that_works() {
    let mut first = server().await;
    let second = server().await;
    let connector = builder(format!("{},{}", first.url(), second.url()))
        .server_order(ServerOrder::AsGiven)
        .build()
        .await
        .unwrap();
    let mut events = connector.events();
    first.stop().await;
    let name = event(&mut events, |e| match e {
        Event::Reconnected { server, .. } => Some(server),
        _ => None,
    });
    assert_eq!(name.await, second.url().replace("nats://", ""));
    connector.close().await.unwrap();
}

// Shows U-010.
#[tokio::test]
async fn an_nkey_logs_in_by_seed_and_by_file() {
    let pair = nkeys::KeyPair::new_user();
    let users = format!("authorization {{ users = [ {{ nkey: {} }} ] }}", pair.public_key());
    let server = server_with(|server| server.config(&users).unwrap()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("user.nk");
    std::fs::write(&path, pair.seed().unwrap() + "\n").unwrap();
    for auth in [Auth::nkey_seed(pair.seed().unwrap()), Auth::nkey_file(&path)] {
        let connector = builder(server.url()).auth(auth).build().await.unwrap();
        assert_eq!(connector.effective_options().login, "nkey");
        connector.close().await.unwrap();
    }
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    let error = builder(server.url()).auth(Auth::nkey_seed(stranger)).build().await.unwrap_err();
    assert_eq!(error.code(), "auth.denied");
}

#[tokio::test]
async fn credentials_that_cannot_be_used_are_told_before_anything_is_dialed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("user.creds");
    let build = || builder(nobody()).auth(Auth::creds_file(&path)).build();
    // A server that nobody is: it is the file that has to be told.
    let peer = Peer::start(Says::Welcome).await;
    let error = builder(peer.url.clone()).auth(Auth::creds_file(&path)).build().await.unwrap_err();
    assert!(matches!(&error, ConnectError::CredsMissing(e) if e.path == path), "{error}");
    std::fs::write(&path, "nonsense").unwrap();
    let error = builder(peer.url.clone()).auth(Auth::creds_file(&path)).build().await.unwrap_err();
    assert!(matches!(error, ConnectError::CredsMalformed(_)), "{error}");
    assert_eq!(build().await.unwrap_err().code(), "auth.creds_malformed");
}

// Shows U-015.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    #[derive(Clone, Default)]
    struct Buffer(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut server = server_with(|server| server.user("derek", "s3cr3t")).await.unwrap();
    let wrong = Auth::user_password("derek", "wr0ng");
    let error = builder(server.url()).auth(wrong).build().await.unwrap_err();
    let url = server.url().replace("nats://", "nats://derek:s3cr3t@");
    let connector = builder(url).build().await.unwrap();
    let mut events = connector.events();
    server.restart().await.unwrap();
    let mut shown = format!("{error:?} {error} {:?}", connector.effective_options());
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        shown += &format!("{error:?} {error}");
        cause = error.source();
    }
    event(&mut events, |e| {
        shown += &format!("{e:?} {e}");
        matches!(e, Event::Reconnected { .. }).then_some(())
    })
    .await;
    connector.close().await.unwrap();
    shown += &String::from_utf8_lossy(&buffer.0.lock().unwrap());
    assert!(shown.contains("reconnected"), "the log was captured");
    assert!(!shown.contains("s3cr3t") && !shown.contains("wr0ng"));
}
