//! Streams that come and go: one that was made is there with what it holds, one that was deleted is not.

use anyhow::{Result, anyhow};

use super::{Dice, Load, Trouble, Turn, acked, code, ensure_stream, good};
use crate::lines::Client;

const NAMES: u64 = 6;

#[derive(Clone, Copy)]
enum Asked {
    Create,
    Publish,
    Delete,
}

#[derive(Default, Clone, Copy)]
struct Known {
    exists: bool,
    /// How often it was made.
    life: u64,
    messages: u64,
}

/// One client that makes, fills and deletes streams.
pub(super) struct Streams {
    dice: Dice,
    known: [Known; NAMES as usize],
    asked: Option<(usize, Asked)>,
    done: [u64; 3],
}

impl Streams {
    pub(super) fn new(seed: u64) -> Self {
        let dice = Dice::new(seed + 55);
        Self { dice, known: [Known::default(); NAMES as usize], asked: None, done: [0; 3] }
    }

    /// Asks, again if need be, and notes what was confirmed.
    fn ask(&mut self, client: &mut Client) -> Turn {
        let Some((at, asked)) = self.asked else { return Ok(()) };
        let name = format!("COMES{at}");
        let known = &mut self.known[at];
        match asked {
            Asked::Create => {
                ensure_stream(client, &name, &format!("\"subjects\":[\"comes.{at}\"]"))?;
                *known = Known { exists: true, life: known.life + 1, messages: 0 };
                self.done[0] += 1;
            }
            Asked::Publish => {
                let id = format!("Nats-Msg-Id: {}-{}\r\n", known.life, known.messages);
                let seq = acked(&client.request(&format!("comes.{at}"), &id, "1")?)?;
                if seq != known.messages + 1 {
                    return Err(anyhow!("{name}: {seq} after {}", known.messages).into());
                }
                known.messages = seq;
                self.done[1] += 1;
            }
            Asked::Delete => {
                let answer = client.api(&format!("STREAM.DELETE.{name}"), "")?;
                if code(&answer) != 10059 {
                    good(&answer, "STREAM.DELETE")?;
                }
                known.exists = false;
                self.done[2] += 1;
            }
        }
        self.asked = None;
        Ok(())
    }

    fn check(&self, client: &mut Client) -> Turn {
        for (at, known) in self.known.iter().enumerate() {
            let info = client.api(&format!("STREAM.INFO.COMES{at}"), "")?;
            if !known.exists {
                if code(&info) != 10059 {
                    return Err(anyhow!("COMES{at} was deleted: {info}").into());
                }
                continue;
            }
            let messages = good(&info, "STREAM.INFO")?["state"]["messages"].as_u64();
            if messages != Some(known.messages) {
                let stored = known.messages;
                return Err(anyhow!("COMES{at} has {messages:?}, confirmed were {stored}").into());
            }
        }
        Ok(())
    }
}

impl Load for Streams {
    fn resume(&mut self, client: &mut Client) -> Turn {
        self.ask(client)?;
        self.check(client)
    }

    fn work(&mut self, client: &mut Client) -> Turn {
        let at = self.dice.below(NAMES) as usize;
        let asked = match self.known[at].exists {
            false => Asked::Create,
            true if self.dice.below(8) == 0 => Asked::Delete,
            true => Asked::Publish,
        };
        self.asked = Some((at, asked));
        self.ask(client)
    }

    fn finish(&mut self, client: &mut Client) -> Result<String, Trouble> {
        self.check(client)?;
        let [made, published, deleted] = self.done;
        Ok(format!("{made} made, {published} published, {deleted} deleted"))
    }
}
