//! What is printed and written at the end.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::harness::{Kind, Measured};
use super::options::Common;
use super::stats::{Latency, Sample, Spread, total};
use crate::exit::{Failure, Outcome, status};
use crate::json;
use crate::output::{Format, Output};
use crate::table::Table;
use crate::units;

/// Prints and writes what was measured. How the command ends: with why it ended early, if it did.
pub(super) fn finish(out: &Output, common: &Common, measured: Measured) -> Outcome {
    let Measured { ref samples, ref failure, interrupted, .. } = measured;
    let all = total(samples);
    if all.messages > 0 || failure.is_none() {
        let compared = compare(common, &measured, &all)?;
        if out.json {
            let mut document = document(&measured, &all);
            if let Some(compared) = &compared {
                document.insert("compare".to_owned(), compared.clone());
            }
            out.document(&document);
        } else {
            for warning in &measured.warnings {
                out.warn(warning);
            }
            print(out, &measured, &all);
            if let Some(compared) = &compared {
                print_compared(out, compared);
            }
        }
        if let Some(path) = &common.csv {
            std::fs::write(path, csv(measured.kind, samples))
                .map_err(|error| Failure::io(path.display(), &error))?;
            out.say(format!("Saved metric data in csv file {}", path.display()));
        }
    }
    match measured.failure {
        Some(failure) => Err(failure),
        None if interrupted => {
            let text = format!("interrupted after {} messages", units::count(all.messages));
            Err(Failure::new(status::INTERRUPTED, "interrupted", text))
        }
        None => Ok(()),
    }
}

/// With thousands marked; what is long needs no digits behind the point.
fn micros(value: f64) -> String {
    let (whole, part) = (value.trunc() as u64, value.fract());
    if whole >= 100_000 {
        return units::count(whole);
    }
    let hundredths = format!("{part:.2}");
    match hundredths.strip_prefix('0') {
        Some(rest) => format!("{}{rest}", units::count(whole)),
        // Rounded up to 1.00.
        None => format!("{}.00", units::count(whole + 1)),
    }
}

fn rates(sample: &Sample) -> String {
    format!(
        "{} msgs/sec ~ {}/sec",
        units::count(sample.message_rate() as u64),
        units::size(sample.byte_rate() as u64)
    )
}

fn print(out: &Output, measured: &Measured, all: &Sample) {
    let Measured { kind, samples, .. } = measured;
    if out.format != Format::Table {
        table(*kind, samples, Some(all)).print(out);
        return;
    }
    out.line("");
    if let [sample] = samples.as_slice() {
        let mut line = format!("NATS {} stats: {}", kind.label, rates(sample));
        if let Some(latency) = sample.latency() {
            for (name, value) in figures(&latency).into_iter().filter(|(name, _)| *name != "stddev")
            {
                line.push_str(&format!(" ~ {name}: {}us", micros(value)));
            }
        }
        out.line(line);
        return;
    }
    table(*kind, samples, None).print(out);
    out.line(format!("\nNATS {} aggregated stats: {}", kind.label, rates(all)));
    let Spread { min, avg, max, stddev } = spread(samples);
    let count = |value: f64| units::count(value as u64);
    out.line(format!(
        " message rates min {} | avg {} | max {} | stddev {} msgs",
        count(min),
        count(avg),
        count(max),
        count(stddev)
    ));
    if let Some(latency) = all.latency() {
        let parts: Vec<String> = figures(&latency)
            .into_iter()
            .map(|(name, value)| format!("{name} {}us", micros(value)))
            .collect();
        out.line(format!(" latencies per operation {}", parts.join(" | ")));
    }
}

fn spread(samples: &[Sample]) -> Spread {
    let rates: Vec<f64> = samples.iter().map(Sample::message_rate).collect();
    Spread::of(&rates)
}

/// With the names that people see.
fn figures(latency: &Latency) -> [(&'static str, f64); 8] {
    let Latency { min, avg, max, stddev, p50, p90, p99, p999, .. } = *latency;
    [
        ("min", min),
        ("avg", avg),
        ("max", max),
        ("stddev", stddev),
        ("P50", p50),
        ("P90", p90),
        ("P99", p99),
        ("P99.9", p999),
    ]
}

/// A row for each client; with `all` a last one for all of them.
fn table(kind: Kind, samples: &[Sample], all: Option<&Sample>) -> Table {
    let timed = samples.iter().any(|sample| sample.latency().is_some());
    let head: &[&str] = &[
        "Client",
        "Msgs",
        "Seconds",
        "Msgs/sec",
        "Bytes/sec",
        "min us",
        "avg us",
        "max us",
        "stddev us",
        "P50 us",
        "P90 us",
        "P99 us",
        "P99.9 us",
    ];
    let columns = if timed { head.len() } else { 5 };
    let numbers: Vec<usize> = (1..columns).collect();
    let mut table = Table::new(format!("NATS {}", kind.label), &head[..columns]).right(&numbers);
    let mut row = |name: String, sample: &Sample| {
        let mut cells = vec![
            name,
            units::count(sample.messages),
            format!("{:.3}", sample.seconds()),
            units::count(sample.message_rate() as u64),
            units::size(sample.byte_rate() as u64),
        ];
        match sample.latency() {
            Some(latency) => cells.extend(figures(&latency).map(|(_, value)| micros(value))),
            None => cells.resize(columns, String::new()),
        }
        table.row(cells);
    };
    for (nth, sample) in samples.iter().enumerate() {
        row((nth + 1).to_string(), sample);
    }
    if let Some(all) = all {
        row("all".to_owned(), all);
    }
    table
}

/// All that is printed, in messages, bytes, seconds and microseconds.
fn document(measured: &Measured, all: &Sample) -> Map<String, Value> {
    let Measured { kind, facts, server, samples, warnings, interrupted, failure } = measured;
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("bench", kind.form.into());
    put("label", kind.label.into());
    put(
        "server",
        match server {
            Some(server) => json!({"name": server.name, "version": server.version}),
            None => Value::Null,
        },
    );
    put("options", facts.json());
    let clients = samples.iter().enumerate().map(|(nth, sample)| {
        let mut client = Map::new();
        client.insert("client".to_owned(), (nth + 1).into());
        client.extend(object(sample));
        client.into()
    });
    put("clients", clients.collect::<Vec<Value>>().into());
    let mut sums = object(all);
    let Spread { min, avg, max, stddev } = spread(samples);
    let rates = json!({"min": min, "avg": avg, "max": max, "stddev": stddev});
    sums.insert("message_rates".to_owned(), rates);
    put("total", sums.into());
    put("interrupted", (*interrupted).into());
    put("complete", (!interrupted && failure.is_none()).into());
    put("warnings", warnings.clone().into());
    document
}

fn object(sample: &Sample) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("msgs", sample.messages.into());
    put("bytes", sample.bytes.into());
    put("seconds", sample.seconds().into());
    put("msgs_per_second", sample.message_rate().into());
    put("bytes_per_second", sample.byte_rate().into());
    if let Some(latency) = sample.latency() {
        let mut latencies = Map::new();
        latencies.insert("count".to_owned(), latency.count.into());
        for (name, value) in figures(&latency) {
            latencies.insert(name.to_lowercase().replace('.', "_"), value.into());
        }
        put("latency_us", latencies.into());
    }
    object
}

/// The columns of the `nats` tool's files.
fn csv(kind: Kind, samples: &[Sample]) -> String {
    let timed = samples.iter().any(|sample| sample.latency().is_some());
    let mut text =
        "#RunID,ClientID,MsgCount,MsgBytes,MsgsPerSec,BytesPerSec,DurationSecs".to_owned();
    let latency_names = ["Min", "Avg", "Max", "P50", "P90", "P99", "P99.9", "StdDev"];
    if timed {
        for name in latency_names {
            text.push_str(&format!(",{name}LatencyMicroSecs"));
        }
    }
    text.push('\n');
    let run = format!("{:016x}", rand::random::<u64>());
    for (nth, sample) in samples.iter().enumerate() {
        text.push_str(&format!(
            "{run},{}{nth},{},{},{},{:.6},{:.6}",
            kind.letter,
            sample.messages,
            sample.bytes,
            sample.message_rate() as u64,
            sample.byte_rate(),
            sample.seconds(),
        ));
        if timed {
            let latency = sample.latency();
            for name in latency_names {
                let value = latency.as_ref().and_then(|latency| {
                    figures(latency).into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name))
                });
                text.push_str(&value.map_or(",".to_owned(), |(_, value)| format!(",{value:.6}")));
            }
        }
        text.push('\n');
    }
    text
}

/// An earlier measurement.
pub(super) fn earlier(path: Option<&PathBuf>) -> Result<Option<Value>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?;
    read_earlier(path, &text).map(Some)
}

fn read_earlier(path: &Path, text: &str) -> Result<Value, Failure> {
    let bad = || {
        Failure::usage(format!("{} holds no measurement", path.display()))
            .hint("natterjack bench .. --json > FILE writes one")
    };
    let value: Value = serde_json::from_str(text).map_err(|_| bad())?;
    match value.pointer("/total/msgs_per_second").and_then(Value::as_f64) {
        Some(_) => Ok(value),
        None => Err(bad()),
    }
}

/// Ratios to an earlier measurement, all turned so that above 1 is better.
fn compare(common: &Common, measured: &Measured, all: &Sample) -> Result<Option<Value>, Failure> {
    let Some(earlier) = earlier(common.compare.as_ref())? else { return Ok(None) };
    Ok(Some(compared(&earlier, &document(measured, all).into())))
}

fn compared(earlier: &Value, now: &Value) -> Value {
    let mut ratios = Map::new();
    let pairs = |pointer: &str| {
        let get = |value: &Value| value.pointer(pointer).and_then(Value::as_f64);
        get(earlier).zip(get(now)).filter(|(before, after)| *before > 0.0 && *after > 0.0)
    };
    for name in ["msgs_per_second", "bytes_per_second"] {
        if let Some((before, after)) = pairs(&format!("/total/{name}")) {
            ratios.insert(name.to_owned(), (after / before).into());
        }
    }
    for name in ["avg", "p50", "p90", "p99", "p99_9"] {
        if let Some((before, after)) = pairs(&format!("/total/latency_us/{name}")) {
            ratios.insert(format!("latency_{name}"), (before / after).into());
        }
    }
    let same = ["/bench", "/options"].iter().all(|at| earlier.pointer(at) == now.pointer(at));
    json!({
        "earlier": json::text(earlier, "/bench"),
        "same_options": same,
        "ratios": ratios,
    })
}

fn print_compared(out: &Output, compared: &Value) {
    if !json::flag(compared, "/same_options") {
        out.warn("the earlier measurement was made with other options");
    }
    let ratios = compared.get("ratios").and_then(Value::as_object);
    let parts: Vec<String> = ratios
        .into_iter()
        .flatten()
        .filter_map(|(name, ratio)| {
            Some(format!("{} {:.2}", name.replace('_', " "), ratio.as_f64()?))
        })
        .collect();
    out.line(format!(" against the earlier one, above 1 is better: {}", parts.join(" | ")));
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::super::stats::tests::sample;
    use super::*;

    const KIND: Kind = Kind { form: "pub", label: "publisher", doing: "publishing", letter: 'P' };

    fn measured(latencies: &[u64]) -> Measured {
        let origin = std::time::Instant::now();
        Measured {
            kind: KIND,
            facts: Facts::default().number("msgs", 300),
            server: None,
            samples: vec![
                sample(origin, (0, 1000), 100, latencies),
                sample(origin, (0, 500), 200, latencies),
            ],
            warnings: vec!["w".to_owned()],
            interrupted: false,
            failure: None,
        }
    }

    #[test]
    fn microseconds_have_two_digits_unless_they_are_many() {
        for (value, text) in [
            (0.0, "0.00"),
            (1.5, "1.50"),
            (1234.567, "1,234.57"),
            (9.999, "10.00"),
            (123_456.789, "123,456"),
        ] {
            assert_eq!(micros(value), text);
        }
    }

    #[test]
    fn the_document_holds_clients_sums_and_spread() {
        let measured = measured(&[10, 20, 30]);
        let document = Value::from(document(&measured, &total(&measured.samples)));
        assert_eq!(document["bench"], "pub");
        assert_eq!(document["options"]["msgs"], 300);
        assert_eq!(document["clients"][0]["client"], 1);
        assert_eq!(document["clients"][1]["msgs_per_second"], 400.0);
        assert_eq!(document["clients"][0]["latency_us"]["max"], 30.0);
        let all = &document["total"];
        assert_eq!((all["msgs"].as_u64(), all["bytes"].as_u64()), (Some(300), Some(3000)));
        assert_eq!(all["seconds"], 1.0);
        assert_eq!(all["message_rates"]["min"], 100.0);
        assert_eq!(all["message_rates"]["avg"], 250.0);
        assert_eq!(all["message_rates"]["stddev"], 150.0);
        assert_eq!(all["latency_us"]["count"], 6);
        for name in ["min", "avg", "max", "stddev", "p50", "p90", "p99", "p99_9"] {
            assert!(all["latency_us"][name].is_f64(), "{name}");
        }
        assert_eq!((&document["complete"], &document["warnings"][0]), (&true.into(), &"w".into()));
    }

    #[test]
    fn a_file_has_the_columns_of_the_nats_tool() {
        let text = csv(KIND, &measured(&[]).samples);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "#RunID,ClientID,MsgCount,MsgBytes,MsgsPerSec,BytesPerSec,DurationSecs"
        );
        assert!(lines[1].ends_with(",P0,100,1000,100,1000.000000,1.000000"), "{text}");
        assert!(lines[2].contains(",P1,200,"), "{text}");
        let text = csv(KIND, &measured(&[10]).samples);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(",P99.9LatencyMicroSecs,StdDevLatencyMicroSecs"), "{text}");
        let fields = |line: &str| line.split(',').count();
        assert_eq!((fields(lines[0]), fields(lines[1])), (15, 15));
        assert_eq!(lines[1].split(',').nth(7), Some("10.000000"));
    }

    #[test]
    fn ratios_are_turned_so_that_above_one_is_better() {
        let earlier = json!({"bench": "pub", "options": {"msgs": 300}, "total": {
            "msgs_per_second": 150.0, "bytes_per_second": 3000.0, "latency_us": {"p50": 40.0},
        }});
        let measured = measured(&[20]);
        let now = Value::from(document(&measured, &total(&measured.samples)));
        let compared = compared(&earlier, &now);
        assert_eq!(compared["ratios"]["msgs_per_second"], 2.0);
        assert_eq!(compared["ratios"]["bytes_per_second"], 1.0);
        assert_eq!(compared["ratios"]["latency_p50"], 2.0);
        assert_eq!(compared["same_options"], true);
        let path = Path::new("x.json");
        assert!(read_earlier(path, &earlier.to_string()).is_ok());
        assert!(read_earlier(path, "{}").is_err());
        assert!(read_earlier(path, "no").is_err());
    }
}
