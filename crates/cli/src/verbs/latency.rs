//! `natterjack latency`: how long a message takes from one connection to another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use natterjack::Connector;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bench::stats::{Latencies, Latency as Figures};
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::output::Output;
use crate::plot;
use crate::table::Sheet;
use crate::units;

/// Measure how long a message takes from one connection to another.
///
/// The second connection sends at an even pace, the first one receives; both are in this process, so
/// that one clock takes both times. Ctrl-C ends it early and prints what there is.
#[derive(Debug, Args)]
pub(crate) struct Latency {
    /// Server of the sending connection; without one, the same as of the other
    #[arg(long, value_name = "URL")]
    server_b: Option<String>,
    /// Size of the messages' bodies, 8 B at the least
    #[arg(long, default_value = "8", value_name = "SIZE", value_parser = units::parse_size)]
    size: i64,
    /// Messages per second
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// How long to send
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = units::parse_duration)]
    duration: Duration,
    /// Write the percentiles into a file, in the form that HdrHistogram's plotter reads
    #[arg(long, value_name = "FILE")]
    histogram: Option<PathBuf>,
}

/// The stamp at the beginning of each body: nanoseconds since the measurement began.
const STAMP: usize = 8;

/// The percentiles that are shown.
const LADDER: [(&str, f64); 9] = [
    ("10", 0.1),
    ("50", 0.5),
    ("75", 0.75),
    ("90", 0.9),
    ("99", 0.99),
    ("99.9", 0.999),
    ("99.99", 0.9999),
    ("99.999", 0.99999),
    ("100", 1.0),
];

/// What was measured.
struct Measured {
    latencies: Latencies,
    sent: u64,
    received: u64,
}

impl Latency {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let size = usize::try_from(self.size).ok().filter(|size| *size >= STAMP);
        let size = size.ok_or_else(|| Failure::usage("--size is 8 B at the least"))?;
        let receiver = context.connect().await?;
        let sender = match &self.server_b {
            Some(server) => context.connect_to(server).await?,
            None => context.connect().await?,
        };
        let rtt = [receiver.rtt().await?, sender.rtt().await?];
        context.interrupt.finish_gracefully();
        let measured = self.measure(context, &receiver, &sender, size).await?;
        sender.close().await?;
        receiver.close().await?;
        let Some(figures) = measured.latencies.figures() else {
            let text = format!("none of {} messages arrived", units::count(measured.sent));
            return Err(Failure::new(status::TIMEOUT, "latency.nothing", text)
                .hint("are both servers of one cluster, and both users of one account?"));
        };
        self.print(&context.out, rtt, size, &measured, &figures);
        if let Some(path) = &self.histogram {
            write_percentiles(path, &measured.latencies, figures.count)?;
            context.out.say(format!("Saved percentiles in {}", path.display()));
        }
        // Somebody else may write to the inbox, too.
        match measured.sent.saturating_sub(measured.received) {
            0 => Ok(()),
            lost => {
                let (lost, sent) = (units::count(lost), units::count(measured.sent));
                let text = format!("{lost} of {sent} messages did not arrive");
                Err(Failure::new(status::PARTLY, "partly", text))
            }
        }
    }

    async fn measure(
        &self,
        context: &Context,
        receiver: &Connector,
        sender: &Connector,
        size: usize,
    ) -> Result<Measured, Failure> {
        let limit = context.timeout()?;
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(status::FAILED, "latency", error.to_string())
        };
        let (one, other) = (receiver.raw()?, sender.raw()?);
        let inbox = one.new_inbox();
        let subscriber = one.subscribe(inbox.clone()).await.map_err(|error| failed(&error))?;
        receiver.barrier(limit).await?;
        if other.server_info().max_payload < size {
            let most = units::size(other.server_info().max_payload as u64);
            let text = format!("--size is more than the server takes, {most}");
            return Err(Failure::new(status::FAILED, "msg.too_large", text)
                .hint("a smaller --size, or a larger max_payload in the server's configuration"));
        }
        let (heard, mut hears) = watch::channel(false);
        let began = Instant::now();
        let reader = Reader(tokio::spawn(read(subscriber, began, heard)));
        // The servers of a cluster tell each other a moment later where messages are wanted.
        let reached = async {
            while !*hears.borrow_and_update() {
                other.publish(inbox.clone(), Bytes::new()).await.map_err(|error| failed(&error))?;
                let _ = tokio::time::timeout(PROBE, hears.changed()).await;
            }
            Ok::<(), Failure>(())
        };
        match tokio::time::timeout(limit, reached).await {
            Ok(reached) => reached?,
            Err(_) => {
                return Ok(Measured { latencies: Latencies::default(), sent: 0, received: 0 });
            }
        }
        let begun = Instant::now();
        let spacing = Duration::from_secs(1) / self.rate;
        let mut ticks = tokio::time::interval(spacing);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut sent = 0_u64;
        let mut shown = begun;
        // At least one, however short the time is and whatever else the machine does meanwhile.
        while sent == 0 || begun.elapsed() < self.duration {
            tokio::select! {
                _ = ticks.tick() => {}
                () = context.interrupt.raised() => break,
            }
            let mut body = vec![0; size];
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            body[..STAMP].copy_from_slice(&nanos.to_be_bytes());
            let published = other.publish(inbox.clone(), Bytes::from(body)).await;
            published.map_err(|error| failed(&error))?;
            sent += 1;
            if shown.elapsed() >= Duration::from_millis(100) {
                shown = Instant::now();
                let left = self.duration.saturating_sub(begun.elapsed());
                let text =
                    format!("{} messages, {} left", units::count(sent), units::duration(left));
                context.out.progress(&text, false);
            }
        }
        context.out.progress("", false);
        // After all the others, the receiver is told that there is no more.
        let published = other.publish(inbox, Bytes::from_static(END)).await;
        published.map_err(|error| failed(&error))?;
        sender.barrier(limit).await?;
        let (latencies, received) = reader.end(limit).await?;
        Ok(Measured { latencies, sent, received })
    }

    fn print(
        &self,
        out: &Output,
        [rtt_a, rtt_b]: [Duration; 2],
        size: usize,
        measured: &Measured,
        figures: &Figures,
    ) {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let latencies = &measured.latencies;
        if out.json {
            let percentiles: Map<String, Value> = LADDER
                .iter()
                .map(|(name, part)| ((*name).to_owned(), latencies.at(*part).into()))
                .collect();
            out.document(&json!({
                "sent": measured.sent,
                "received": measured.received,
                "size": size,
                "rate": self.rate,
                "rtt_a_ns": nanos(rtt_a),
                "rtt_b_ns": nanos(rtt_b),
                "min_us": figures.min,
                "avg_us": figures.avg,
                "max_us": figures.max,
                "percentiles_us": percentiles,
            }));
            return;
        }
        let micros = |value: f64| units::duration(Duration::from_nanos((value * 1e3) as u64));
        let mut sheet = Sheet::new("Latency between two connections");
        sheet.row("Receiving server's RTT", units::duration(rtt_a));
        sheet.row("Sending server's RTT", units::duration(rtt_b));
        sheet.row("Message size", units::size(size as u64));
        sheet.row("Messages", units::count(measured.received));
        sheet.row("Average", micros(figures.avg));
        sheet.section("Percentiles");
        for (name, part) in LADDER {
            sheet.row(name, micros(latencies.at(part)));
        }
        sheet.print(out);
        let steps: Vec<(String, u64)> = latencies
            .steps()
            .into_iter()
            .map(|(end, count)| {
                (format!("< {}", units::duration(Duration::from_nanos(end))), count)
            })
            .collect();
        out.line(format!("\n{}", plot::bars(&steps, plot::width()).trim_end()));
    }
}

/// The body of the last message, shorter than that of any other but those that are not counted.
const END: &[u8] = b".";

/// How often it is tried whether messages arrive at all.
const PROBE: Duration = Duration::from_millis(20);

/// The receiving side; it ends with its handle.
struct Reader(JoinHandle<(Latencies, u64)>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reader {
    /// Waits for the last message.
    async fn end(mut self, limit: Duration) -> Result<(Latencies, u64), Failure> {
        let lost = |text: String| Failure::new(status::TIMEOUT, "latency.nothing", text);
        match tokio::time::timeout(limit, &mut self.0).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(lost(error.to_string())),
            Err(_) => Err(lost("the last message did not arrive".to_owned())),
        }
    }
}

/// Notes the time of each message until the last one.
async fn read(
    mut messages: Subscriber,
    began: Instant,
    heard: watch::Sender<bool>,
) -> (Latencies, u64) {
    let (mut latencies, mut received) = (Latencies::default(), 0);
    while let Some(message) = messages.next().await {
        let now = began.elapsed();
        match message.payload.first_chunk::<STAMP>() {
            Some(stamp) => {
                let sent = Duration::from_nanos(u64::from_be_bytes(*stamp));
                latencies.record(now.saturating_sub(sent));
                received += 1;
            }
            None if message.payload == END => break,
            None => drop(heard.send_replace(true)),
        }
    }
    (latencies, received)
}

/// Percentiles as HdrHistogram writes them: value in milliseconds, percentile, count, 1 / (1 - p).
fn write_percentiles(path: &Path, latencies: &Latencies, count: u64) -> Outcome {
    let mut text = "Value     Percentile     TotalCount     1/(1-Percentile)\n\n".to_owned();
    for (_, part) in LADDER {
        let inverse = match part {
            part if part < 1.0 => format!("{:.2}", 1.0 / (1.0 - part)),
            _ => "inf".to_owned(),
        };
        let below = (part * count as f64).ceil();
        let value = latencies.at(part) / 1e3;
        let _ = writeln!(text, "{value:.6}     {part:.12}     {below}     {inverse}");
    }
    std::fs::write(path, text).map_err(|error| Failure::io(path.display(), &error))
}
