//! Pair 4: each thing that can happen to a connection, made to happen.

use std::collections::BTreeSet;

use natterjack_examples::{Line, callbacks_publisher, callbacks_subscriber};

use super::super::arena::{Embedded, Setup};
use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{Publisher, Subscriber};
use super::super::side::Ended;
use super::up_to;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    let mut seen = together(scene).await?;
    seen.extend(chaos(scene).await?);
    seen.extend(lame_duck(scene).await?);
    seen.extend(give_up(scene).await?);
    let wanted = [
        "connected to ",
        " disconnected from ",
        " reconnected to ",
        " failed (connection refused), retrying in ",
        " slow consumer on ",
        " is shutting down",
        " draining, at most ",
        " closed: drained",
        " closed: gave up after ",
    ];
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|text| !seen.iter().any(|line| line.text.contains(text)))
        .collect();
    scene.check(
        "each kind of event was shown",
        "показано каждое событие",
        missing.is_empty(),
        missing.join(","),
    );
    Ok(())
}

/// Without trouble it is pair 3.
async fn together(scene: &mut Scene<'_>) -> Result<Vec<Line>, String> {
    scene.narrate(
        "As pair 3, but now everything that happens to the connections is shown.",
        "Как пара 3, но теперь показано всё, что происходит с соединениями.",
    );
    let witness = scene.witness(&scene.names.subject.clone()).await?;
    let subscriber = scene.subscriber(callbacks_subscriber::run, &scene.consumer_flags(&[]))?;
    subscriber.says("holds 0 messages").await?;
    let publisher = scene.publisher(callbacks_publisher::run, &scene.stream_flags(&[]))?;
    let publisher = publisher.end().await?.fine(Publisher)?;
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    scene.count(&publisher, &subscriber);
    let numbers = subscriber.numbers();
    scene.check(
        "all messages arrived, in order",
        "все сообщения пришли по порядку",
        numbers == up_to(COUNT),
        format!("{numbers:?}"),
    );
    let counted = witness.count().await?.numbers.len() as u64;
    scene.check(
        "a witness outside counted the same",
        "свидетель со стороны насчитал столько же",
        counted == COUNT,
        counted.to_string(),
    );
    scene.check_lines(&publisher, &subscriber, "NATS callbacks example");
    Ok(both(publisher, subscriber))
}

/// Forced reconnects on both sides, a slow consumer, and a restart of the server.
async fn chaos(scene: &mut Scene<'_>) -> Result<Vec<Line>, String> {
    scene.narrate(
        "Both connections are dropped again and again, and a second subscription is read too slowly.",
        "Оба соединения рвутся снова и снова, а вторая подписка читается слишком медленно.",
    );
    let more = ["--count", "20", "--interval", "25ms"];
    let pub_flags = scene.stream_flags(&more);
    let sub_flags = scene.consumer_flags_with_losses(&more);
    let chaos = scene.chaos_flags(true);
    let slow = ["--slow".to_owned()];
    let flags = [&sub_flags[..], &chaos, &slow].concat();
    let subscriber = scene.subscriber(callbacks_subscriber::run, &flags)?;
    subscriber.says("holds ").await?;
    let flags = [&pub_flags[..], &chaos].concat();
    let publisher = scene.publisher(callbacks_publisher::run, &flags)?;
    subscriber.messages(3).await?;
    if scene.home.is_some() {
        scene.narrate(
            "In the middle the server is restarted, too.",
            "Посередине перезапущен и сервер.",
        );
        scene.stop_server().await;
        publisher.says("failed (connection refused)").await?;
        subscriber.says("failed (connection refused)").await?;
        scene.start_server().await?;
    }
    let publisher = publisher.end().await?.fine(Publisher)?;
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    let handled: BTreeSet<u64> = subscriber.numbers().into_iter().collect();
    scene.check(
        "with all that, no message was lost",
        "при всём этом не потеряно ни одного сообщения",
        handled == (1..=20).collect() && publisher.total("confirmed") == 20,
        format!("{handled:?}, confirmed {}", publisher.total("confirmed")),
    );
    let stored: BTreeSet<u64> =
        publisher.messages().filter_map(|line| line.fields.get("seq")?.as_u64()).collect();
    let gapless = stored.last().zip(stored.first()).is_some_and(|(last, first)| last - first == 19);
    scene.check(
        "and none was stored twice, though some were sent again",
        "и ни одно не сохранено дважды, хотя некоторые отправлены повторно",
        stored.len() == 20 && gapless,
        format!("{stored:?}"),
    );
    scene.check(
        "the slow reader was told how much it lost",
        "медленному читателю сказано, сколько он потерял",
        subscriber.total("dropped") > 0 && subscriber.said("slow consumer on "),
        format!("dropped {}", subscriber.total("dropped")),
    );
    Ok(both(publisher, subscriber))
}

/// A server says that it is about to go; the connection moves to the other one.
async fn lame_duck(scene: &mut Scene<'_>) -> Result<Vec<Line>, String> {
    scene.narrate(
        "Of two servers, the one in use announces its end: the connection moves to the other.",
        "Из двух серверов тот, что в работе, объявляет о своём конце: соединение переходит к другому.",
    );
    // Each of these servers is alone, also when the tour is on a cluster.
    scene.replicas = None;
    let mut first = Embedded::start(Setup::jetstream(scene.path("first"))).await?;
    let mut second = Embedded::start(Setup::jetstream(scene.path("second"))).await?;
    let urls = format!("{},{}", first.url(), second.url());
    let flags = scene.stream_flags(&["--url", &urls, "--count", "0"]);
    let publisher = scene.publisher(callbacks_publisher::run, &flags)?;
    publisher.messages(1).await?;
    let connected = publisher.lines().first().map_or_else(String::new, |line| line.text.clone());
    let (used, other) =
        if connected.contains(&first.url()) { (&first, &second) } else { (&second, &first) };
    if let Some(server) = used.server() {
        server.lame_duck();
    }
    // The other server has no stream: a publisher begins one there, and goes on.
    let moved = format!("reconnected to {}", &other.url()["nats://".len()..]);
    let arrived = publisher.says(&moved).await;
    publisher.stop();
    let ended = publisher.end().await?;
    scene.check(
        "the connection left the server that is shutting down",
        "соединение ушло с сервера, который завершает работу",
        ended.said(&moved) && ended.said(" is shutting down"),
        arrived.err().unwrap_or_default(),
    );
    first.stop().await;
    second.stop().await;
    Ok(ended.lines)
}

/// No server comes back in time.
async fn give_up(scene: &mut Scene<'_>) -> Result<Vec<Line>, String> {
    scene.narrate(
        "And a server that does not come back: the publisher gives up, exit code 3.",
        "И сервер, который не возвращается: отправитель сдаётся, код выхода 3.",
    );
    let mut server = Embedded::start(Setup::jetstream(scene.path("gone"))).await?;
    let url = server.url();
    // The shortest time in which this machine connects and sends is also the one that is waited for.
    let mut limits = ["400ms", "2s", "10s"].into_iter();
    let publisher = loop {
        let Some(limit) = limits.next() else {
            return Err("the publisher ended before it had sent anything".to_owned());
        };
        let own = ["--url", &url, "--timeout", limit, "--reconnect-wait", "100ms"];
        let flags = scene.stream_flags(&[&own[..], &["--count", "0"]].concat());
        let publisher = scene.publisher(callbacks_publisher::run, &flags)?;
        if publisher.messages(2).await.is_ok() {
            break publisher;
        }
        publisher.stop();
    };
    server.stop().await;
    let ended = publisher.end().await?;
    scene.check(
        "it said when it gave up, exit code 3",
        "сказано, когда он сдался, код выхода 3",
        ended.said(" closed: gave up after ") && ended.exit() == 3,
        format!("{} (exit {})", ended.failure(), ended.exit()),
    );
    Ok(ended.lines)
}

fn both(publisher: Ended, subscriber: Ended) -> Vec<Line> {
    publisher.lines.into_iter().chain(subscriber.lines).collect()
}
