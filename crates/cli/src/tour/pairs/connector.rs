//! Pair 7: pair 4 with its connection in a struct. What can be seen is the same.

use std::collections::BTreeSet;

use natterjack_examples::{
    callbacks_publisher, callbacks_subscriber, connector_publisher, connector_subscriber,
};

use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{Publisher, Subscriber};
use super::super::side::Ended;
use super::up_to;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    together(scene).await?;
    scene.clean().await?;
    equal(scene).await?;
    scene.clean().await?;
    chaos(scene).await
}

async fn together(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "Options, events and error policy now stand in one struct that both programs share.",
        "Параметры, события и обработка ошибок теперь в одном классе для обеих программ.",
    );
    let witness = scene.witness(&scene.names.subject.clone()).await?;
    let subscriber = scene.subscriber(connector_subscriber::run, &scene.consumer_flags(&[]))?;
    subscriber.says("holds 0 messages").await?;
    let publisher = scene.publisher(connector_publisher::run, &scene.stream_flags(&[]))?;
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
    Ok(())
}

/// Pair 4 and pair 7 with equal arguments.
async fn equal(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "Pair 4 and pair 7 with equal arguments, one after the other: their lines are compared.",
        "Пары 4 и 7 с равными аргументами, одна за другой: сравниваются их строки.",
    );
    let own = ["--count", "3", "--interval", "0s"];
    let (to, from) = (scene.stream_flags(&own), scene.consumer_flags(&own));
    let first = scene.publisher(callbacks_publisher::run, &to)?.end().await?.fine(Publisher)?;
    let second =
        scene.subscriber(callbacks_subscriber::run, &from)?.end().await?.fine(Subscriber)?;
    scene.clean().await?;
    let third = scene.publisher(connector_publisher::run, &to)?.end().await?.fine(Publisher)?;
    let fourth =
        scene.subscriber(connector_subscriber::run, &from)?.end().await?.fine(Subscriber)?;
    for (en, ru, one, other) in [
        (
            "the publisher's lines are those of pair 4, but for times",
            "строки отправителя те же, что в паре 4, кроме времени",
            &first,
            &third,
        ),
        (
            "the subscriber's lines are those of pair 4, but for times",
            "строки подписчика те же, что в паре 4, кроме времени",
            &second,
            &fourth,
        ),
    ] {
        let (one, other) = (masked(one), masked(other));
        let at = one.iter().zip(&other).find(|(a, b)| a != b);
        scene.check(
            en,
            ru,
            one == other,
            format!("{at:?}, {} and {} lines", one.len(), other.len()),
        );
    }
    Ok(())
}

/// Reconnects by force on both sides.
async fn chaos(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "Both connections are dropped again and again.",
        "Оба соединения рвутся снова и снова.",
    );
    let more = ["--count", "20", "--interval", "25ms"];
    let chaos = scene.chaos_flags(true);
    let flags = [scene.consumer_flags_with_losses(&more), chaos.clone()].concat();
    let subscriber = scene.subscriber(connector_subscriber::run, &flags)?;
    subscriber.says("holds 0 messages").await?;
    let flags = [scene.stream_flags(&more), chaos].concat();
    let publisher = scene.publisher(connector_publisher::run, &flags)?;
    let publisher = publisher.end().await?.fine(Publisher)?;
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    let handled: BTreeSet<u64> = subscriber.numbers().into_iter().collect();
    scene.check(
        "no message was lost",
        "не потеряно ни одного сообщения",
        handled == (1..=20).collect()
            && publisher.said("reconnected to")
            && subscriber.said("reconnected to"),
        format!("{handled:?}"),
    );
    Ok(())
}

/// The lines without spans of time, and without the server: in a cluster it may be another one.
fn masked(ended: &Ended) -> Vec<String> {
    let masked = ended.lines.iter().map(|line| natterjack_examples::timeless(&line.text));
    masked.map(|text| anywhere(&text).unwrap_or(text)).collect()
}

/// `connected to URL as "NAME" (server ..)` without URL and server.
fn anywhere(text: &str) -> Option<String> {
    let (_, name) = text.strip_prefix("connected to ")?.split_once(" as ")?;
    let (name, _) = name.split_once(" (server ")?;
    Some(format!("connected as {name}"))
}
