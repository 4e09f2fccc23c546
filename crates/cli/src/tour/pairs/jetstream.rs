//! Pair 3: a stream outlives its readers, its writers and the server.

use std::collections::BTreeSet;

use natterjack_examples::{jetstream_publisher, jetstream_subscriber};

use super::super::arena::{Embedded, Setup};
use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{Publisher, Subscriber};
use super::up_to;

/// At which message the subscriber crashes.
const CRASH_AT: u64 = 4;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    together(scene).await?;
    absent_reader(scene).await?;
    if scene.home.is_some() {
        memory(scene).await?;
    }
    missing(scene).await
}

/// Both sides at once.
async fn together(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "The stream acknowledges each message; the durable consumer remembers what was read.",
        "Поток подтверждает каждое сообщение, долговечный потребитель помнит прочитанное.",
    );
    let witness = scene.witness(&scene.names.subject.clone()).await?;
    let subscriber = scene.subscriber(jetstream_subscriber::run, &scene.consumer_flags(&[]))?;
    subscriber.says("holds 0 messages").await?;
    let publisher = scene.publisher(jetstream_publisher::run, &scene.stream_flags(&[]))?;
    let publisher = publisher.end().await?.fine(Publisher)?;
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    scene.count(&publisher, &subscriber);
    let sequences: Vec<u64> =
        publisher.messages().filter_map(|line| line.fields.get("seq")?.as_u64()).collect();
    scene.check(
        "the stream acknowledged each message, with its sequence",
        "поток подтвердил каждое сообщение его номером",
        sequences == up_to(COUNT),
        format!("{sequences:?}"),
    );
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
    scene.check_lines(&publisher, &subscriber, "NATS JetStream example");
    Ok(())
}

/// Nobody listens while the publisher sends; the server is restarted; the reader crashes half-way.
async fn absent_reader(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "Now the publisher sends with nobody listening.",
        "Теперь отправитель работает, хотя никто не слушает.",
    );
    let publisher = scene.publisher(jetstream_publisher::run, &scene.stream_flags(&[]))?;
    publisher.end().await?.fine(Publisher)?;
    if scene.home.is_some() {
        scene.narrate(
            "The server is restarted: a stream on disk keeps everything.",
            "Сервер перезапущен: поток на диске хранит всё.",
        );
        scene.stop_server().await;
        scene.start_server().await?;
    }
    scene.narrate(
        "The subscriber crashes at its fourth message, before acknowledging it, and is started again.",
        "Подписчик падает на четвёртом сообщении, не подтвердив его, и запускается снова.",
    );
    let crash = CRASH_AT.to_string();
    let flags = scene.consumer_flags_with_losses(&["--crash-at", &crash]);
    let crashed = scene.subscriber(jetstream_subscriber::run, &flags)?.end().await?;
    let held = format!("holds {} messages", 2 * COUNT);
    scene.check(
        "the stream kept all messages for the absent reader",
        "поток сохранил все сообщения для отсутствовавшего читателя",
        crashed.said(&held),
        format!("{:?}", crashed.lines.get(1).map(|line| line.text.clone())),
    );
    let left = (COUNT - CRASH_AT + 1).to_string();
    let flags = scene.consumer_flags_with_losses(&["--count", &left]);
    let again = scene.subscriber(jetstream_subscriber::run, &flags)?.end().await?;
    let again = again.fine(Subscriber)?;
    let handled: BTreeSet<u64> = crashed.numbers().into_iter().chain(again.numbers()).collect();
    scene.check(
        "after the crash every message was handled",
        "после падения обработано каждое сообщение",
        handled == (1..=COUNT).collect(),
        format!("{handled:?}"),
    );
    let twice = format!("#{CRASH_AT} ");
    let repeated = again
        .messages()
        .any(|line| line.text.contains(&twice) && line.text.contains("delivered 2"));
    let early = again.numbers().iter().any(|number| *number < CRASH_AT);
    scene.check(
        "the unacknowledged message came again, the acknowledged ones did not",
        "неподтверждённое сообщение пришло снова, подтверждённые — нет",
        repeated && !early,
        format!("{:?}", again.numbers()),
    );
    Ok(())
}

/// A stream in memory is gone with its server.
async fn memory(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "The same with a stream in memory: after a restart nothing is left of it.",
        "То же с потоком в памяти: после перезапуска от него ничего не осталось.",
    );
    let (stream, subject) =
        (format!("{}_memory", scene.names.stream), format!("{}.memory", scene.names.subject));
    let own = ["--stream", &stream, "--subject", &subject, "--storage", "memory"];
    let flags = scene.stream_flags(&[&own[..], &["--count", "3"]].concat());
    scene.publisher(jetstream_publisher::run, &flags)?.end().await?.fine(Publisher)?;
    scene.stop_server().await;
    scene.start_server().await?;
    let subscriber = scene.subscriber(jetstream_subscriber::run, &scene.consumer_flags(&own))?;
    subscriber.says("holds").await?;
    // It has begun to wait; nothing will come.
    subscriber.stop();
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    scene.check(
        "the stream in memory was lost, and the subscriber says so",
        "поток в памяти потерян, и подписчик говорит об этом",
        subscriber.said("is new and holds 0 messages (memory)") && subscriber.numbers().is_empty(),
        format!("{:?}", subscriber.lines.get(1).map(|line| line.text.clone())),
    );
    let connector = scene.connect().await?;
    if let Ok(stream) = connector.jetstream().stream(stream).get().await {
        stream.delete().await.map_err(|error| error.to_string())?;
    }
    connector.close().await.map_err(|error| error.to_string())
}

/// No such stream; no JetStream at all.
async fn missing(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "A stream that does not exist, and a server without JetStream: exit code 5.",
        "Потока нет; а потом сервер без JetStream: код выхода 5.",
    );
    let flags = scene.stream_flags(&["--stream", "no_such_stream", "--no-create"]);
    let lost = scene.publisher(jetstream_publisher::run, &flags)?.end().await?;
    let mut plain = Embedded::start(Setup::default()).await?;
    let flags = scene.consumer_flags(&["--url", &plain.url()]);
    let off = scene.subscriber(jetstream_subscriber::run, &flags)?.end().await?;
    plain.stop().await;
    let hint = off.outcome.as_ref().err().map_or("", |failure| &failure.hint);
    scene.check(
        "a missing stream and a server without JetStream are told apart, exit code 5",
        "отсутствие потока и сервер без JetStream различены, код выхода 5",
        lost.failure() == "stream no_such_stream not found"
            && lost.exit() == 5
            && off.failure() == "JetStream is not enabled on this server"
            && hint.contains("-js")
            && off.exit() == 5,
        format!("{} ({}); {} ({})", lost.failure(), lost.exit(), off.failure(), off.exit()),
    );
    Ok(())
}
