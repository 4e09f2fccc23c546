//! Pair 8: pair 7 through a logger; its files rotate without losing a line.

use std::future::Future;
use std::path::{Path, PathBuf};

use natterjack::ByteSize;
use natterjack::logging::{self, LogConfig, LogFile, LogGuard};
use natterjack_examples::{Out, Outcome, Stop, logging_publisher, logging_subscriber};

use super::super::scene::{COUNT, Scene};
use super::super::show::Role::{self, Publisher, Subscriber};
use super::super::side::Side;
use super::up_to;

/// Lines of the run whose log rotates.
const LINES: u64 = 200;
/// The size at which a file is set aside there; small, to see it happen.
const SMALL: u64 = 2048;
/// Files that must have been set aside then.
const ROTATIONS: usize = 10;

pub(super) async fn play(scene: &mut Scene<'_>) -> Result<(), String> {
    together(scene).await?;
    rotate(scene).await?;
    unwritable(scene).await
}

/// A side that logs to a file of its own, as its `main` would set it up for the whole process.
fn start<O, F, Fut>(
    scene: &Scene<'_>,
    role: Role,
    run: F,
    flags: &[String],
    file: LogFile,
) -> Result<(Side, LogGuard), String>
where
    O: clap::Parser + Send + 'static,
    F: FnOnce(O, Out, Stop) -> Fut + Send + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let config = LogConfig::new().console(false).file(file).file_filter(logging::DEFAULT_FILTER);
    let (log, guard) = logging::local(config);
    Ok((Side::start(scene.show, role, run, flags, Some(log))?, guard))
}

async fn together(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "The same lines now go through a logger, to the console and to a file.",
        "Те же строки идут теперь через журнал: на консоль и в файл.",
    );
    let witness = scene.witness(&scene.names.subject.clone()).await?;
    let (to, from) =
        (scene.path("logs/nats_publisher.log"), scene.path("logs/nats_subscriber.log"));
    let chaos = scene.chaos_flags(scene.chaos);
    let flags = [scene.consumer_flags(&[]), chaos.clone()].concat();
    let (subscriber, sub_log) =
        start(scene, Subscriber, logging_subscriber::run, &flags, LogFile::new(&from))?;
    subscriber.says("holds 0 messages").await?;
    let flags = [scene.stream_flags(&[]), chaos].concat();
    let (publisher, pub_log) =
        start(scene, Publisher, logging_publisher::run, &flags, LogFile::new(&to))?;
    let publisher = publisher.end().await?.fine(Publisher)?;
    let subscriber = subscriber.end().await?.fine(Subscriber)?;
    drop((sub_log, pub_log));
    scene.count(&publisher, &subscriber);
    let mut numbers = subscriber.numbers();
    if scene.chaos {
        numbers.sort_unstable();
        numbers.dedup();
    }
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
    let mut wrong = Vec::new();
    for (path, side, target) in
        [(&to, &publisher, "nats_publisher"), (&from, &subscriber, "nats_subscriber")]
    {
        let logged = entries(&read(path)?, target)?;
        let shown: Vec<&str> = side.lines.iter().map(|line| line.text.as_str()).collect();
        if logged != shown {
            wrong.push(format!("{}: {} of {} lines", path.display(), logged.len(), shown.len()));
        }
    }
    scene.check(
        "each side's file holds its lines, with time and level, without colour",
        "в файле каждой стороны — её строки с временем и уровнем, без цвета",
        wrong.is_empty(),
        wrong.join("; "),
    );
    Ok(())
}

/// The texts of log lines such as `2026-01-31T12:00:00.123+00:00 INFO  nats_publisher | text`.
fn entries(text: &str, target: &str) -> Result<Vec<String>, String> {
    let entry = |line: &str| {
        let (head, text) = line.split_once(" | ")?;
        let mut words = head.split_whitespace();
        let time: jiff::Timestamp = words.next()?.parse().ok()?;
        let level = words.next()?;
        let plain = !line.contains('\x1b') && time > jiff::Timestamp::UNIX_EPOCH;
        let known = ["INFO", "WARN", "ERROR"].contains(&level) && words.next()? == target;
        (plain && known).then(|| text.to_owned())
    };
    text.lines().map(|line| entry(line).ok_or_else(|| format!("not a log line: {line}"))).collect()
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Small files, many lines.
async fn rotate(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "Two hundred lines into files of two kilobytes: they are set aside while the program runs.",
        "Двести строк в файлы по два килобайта: они сменяются на ходу.",
    );
    let path = scene.path("rotating/nats_publisher.log");
    let file = LogFile::new(&path).max_bytes(ByteSize::new(SMALL)).backups(100);
    let lines = LINES.to_string();
    let flags = scene.stream_flags(&["--count", &lines, "--interval", "0s"]);
    let quiet = super::super::show::Show { quiet: true, ..scene.show };
    let config = LogConfig::new().console(false).file(file).file_filter(logging::DEFAULT_FILTER);
    let (log, guard) = logging::local(config);
    let publisher = Side::start(quiet, Publisher, logging_publisher::run, &flags, Some(log))?;
    publisher.end().await?.fine(Publisher)?;
    let lost = guard.lost_lines();
    drop(guard);
    // The oldest has the highest number.
    let mut files: Vec<PathBuf> = (1..=100)
        .rev()
        .map(|n| path.with_file_name(format!("nats_publisher.log.{n}")))
        .filter(|path| path.exists())
        .collect();
    let rotations = files.len();
    files.push(path);
    let mut logged = Vec::new();
    let mut largest = 0;
    for file in &files {
        let text = read(file)?;
        largest = largest.max(text.len() as u64);
        logged.extend(entries(&text, "nats_publisher")?);
    }
    let numbers: Vec<u64> = logged
        .iter()
        .filter(|text| text.starts_with("-> "))
        .filter_map(|text| natterjack_examples::number(text))
        .collect();
    scene.check(
        "over ten rotations no line was lost, split or out of order",
        "за десять смен файла ни одна строка не потеряна, не разорвана и не переставлена",
        numbers == up_to(LINES) && lost == 0 && rotations >= ROTATIONS,
        format!("{} numbers, {lost} lost, {rotations} files", numbers.len()),
    );
    scene.check(
        "no file is larger than asked for",
        "ни один файл не больше заданного",
        largest <= SMALL,
        format!("{largest} bytes"),
    );
    Ok(())
}

/// The directory of the log cannot be written to.
async fn unwritable(scene: &mut Scene<'_>) -> Result<(), String> {
    scene.narrate(
        "A log directory that cannot be written to is a warning, not the end.",
        "Недоступный для записи каталог журнала — предупреждение, а не конец.",
    );
    let blocker = scene.path("not-a-directory");
    std::fs::write(&blocker, "").map_err(|error| error.to_string())?;
    let file = LogFile::new(blocker.join("nats_publisher.log"));
    let flags = scene.stream_flags(&["--count", "2"]);
    let (publisher, guard) = start(scene, Publisher, logging_publisher::run, &flags, file)?;
    let publisher = publisher.end().await?;
    let warned = guard.warnings().iter().any(|warning| warning.contains("nats_publisher.log"));
    scene.check(
        "the program warned and went on",
        "программа предупредила и продолжила работу",
        warned && publisher.exit() == 0 && publisher.numbers() == [1, 2],
        format!("{:?}, exit {}", guard.warnings(), publisher.exit()),
    );
    Ok(())
}
