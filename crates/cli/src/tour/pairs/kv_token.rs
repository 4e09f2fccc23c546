//! Pair 6: pair 5 behind a token, which changes while the programs run.

use natterjack::Auth;
use natterjack_examples::{kv_token_publisher, kv_token_subscriber};

use super::super::arena::{Embedded, Setup};
use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{Publisher, Subscriber};
use super::super::side::Ended;
use super::super::witness::Witness;
use super::up_to;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    let own = std::env::var("NATS_TOKEN").ok().filter(|_| scene.home.is_none());
    let mut seen = Vec::new();
    let mut secrets = Vec::new();
    if let Some(token) = own {
        scene.narrate(
            "The token is that of NATS_TOKEN, on your server.",
            "Токен — из NATS_TOKEN, на вашем сервере.",
        );
        exchange(scene, &token, &["--token".into(), token.clone()], &mut seen).await?;
        secrets.push(token);
    } else {
        embedded(scene, &mut seen, &mut secrets).await?;
    }
    wrong(scene, &mut seen, &mut secrets).await?;
    let texts = seen.iter().flat_map(|ended| {
        let failure = ended.failure().to_owned();
        ended.lines.iter().map(|line| line.text.clone()).chain([failure])
    });
    let shown = texts.filter(|text| secrets.iter().any(|secret| text.contains(secret))).count();
    scene.check(
        "no token is shown anywhere",
        "токен нигде не показан",
        shown == 0,
        format!("in {shown} lines"),
    );
    Ok(())
}

/// On a server of our own, whose token can be changed.
async fn embedded(
    scene: &mut Scene<'_>,
    seen: &mut Vec<Ended>,
    secrets: &mut Vec<String>,
) -> Result<(), String> {
    if scene.home.is_none() {
        scene.narrate(
            "NATS_TOKEN is not set: this pair logs in to an embedded server, not to yours.",
            "NATS_TOKEN не задано: эта пара входит на встроенный сервер, а не на ваш.",
        );
    }
    scene.narrate(
        "A server that asks for a token; the programs read it from a file.",
        "Сервер требует токен; программы читают его из файла.",
    );
    let (old, new) = (token(), token());
    secrets.extend([old.clone(), new.clone()]);
    let file = scene.path("token");
    let io = |error: std::io::Error| error.to_string();
    std::fs::write(&file, &old).map_err(io)?;
    let setup = Setup { token: Some(old.clone()), ..Setup::jetstream(scene.path("store")) };
    let mut server = Embedded::start(setup).await?;
    scene.url = server.url();
    // This server is alone.
    scene.replicas = None;
    let login = ["--token-file".to_owned(), file.display().to_string()];
    exchange(scene, &old, &login, seen).await?;

    scene.narrate(
        "The token is changed while the server is away, in its configuration and in the file.",
        "Токен сменён, пока сервера нет: в его настройках и в файле.",
    );
    let endless = ["--count", "0", "--interval", "25ms"];
    let flags = [&scene.bucket_flags(&endless)[..], &login].concat();
    let subscriber = scene.subscriber(kv_token_subscriber::run, &flags)?;
    subscriber.says("up to date (").await?;
    let publisher = scene.publisher(kv_token_publisher::run, &flags)?;
    publisher.messages(3).await?;
    server.stop().await;
    publisher.says("failed (connection refused)").await?;
    subscriber.says("failed (connection refused)").await?;
    std::fs::write(&file, &new).map_err(io)?;
    server.setup.token = Some(new);
    server.start_again().await?;
    publisher.says("reconnected to").await?;
    subscriber.says("reconnected to").await?;
    let sent = publisher.lines().len();
    publisher.wait("more messages", sent + 2, |_| true).await?;
    publisher.stop();
    let publisher = publisher.end().await?.fine(Publisher)?;
    let last = publisher.numbers().last().copied().unwrap_or(0);
    subscriber.says(&format!("#{last} ")).await?;
    subscriber.stop();
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    let live = subscriber.live();
    scene.check(
        "both sides came back with the new token, and nothing was lost",
        "обе стороны вернулись с новым токеном, ничего не потеряно",
        live.numbers() == up_to(last),
        format!("{:?} of {last}", live.numbers()),
    );
    seen.extend([publisher, subscriber]);
    Ok(())
}

/// Both sides with one login.
async fn exchange(
    scene: &mut Scene<'_>,
    token: &str,
    login: &[String],
    seen: &mut Vec<Ended>,
) -> Result<(), String> {
    let chaos = scene.chaos_flags(scene.chaos);
    let flags = [&scene.bucket_flags(&[])[..], login, &chaos].concat();
    let key = format!("$KV.{}.{}", scene.names.bucket, scene.names.subject);
    let making = [&flags[..], &scene.replica_flags()].concat();
    // A first value, which makes the bucket.
    let once = scene.bucket_flags(&["--count", "1"]);
    let one = [&once[..], login, &scene.replica_flags()].concat();
    scene.publisher(kv_token_publisher::run, &one)?.end().await?.fine(Publisher)?;
    let witness = Witness::open(&scene.url, Auth::token(token), &key).await?;
    let subscriber = scene.subscriber(kv_token_subscriber::run, &flags)?;
    subscriber.says("up to date (").await?;
    let publisher = scene.publisher(kv_token_publisher::run, &making)?;
    let publisher = publisher.end().await?.fine(Publisher)?;
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
    scene.check_lines(&publisher, &subscriber, "NATS Key/Value token example");
    seen.extend([publisher, subscriber]);
    Ok(())
}

/// No token, and a wrong one.
async fn wrong(
    scene: &mut Scene<'_>,
    seen: &mut Vec<Ended>,
    secrets: &mut Vec<String>,
) -> Result<(), String> {
    scene.narrate(
        "Without a token, and with a wrong one: refused, exit code 4.",
        "Без токена и с неверным токеном: отказ, код выхода 4.",
    );
    let bad = token();
    secrets.push(bad.clone());
    let mut wrong = Vec::new();
    // The embedded server of this pair has gone: the reason would be another one.
    let setup = Setup { token: Some(token()), ..Setup::default() };
    let mut server = Embedded::start(setup).await?;
    for token in ["", bad.as_str()] {
        let flags = scene.bucket_flags(&["--url", &server.url(), "--token", token]);
        let ended = scene.publisher(kv_token_publisher::run, &flags)?.end().await?;
        if !ended.failure().starts_with("server refused the token") || ended.exit() != 4 {
            wrong.push(format!("{} (exit {})", ended.failure(), ended.exit()));
        }
        seen.push(ended);
    }
    server.stop().await;
    scene.check(
        "the server's refusal is shown, exit code 4",
        "отказ сервера показан, код выхода 4",
        wrong.is_empty(),
        wrong.join("; "),
    );
    Ok(())
}

/// A token that no text holds by chance.
fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}
