//! Pair 5: a bucket, its conflicts, and a watch that goes on.

use natterjack_examples::{Line, kv_publisher, kv_subscriber};

use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{Publisher, Subscriber};
use super::super::side::Ended;
use super::up_to;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    no_bucket(scene).await?;
    together(scene).await?;
    if scene.home.is_some() {
        restart(scene).await?;
    }
    poll(scene).await
}

/// The flags of a publisher, which makes the bucket.
fn publisher_flags(scene: &Scene<'_>, more: &[&str]) -> Vec<String> {
    let chaos = scene.chaos_flags(scene.chaos);
    [scene.bucket_flags(more), scene.replica_flags(), chaos].concat()
}

fn subscriber_flags(scene: &Scene<'_>, more: &[&str]) -> Vec<String> {
    [scene.bucket_flags(more), scene.chaos_flags(scene.chaos)].concat()
}

/// The revisions of all changes that a side has shown.
pub(super) fn revisions(ended: &Ended) -> Vec<u64> {
    let of = |line: &Line| {
        ["revision", "PUT revision"].iter().find_map(|name| line.fields.get(*name)?.as_u64())
    };
    ended.messages().filter_map(of).collect()
}

/// Whether nothing was told twice or out of order.
fn rising(revisions: &[u64]) -> bool {
    revisions.windows(2).all(|pair| pair[0] < pair[1])
}

/// The bucket does not exist yet.
async fn no_bucket(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "There is no bucket yet: one subscriber is told to fail, the other waits for the publisher.",
        "Хранилища ещё нет: одному подписчику велено завершиться, другой ждёт отправителя.",
    );
    let flags = subscriber_flags(scene, &["--no-wait"]);
    let failed = scene.subscriber(kv_subscriber::run, &flags)?.end().await?;
    let text = format!("bucket {} not found", scene.names.bucket);
    scene.check(
        "a missing bucket is named, exit code 5",
        "об отсутствии хранилища сказано, код выхода 5",
        failed.failure() == text && failed.exit() == 5,
        format!("{} (exit {})", failed.failure(), failed.exit()),
    );
    let subscriber =
        scene.subscriber(kv_subscriber::run, &subscriber_flags(scene, &["--count", "3"]))?;
    subscriber.says("waiting for the publisher").await?;
    let flags = publisher_flags(scene, &["--count", "3"]);
    scene.publisher(kv_publisher::run, &flags)?.end().await?.fine(Publisher)?;
    let numbers = subscriber.end().await?.fine(Subscriber)?.numbers();
    scene.check(
        "who waited for the bucket missed nothing",
        "кто ждал хранилища, ничего не пропустил",
        numbers == up_to(3),
        format!("{numbers:?}"),
    );
    Ok(())
}

/// Watching while the publisher writes.
async fn together(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "The watch tells what is there, says when that was all, and then each change as it is made.",
        "Наблюдение сообщает, что есть, говорит, когда это всё, а затем — каждое изменение.",
    );
    let key = format!("$KV.{}.{}", scene.names.bucket, scene.names.subject);
    let witness = scene.witness(&key).await?;
    // It goes on until a value has expired, which takes a second.
    let subscriber =
        scene.subscriber(kv_subscriber::run, &subscriber_flags(scene, &["--count", "0"]))?;
    subscriber.says("up to date (").await?;
    let publisher = scene.publisher(kv_publisher::run, &publisher_flags(scene, &[]))?;
    let publisher = publisher.end().await?.fine(Publisher)?;
    subscriber.says(&format!("#{COUNT} ")).await?;
    // Not one that an earlier publisher made: it may have expired before the watch began.
    let made =
        |line: &Line| Some(line.text.strip_prefix("create ")?.split_once(" for ")?.0.to_owned());
    let short = publisher.lines.iter().find_map(made).ok_or("no key was made for a second")?;
    let expired = |line: &Line| {
        line.text.starts_with(&format!("<- {short} ")) && line.text.contains(" EXPIRED ")
    };
    subscriber.wait("the expiry", 1, expired).await?;
    subscriber.stop();
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    let live = subscriber.live();
    scene.count(&publisher, &live);
    let numbers = live.numbers();
    scene.check(
        "the watch told all values, in order",
        "наблюдение сообщило все значения по порядку",
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
    scene.check_lines(&publisher, &subscriber, "NATS Key/Value example");
    let operations = ["PUT revision", "DEL revision", "PURGE revision", "EXPIRED revision"];
    scene.check(
        "put, delete, purge and expiry are told apart",
        "запись, удаление, очистка и истечение различены",
        operations.iter().all(|operation| live.said(operation)),
        "one is missing",
    );
    let refused = [
        "create demo: conflict: expected 0, current ",
        "update demo: conflict: expected ",
        "bad key name `demo key`: ` ` at position 5 is not allowed",
    ];
    scene.check(
        "conflicts name both revisions, a bad key the place of the bad character",
        "конфликт называет обе ревизии, негодный ключ — место негодного знака",
        refused.iter().all(|text| publisher.said(text)),
        "one is missing",
    );
    scene.check(
        "revisions rise, and are those that the publisher got",
        "ревизии растут и совпадают с полученными отправителем",
        rising(&revisions(&live))
            && revisions(&publisher).iter().all(|r| revisions(&live).contains(r)),
        format!("{:?} {:?}", revisions(&publisher), revisions(&live)),
    );
    Ok(())
}

/// The server is restarted while the watch is on.
async fn restart(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "The server is restarted in the middle of the writing: the watch goes on where it was.",
        "Сервер перезапущен посреди записи: наблюдение продолжается с того же места.",
    );
    let more = ["--count", "20", "--interval", "25ms"];
    let subscriber = scene.subscriber(kv_subscriber::run, &subscriber_flags(scene, &more))?;
    subscriber.says("up to date (").await?;
    let publisher = scene.publisher(kv_publisher::run, &publisher_flags(scene, &more))?;
    publisher.messages(5).await?;
    scene.stop_server().await;
    subscriber.says("failed (connection refused)").await?;
    scene.start_server().await?;
    publisher.end().await?.fine(Publisher)?;
    let subscriber = subscriber.end().await?.fine(Subscriber)?.live();
    let (numbers, revisions) = (subscriber.numbers(), revisions(&subscriber));
    scene.check(
        "over the restart nothing was lost and nothing told twice",
        "при перезапуске ничего не потеряно и не сообщено дважды",
        numbers == up_to(20) && rising(&revisions),
        format!("{numbers:?} {revisions:?}"),
    );
    Ok(())
}

/// The old way beside the new one.
async fn poll(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "A poller beside the watch, and a hundred quick writes.",
        "Опрос рядом с наблюдением и сто быстрых записей.",
    );
    let slow_poll = ["--count", "100", "--poll", "--interval", "20ms"];
    let subscriber = scene.subscriber(kv_subscriber::run, &subscriber_flags(scene, &slow_poll))?;
    subscriber.says("up to date (").await?;
    let flags = publisher_flags(scene, &["--count", "100", "--interval", "0s"]);
    scene.publisher(kv_publisher::run, &flags)?.end().await?.fine(Publisher)?;
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    let said = subscriber.lines.iter().find_map(|line| {
        line.text.strip_prefix("the watch saw 100 values, the poller ")?.parse::<u64>().ok()
    });
    scene.check(
        "the watch saw all hundred values, the poller did not",
        "наблюдение увидело все сто значений, опрос — нет",
        said.is_some_and(|polled| polled < 100),
        format!("{said:?}"),
    );
    Ok(())
}
