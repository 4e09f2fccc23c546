//! Pair 1: core messages, a restart in the middle, a server that is not there.

use natterjack_examples::{Kind, simple_publisher, simple_subscriber};

use super::super::arena::{Embedded, Setup};
use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{Publisher, Subscriber};
use super::up_to;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "The subscriber listens first, because core NATS keeps nothing for absentees.",
        "Сначала слушает подписчик: ядро NATS ничего не хранит для отсутствующих.",
    );
    let witness = scene.witness(&scene.names.subject.clone()).await?;
    let subscriber = scene.subscriber(simple_subscriber::run, &scene.flags(&[]))?;
    subscriber.says("listening on").await?;
    let publisher = scene.publisher(simple_publisher::run, &scene.flags(&[]))?;
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
    let counted = witness.count().await?;
    scene.check(
        "a witness outside counted the same",
        "свидетель со стороны насчитал столько же",
        counted.numbers.len() as u64 == COUNT && counted.others == 0,
        format!("{} and {} others", counted.numbers.len(), counted.others),
    );
    scene.check_lines(&publisher, &subscriber, "NATS simple example");
    if scene.home.is_some() {
        restart(scene).await?;
    }
    absent(scene).await
}

/// The server is stopped in the middle: what is published meanwhile goes out afterwards.
async fn restart(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "The server is stopped in the middle; what is published meanwhile waits in the publisher.",
        "Сервер остановлен посередине; отправленное тем временем ждёт у отправителя.",
    );
    // The subscriber must be back first, or core NATS would have nobody to pass the messages to.
    let soon = scene.flags(&["--reconnect-wait", "20ms", "--count", "0"]);
    let subscriber = scene.subscriber(simple_subscriber::run, &soon)?;
    subscriber.says("listening on").await?;
    let late = ["--interval", "50ms", "--count", "0", "--reconnect-wait", "1s"];
    let steady = scene.flags(&late);
    let publisher = scene.publisher(simple_publisher::run, &steady)?;
    subscriber.messages(4).await?;
    scene.stop_server().await;
    publisher.says("disconnected, retrying in").await?;
    let sent = publisher.lines().iter().filter(|line| line.kind == Kind::Sent).count();
    publisher.messages(sent + 2).await?;
    scene.start_server().await?;
    subscriber.says("reconnected after").await?;
    publisher.says("reconnected after").await?;
    publisher.stop();
    let publisher = publisher.end().await?.fine(Publisher)?;
    let all = publisher.numbers();
    let last = format!("#{} ", all.last().copied().unwrap_or(0));
    subscriber.says(&last).await?;
    subscriber.stop();
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    let told = ["disconnected, retrying in", "reconnected after"];
    scene.check(
        "both sides told of the loss and of the new connection",
        "обе стороны сообщили о разрыве и о новом соединении",
        told.iter().all(|text| publisher.said(text) && subscriber.said(text)),
        "they did not",
    );
    // A message that was on its way when the server stopped may be lost: that is core NATS.
    let (alone, arrived) = (&all[sent..], subscriber.numbers());
    scene.check(
        "what was published without a server went out afterwards",
        "отправленное без сервера дошло после его возвращения",
        alone.len() >= 2 && alone.iter().all(|number| arrived.contains(number)),
        format!("{alone:?} of {arrived:?}"),
    );
    Ok(())
}

/// Nobody listens on the port.
async fn absent(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "And without any server: a text, a hint and exit code 3.",
        "А совсем без сервера: текст, подсказка и код выхода 3.",
    );
    let mut gone = Embedded::start(Setup::default()).await?;
    gone.stop().await;
    let url = gone.url();
    let publisher = scene.publisher(simple_publisher::run, &scene.flags(&["--url", &url]))?;
    let publisher = publisher.end().await?;
    let hint = publisher.outcome.as_ref().err().map_or("", |failure| &failure.hint);
    let wanted = format!("cannot reach {} (connection refused)", &url["nats://".len()..]);
    scene.check(
        "a missing server is named, with a hint and exit code 3",
        "об отсутствии сервера сказано, с подсказкой и кодом 3",
        publisher.failure() == wanted
            && hint == "start one: natterjack serve -js"
            && publisher.exit() == 3,
        format!("{} ({hint}), exit {}", publisher.failure(), publisher.exit()),
    );
    Ok(())
}
