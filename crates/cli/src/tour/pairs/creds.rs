//! Pair 2: a user with a credentials file, and the ways in which such a file can be wrong.

use std::path::{Path, PathBuf};

use natterjack::Auth;
use natterjack_examples::{creds_publisher, creds_subscriber};

use super::super::arena::{Embedded, Setup};
use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{Publisher, Subscriber};
use super::super::witness::Witness;
use super::up_to;
use crate::verbs::auth::Quick;

/// The port in the configuration that stands for "any".
const ANY_PORT: u16 = 4222;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    let own = std::env::var_os("NATS_CREDS").filter(|_| scene.home.is_none());
    if let Some(file) = own {
        scene.narrate(
            "The credentials file is that of NATS_CREDS, on your server.",
            "Файл учётных данных — из NATS_CREDS, на вашем сервере.",
        );
        return exchange(scene, &PathBuf::from(file), None).await;
    }
    if scene.home.is_none() {
        scene.narrate(
            "NATS_CREDS is not set: this pair logs in to an embedded server, not to yours.",
            "NATS_CREDS не задано: эта пара входит на встроенный сервер, а не на ваш.",
        );
    }
    scene.narrate(
        "`natterjack auth quick` makes an operator, an account, users and a server's configuration.",
        "`natterjack auth quick` создаёт оператора, аккаунт, пользователей и настройки сервера.",
    );
    let dir = Quick::make(scene.path("creds"), ANY_PORT).map_err(|failure| failure.message)?;
    let conf = Some(dir.join("server.conf"));
    let mut server = Embedded::start(Setup { conf, ..Setup::default() }).await?;
    scene.url = server.url();
    exchange(scene, &dir.join("demo.creds"), Some(&dir.join("admin.creds"))).await?;
    wrong_files(scene, &dir).await?;
    replaced(scene, &mut server, &dir).await?;
    server.stop().await;
    Ok(())
}

/// Both sides with one file; `admin` lets a witness look at the forbidden subject.
async fn exchange(scene: &mut Scene<'_>, file: &Path, admin: Option<&Path>) -> Result<(), String> {
    let login = Auth::creds_file(file);
    let witness = Witness::open(&scene.url, login.clone(), &scene.names.subject).await?;
    let secret = match admin {
        Some(admin) => {
            Some(Witness::open(&scene.url, Auth::creds_file(admin), "demo.secret").await?)
        }
        None => None,
    };
    let file = file.display().to_string();
    let subscriber = scene.subscriber(creds_subscriber::run, &scene.flags(&["--creds", &file]))?;
    subscriber.says("listening on").await?;
    let publisher = scene.publisher(creds_publisher::run, &scene.flags(&["--creds", &file]))?;
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
        counted.numbers.len() as u64 == COUNT,
        format!("{counted:?}"),
    );
    scene.check_lines(&publisher, &subscriber, "NATS creds example");
    let claims = login.claims().await.map_err(|error| error.to_string())?;
    let user = claims.map(|user| format!("user {} of account {}", user.name, user.account));
    scene.check(
        "the subscriber shows who the file says it is",
        "подписчик показывает, кто он по своему файлу",
        user.as_ref().is_some_and(|user| subscriber.said(user)),
        format!("{user:?}"),
    );
    if let Some(secret) = secret {
        let passed = secret.count().await?.others;
        scene.check(
            "a forbidden publish is reported, and reaches nobody",
            "о запрещённой отправке сообщено, и она ни до кого не дошла",
            publisher.said("permission denied: publish demo.secret") && passed == 0,
            format!("{passed} passed"),
        );
    }
    Ok(())
}

/// Missing, damaged, expired, revoked.
async fn wrong_files(scene: &mut Scene<'_>, dir: &Path) -> Result<(), String> {
    scene.narrate(
        "Four files that cannot work: each gives a reason of its own and exit code 4.",
        "Четыре негодных файла: у каждого своя причина и код выхода 4.",
    );
    let io = |error: std::io::Error| error.to_string();
    let text = std::fs::read_to_string(dir.join("demo.creds")).map_err(io)?;
    let half: String = text.split_inclusive('\n').take(3).collect();
    std::fs::write(dir.join("damaged.creds"), half).map_err(io)?;
    let missing = format!("credentials file {} not found", dir.join("missing.creds").display());
    let mut wrong = Vec::new();
    for (name, reason) in [
        ("missing", missing.as_str()),
        ("damaged", "are malformed: no user seed block"),
        ("expired", "expired 3 h ago"),
        ("revoked", "server refused the credentials"),
    ] {
        let file = dir.join(format!("{name}.creds")).display().to_string();
        let flags = scene.flags(&["--creds", &file]);
        let ended = scene.publisher(creds_publisher::run, &flags)?.end().await?;
        if !ended.failure().contains(reason) || ended.exit() != 4 {
            wrong.push(format!("{name}: {} (exit {})", ended.failure(), ended.exit()));
        } else {
            scene.show.print(&format!("{:>14}{}", "", ended.failure()));
        }
    }
    scene.check(
        "missing, damaged, expired and revoked files are told apart, exit code 4",
        "файлы отсутствующий, повреждённый, истёкший и отозванный различены, код выхода 4",
        wrong.is_empty(),
        wrong.join("; "),
    );
    Ok(())
}

/// Another file is put in place while the server is away.
async fn replaced(scene: &mut Scene<'_>, server: &mut Embedded, dir: &Path) -> Result<(), String> {
    scene.narrate(
        "While the server is away, the file is replaced by that of a user who may do more.",
        "Пока сервера нет, файл заменён файлом пользователя с большими правами.",
    );
    let io = |error: std::io::Error| error.to_string();
    let file = dir.join("current.creds");
    std::fs::copy(dir.join("demo.creds"), &file).map_err(io)?;
    let path = file.display().to_string();
    let flags = scene.flags(&["--creds", &path, "--count", "0", "--interval", "50ms"]);
    let publisher = scene.publisher(creds_publisher::run, &flags)?;
    publisher.messages(2).await?;
    server.stop().await;
    publisher.says("disconnected, retrying in").await?;
    std::fs::copy(dir.join("admin.creds"), &file).map_err(io)?;
    server.start_again().await?;
    publisher.says("reconnected after").await?;
    publisher.stop();
    let publisher = publisher.end().await?.fine(Publisher)?;
    scene.check(
        "the replaced file was used for the new connection",
        "для нового соединения взят заменённый файл",
        publisher.said("this user may publish to demo.secret"),
        "the old user was still at work",
    );
    Ok(())
}
