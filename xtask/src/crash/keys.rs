//! Key/Value buckets: the last revision of a key is the last that was confirmed, or one that was asked
//! for since.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Dice, Load, Trouble, Turn, acked, code, ensure_stream, good, read_all};
use crate::lines::Client;

const KEYS: u64 = 12;

/// What is known of a key: each change has a higher number.
#[derive(Default, Clone, Copy)]
struct Key {
    confirmed: u64,
    asked: u64,
}

/// A bucket with one writer.
pub(super) struct Keys {
    bucket: &'static str,
    history: u64,
    keys: Vec<Key>,
    dice: Dice,
    writes: u64,
    markers: u64,
}

impl Keys {
    pub(super) fn new(bucket: &'static str, history: u64, seed: u64) -> Self {
        let keys = vec![Key::default(); KEYS as usize];
        Self { bucket, history, keys, dice: Dice::new(seed + 77), writes: 0, markers: 0 }
    }

    fn check_key(&mut self, client: &mut Client, at: usize) -> Turn {
        let subject = format!("{}.{at}", self.bucket);
        let call = format!("STREAM.MSG.GET.{}", self.bucket);
        let answer = client.api(&call, &format!("{{\"last_by_subj\":\"{subject}\"}}"))?;
        let found = match code(&answer) {
            10037 => 0,
            _ => {
                let data = good(&answer, "STREAM.MSG.GET")?["message"]["data"].as_str();
                number(data.unwrap_or_default())?
            }
        };
        let Key { confirmed, asked } = self.keys[at];
        if found < confirmed || found > asked {
            return Err(anyhow!(
                "key {at} has {found}; confirmed was {confirmed}, asked for {asked}"
            )
            .into());
        }
        // Somebody has seen it.
        self.keys[at].confirmed = found;
        Ok(())
    }
}

impl Load for Keys {
    fn resume(&mut self, client: &mut Client) -> Turn {
        let config = format!(
            "\"subjects\":[\"{}.>\"],\"max_msgs_per_subject\":{},\"discard\":\"new\",\
             \"allow_rollup_hdrs\":true,\"deny_delete\":true,\"allow_direct\":true",
            self.bucket, self.history
        );
        ensure_stream(client, self.bucket, &config)?;
        (0..self.keys.len()).try_for_each(|at| self.check_key(client, at))
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        let at = self.dice.below(KEYS) as usize;
        let key = &mut self.keys[at];
        key.asked += 1;
        let asked = key.asked;
        let is_marker = self.dice.below(10) == 0;
        let headers = if is_marker { "KV-Operation: DEL\r\n" } else { "" };
        let subject = format!("{}.{at}", self.bucket);
        acked(&client.request(&subject, headers, &asked.to_string())?)?;
        self.keys[at].confirmed = asked;
        self.writes += 1;
        self.markers += u64::from(is_marker);
        Ok(())
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        (0..self.keys.len()).try_for_each(|at| self.check_key(client, at))?;
        let mut revisions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for stored in read_all(client, self.bucket)? {
            revisions.entry(stored.subject).or_default().push(stored.number);
        }
        for (subject, numbers) in &revisions {
            let fits = numbers.len() as u64 <= self.history && numbers.is_sorted_by(|a, b| a < b);
            if !fits {
                return Err(anyhow!("{subject} has the revisions {numbers:?}").into());
            }
        }
        Ok(format!(
            "{} revisions confirmed, {} of them markers, of {KEYS} keys",
            self.writes, self.markers
        ))
    }
}

/// The number in a body as the API shows it.
pub(super) fn number(base64: &str) -> Result<u64> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for byte in base64.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::from(digit(byte).context("not base64")?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    let text = String::from_utf8(bytes)?;
    ensure!(!text.is_empty(), "an empty body");
    Ok(text.parse()?)
}
