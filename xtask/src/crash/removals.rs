//! Deletes and purges: what was removed and confirmed stays away, what was not stays.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};

use super::keys::number;
use super::{Dice, Load, Trouble, Turn, acked, code, ensure_stream, good, read_all};
use crate::lines::Client;

const STREAM: &str = "REMOVALS";

/// Something that was asked for. Asking again makes it so, whether it was done or not.
#[derive(Clone, Debug)]
enum Asked {
    Publish(u64),
    Delete(u64),
    PurgeBelow(u64),
    PurgeSubject(u64),
    Keep(u64),
}

/// One client that publishes and removes.
pub(super) struct Removals {
    dice: Dice,
    next: u64,
    asked: Option<Asked>,
    /// Sequence to number; the number says the subject.
    live: BTreeMap<u64, u64>,
    gone: BTreeSet<u64>,
    done: [u64; 3],
}

fn subject(number: u64) -> String {
    format!("removals.{}", number % 5)
}

impl Removals {
    pub(super) fn new(seed: u64) -> Self {
        let dice = Dice::new(seed + 99);
        let (live, gone) = (BTreeMap::new(), BTreeSet::new());
        Self { dice, next: 1, asked: None, live, gone, done: [0; 3] }
    }

    fn choose(&mut self) -> Asked {
        let last = self.live.last_key_value().map_or(0, |(seq, _)| *seq);
        match self.dice.below(100) {
            0..20 if !self.live.is_empty() => {
                let at = self.dice.below(self.live.len() as u64) as usize;
                Asked::Delete(self.live.keys().copied().nth(at).unwrap_or(1))
            }
            20..22 => Asked::PurgeBelow(last.saturating_sub(self.dice.below(300))),
            22..24 => Asked::PurgeSubject(self.dice.below(5)),
            24..25 => Asked::Keep(1 + self.dice.below(200)),
            _ => Asked::Publish(self.next),
        }
    }

    /// Asks, and notes what was confirmed.
    fn ask(&mut self, client: &mut Client) -> Turn {
        let Some(asked) = self.asked.clone() else { return Ok(()) };
        match &asked {
            Asked::Publish(number) => {
                let id = format!("Nats-Msg-Id: {number}\r\n");
                let ack = client.request(&subject(*number), &id, &number.to_string())?;
                self.live.insert(acked(&ack)?, *number);
                self.next = number + 1;
                self.done[0] += 1;
            }
            Asked::Delete(seq) => {
                let body = format!("{{\"seq\":{seq}}}");
                let answer = client.api(&format!("STREAM.MSG.DELETE.{STREAM}"), &body)?;
                // Deleted before the kill, it is not there for the second time.
                if !matches!(code(&answer), 10043 | 10057) {
                    good(&answer, "STREAM.MSG.DELETE")?;
                }
                self.remove(|at, _| at == *seq);
                self.done[1] += 1;
            }
            Asked::PurgeBelow(_) | Asked::PurgeSubject(_) | Asked::Keep(_) => {
                let body = match &asked {
                    Asked::PurgeBelow(seq) => format!("{{\"seq\":{seq}}}"),
                    Asked::PurgeSubject(n) => format!("{{\"filter\":\"{}\"}}", subject(*n)),
                    Asked::Keep(count) => format!("{{\"keep\":{count}}}"),
                    _ => String::new(),
                };
                let answer = client.api(&format!("STREAM.PURGE.{STREAM}"), &body)?;
                good(&answer, "STREAM.PURGE")?;
                let kept = match &asked {
                    Asked::Keep(count) => {
                        self.live.keys().rev().nth(*count as usize).copied().unwrap_or(0)
                    }
                    _ => 0,
                };
                self.remove(|at, number| match &asked {
                    Asked::PurgeBelow(seq) => *seq > 0 && at < *seq,
                    Asked::PurgeSubject(n) => number % 5 == n % 5,
                    _ => at <= kept,
                });
                if matches!(asked, Asked::PurgeBelow(0)) {
                    // All of it.
                    self.remove(|_, _| true);
                }
                self.done[2] += 1;
            }
        }
        self.asked = None;
        Ok(())
    }

    fn remove(&mut self, which: impl Fn(u64, u64) -> bool) {
        let gone: Vec<u64> =
            self.live.iter().filter(|(seq, n)| which(**seq, **n)).map(|(seq, _)| *seq).collect();
        for seq in gone {
            self.live.remove(&seq);
            self.gone.insert(seq);
        }
    }

    fn check(&mut self, client: &mut Client, seq: u64) -> Turn {
        let answer =
            client.api(&format!("STREAM.MSG.GET.{STREAM}"), &format!("{{\"seq\":{seq}}}"))?;
        let found = match code(&answer) {
            10037 => None,
            _ => {
                let data = good(&answer, "STREAM.MSG.GET")?["message"]["data"].as_str();
                Some(number(data.unwrap_or_default())?)
            }
        };
        let expected = self.live.get(&seq).copied();
        if found != expected {
            return Err(anyhow!("{seq} is {found:?}, and was to be {expected:?}").into());
        }
        Ok(())
    }
}

impl Load for Removals {
    fn resume(&mut self, client: &mut Client) -> Turn {
        ensure_stream(client, STREAM, "\"subjects\":[\"removals.>\"],\"allow_direct\":true")?;
        self.ask(client)?;
        let recent = |all: &mut dyn Iterator<Item = u64>| all.take(5).collect::<Vec<u64>>();
        let gone = recent(&mut self.gone.iter().rev().copied());
        let live = recent(&mut self.live.keys().rev().copied());
        gone.into_iter().chain(live).try_for_each(|seq| self.check(client, seq))
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        self.asked = Some(self.choose());
        self.ask(client)
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        let stored: BTreeMap<u64, u64> =
            read_all(client, STREAM)?.into_iter().map(|it| (it.seq, it.number)).collect();
        if stored != self.live {
            let missing: Vec<_> =
                self.live.iter().filter(|(s, _)| !stored.contains_key(s)).collect();
            let back: Vec<_> = stored.iter().filter(|(s, _)| !self.live.contains_key(s)).collect();
            return Err(anyhow!("missing {missing:?}, back {back:?}").into());
        }
        let [published, deleted, purged] = self.done;
        Ok(format!(
            "{published} published, {deleted} deletes, {purged} purges, {} left, none back",
            stored.len()
        ))
    }
}
