//! `natterjack top`: what a server does, on the whole screen.
//!
//! Samples come from a monitoring port or through the system account ([`source`]); what is shown of them
//! and how keys change that is [`model`], how it is drawn [`view`]. A server that cannot be asked is a
//! banner above what was known last.

mod keys;
mod model;
mod names;
mod rows;
mod snapshot;
mod source;
#[cfg(test)]
mod tests;
mod view;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::units;
use keys::Action;
use model::{Model, Tab};
use source::Source;

/// Show what a server does, on the whole screen.
///
/// It asks the monitoring port that --monitor names, or the server that it connects to as a user of the
/// system account. `?` shows the keys.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Monitoring port, as http://127.0.0.1:8222
    #[arg(short = 'm', long, value_name = "URL")]
    monitor: Option<String>,
    /// Time between two looks
    #[arg(short = 'd', long, default_value = "1s", value_name = "DURATION", value_parser = units::parse_duration)]
    delay: Duration,
    /// Most connections to ask for
    #[arg(short = 'n', long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// What is shown first
    #[arg(long, default_value = "connections")]
    tab: Tab,
    /// Column to sort by: of connections by number, of streams by messages, of consumers by lag
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// Only rows with this text
    #[arg(long, default_value = "", value_name = "TEXT")]
    filter: String,
    /// Bytes as they are, without units
    #[arg(short = 'b', long)]
    bytes: bool,
    /// Names of hosts instead of addresses
    #[arg(long)]
    lookup: bool,
    /// Also the subjects of subscriptions
    #[arg(short = 'u', long)]
    subs: bool,
    /// Write what is shown into a file and end; `-` is standard output
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    file: Option<PathBuf>,
    /// With -o, what stands between two cells
    #[arg(short = 'l', long, value_name = "DELIMITER", requires = "file")]
    delimiter: Option<String>,
    /// End after so many looks
    #[arg(short = 'r', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,
}

/// How often it is looked whether somebody presses a key, when nobody does.
const KEY_POLL: Duration = Duration::from_millis(100);

impl Top {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let once = self.file.is_some() || context.out.json;
        if !once && !std::io::stdout().is_terminal() {
            return Err(Failure::usage("there is no terminal to draw on")
                .hint("natterjack top -o - prints one look"));
        }
        if self.delay.is_zero() {
            return Err(Failure::usage("--delay must be above zero"));
        }
        let mut model = Model::new(self.tab);
        model.limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        model.filter.clone_from(&self.filter);
        (model.raw_bytes, model.lookup, model.subscriptions) = (self.bytes, self.lookup, self.subs);
        if let Some(column) = &self.sort {
            model.sort_by(column)?;
        }
        let source = Source::open(context, self.monitor.as_deref()).await?;
        let outcome = match once {
            true => self.snapshots(context, &source, model).await,
            false => {
                context.interrupt.finish_gracefully();
                let mut screen = Screen::open()?;
                self.watch(context, &source, model, &mut screen).await
            }
        };
        source.close().await?;
        outcome
    }

    /// Writes what would be shown, a look after the other.
    async fn snapshots(&self, context: &Context, source: &Source, mut model: Model) -> Outcome {
        let mut ticks = tokio::time::interval(self.delay);
        let mut text = String::new();
        for _ in 0..self.repeat.unwrap_or(1) {
            ticks.tick().await;
            let sample = source.sample(context, &model.wish()).await?;
            model.apply(Ok(sample), Instant::now());
            model.names.settle().await;
            if context.out.json {
                context.out.object(&snapshot::object(&model));
                continue;
            }
            let part = snapshot::text(&model, self.delimiter.as_deref());
            match self.file.as_deref() {
                Some(file) if file.as_os_str() != "-" => text.push_str(&part),
                _ => context.out.line(part.trim_end()),
            }
        }
        match self.file.as_deref() {
            Some(file) if !text.is_empty() => {
                std::fs::write(file, text).map_err(|error| Failure::io(file.display(), &error))
            }
            _ => Ok(()),
        }
    }

    /// Draws until somebody has seen enough.
    async fn watch(
        &self,
        context: &Context,
        source: &Source,
        mut model: Model,
        screen: &mut Screen,
    ) -> Outcome {
        let mut ticks = tokio::time::interval(self.delay);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = 0;
        let mut asking = None;
        while self.repeat.is_none_or(|most| looks < most) {
            screen.draw(|frame| view::draw(frame, &model))?;
            let idle = asking.is_none() && !model.paused;
            let answer = async {
                match asking.as_mut() {
                    Some(asking) => asking.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                sample = answer => {
                    asking = None;
                    looks += 1;
                    model.apply(sample, Instant::now());
                }
                _ = ticks.tick(), if idle => {
                    let wish = model.wish();
                    asking = Some(Box::pin(async move { source.sample(context, &wish).await }));
                }
                key = screen.key() => {
                    let Some(event) = key else { break };
                    match model.key(event) {
                        Action::Quit => break,
                        Action::Nothing => {}
                        Action::Refresh => ticks.reset_immediately(),
                        Action::Kick(cid) => {
                            let kicked = source.kick(context, cid).await;
                            model.note = Some(match kicked {
                                Ok(()) => format!("told the server to close connection {cid}"),
                                Err(failure) => failure.message,
                            });
                            ticks.reset_immediately();
                        }
                    }
                }
                () = context.interrupt.raised() => break,
            }
        }
        Ok(())
    }
}

/// The terminal, drawn on; given back when dropped.
struct Screen {
    terminal: DefaultTerminal,
    events: mpsc::Receiver<Event>,
}

impl Screen {
    fn open() -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| Failure::io("the terminal", &error))?;
        let (send, events) = mpsc::channel(64);
        // Reading a terminal blocks. The thread ends with the receiver.
        std::thread::spawn(move || {
            while !send.is_closed() {
                match event::poll(KEY_POLL) {
                    Ok(true) => {
                        let Ok(event) = event::read() else { return };
                        if send.blocking_send(event).is_err() {
                            return;
                        }
                    }
                    Ok(false) => {}
                    Err(_) => return,
                }
            }
        });
        Ok(Self { terminal, events })
    }

    fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Outcome {
        match self.terminal.draw(draw) {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::io("the terminal", &error)),
        }
    }

    /// The next key; another event only means to draw anew.
    async fn key(&mut self) -> Option<event::KeyEvent> {
        loop {
            match self.events.recv().await? {
                Event::Key(key) if key.kind != KeyEventKind::Release => return Some(key),
                Event::Resize(..) => {
                    // The size is asked for at the next drawing; a key that means nothing brings it.
                    return Some(event::KeyCode::Null.into());
                }
                _ => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
