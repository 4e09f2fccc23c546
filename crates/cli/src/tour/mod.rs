//! `natterjack tour`: all eight pairs of examples, run unattended.
//!
//! Each pair's file below `pairs/` is its script: it starts the programs (the examples' own source),
//! tells in a sentence what happens, breaks things where the specification says how the pair fails, and
//! checks what both sides and a witness outside have seen. The servers are embedded ones, unless the user
//! names some; then what needs a server stopped is left out.

mod arena;
mod check;
mod pairs;
mod report;
mod scene;
mod show;
mod side;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use natterjack::error::Explain;
use natterjack::{Connector, Error};

use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use arena::{Embedded, Setup};
use check::Checks;
use pairs::Pair;
use report::{Report, Row};
use scene::{Names, Scene, Speed, Tally};
use show::Show;

/// Run the eight pairs of examples, break things, and check what they say
#[derive(Debug, Args)]
pub(crate) struct Tour {
    /// Only these pairs, as in 3,5
    #[arg(long, value_name = "N,..", value_delimiter = ',',
          value_parser = clap::value_parser!(u8).range(1..=8))]
    only: Vec<u8>,
    /// Play on these servers, separated by commas, in place of an embedded one
    #[arg(long, value_name = "URL,..")]
    url: Option<String>,
    /// How many servers of a cluster keep streams and buckets
    #[arg(long, value_name = "N", requires = "url")]
    replicas: Option<usize>,
    /// Shorter pauses: under ten seconds
    #[arg(long)]
    fast: bool,
    /// Lose the connections of pairs 4 to 8 again and again
    #[arg(long)]
    chaos: bool,
    /// Keep streams, credentials and logs in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// No colours
    #[arg(long)]
    no_color: bool,
    /// Language of the explanations
    #[arg(long, value_enum, default_value_t)]
    lang: Lang,
}

/// A language of the explanations. What the programs themselves print is English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Lang {
    #[default]
    En,
    Ru,
}

/// Where the tour writes; a temporary directory is gone with it.
enum Room {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Room {
    fn open(keep: Option<&Path>) -> Result<Self, Failure> {
        match keep {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|error| Failure::io(dir.display(), &error))?;
                let dir = std::path::absolute(dir);
                Ok(Self::Kept(dir.map_err(|error| Failure::io("the directory", &error))?))
            }
            None => {
                let dir = tempfile::Builder::new().prefix("natterjack-tour-").tempdir();
                Ok(Self::Temporary(
                    dir.map_err(|error| Failure::io("temporary directory", &error))?,
                ))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

impl Tour {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        // Ends by itself, because servers and files have to be cleaned up.
        context.interrupt.finish_gracefully();
        let room = Room::open(self.keep.as_deref())?;
        let mut home = None;
        let played = tokio::select! {
            played = Box::pin(self.play(context, room.path(), &mut home)) => played,
            () = context.interrupt.raised() => {
                Err(Failure::new(status::INTERRUPTED, "interrupted", "interrupted"))
            }
        };
        if let Some(mut home) = home {
            home.stop().await;
        }
        if let Room::Temporary(dir) = room {
            let path = dir.path().to_owned();
            dir.close().map_err(|error| Failure::io(path.display(), &error))?;
        }
        played
    }

    async fn play(&self, context: &Context, room: &Path, home: &mut Option<Embedded>) -> Outcome {
        let show = Show {
            out: context.out,
            plain: self.no_color,
            quiet: false,
            lang: self.lang,
            began: Instant::now(),
        };
        let url = match &self.url {
            Some(url) => url.clone(),
            None => {
                let server = Embedded::start(Setup::jetstream(room.join("store"))).await;
                home.insert(server.map_err(cannot)?).url()
            }
        };
        let refusal = self.refusal(&url).await?;
        let mut report = Report::new(show);
        for pair in Pair::all().filter(|pair| self.only.is_empty() || self.only.contains(&pair.id))
        {
            let row = match &refusal {
                Some(reason) if pair.id >= 3 => Row::refused(pair, reason),
                _ => self.pair(show.anew(), pair, &url, room, home).await,
            };
            report.add(row);
        }
        report.finish()
    }

    /// Why the servers that the user named cannot play the pairs from 3 on, if so.
    async fn refusal(&self, url: &str) -> Result<Option<String>, Failure> {
        if self.url.is_none() {
            return Ok(None);
        }
        // With NATS_CREDS and NATS_TOKEN, which pairs 2 and 6 use there.
        let builder = Connector::from_env().servers(url.split(',')).name("natterjack tour");
        let connector = builder.build().await.map_err(|error| Failure::from(Error::from(error)))?;
        let reason = connector.jetstream().account().await.err();
        let reason = reason.map(|error| match Error::from(error) {
            Error::JetStreamDisabled(off) => format!("{off} ({})", off.hint()),
            error => error.to_string(),
        });
        // Only looked at it; nothing is left to send.
        let _ = connector.close().await;
        Ok(reason)
    }

    async fn pair(
        &self,
        show: Show,
        pair: Pair,
        url: &str,
        room: &Path,
        home: &mut Option<Embedded>,
    ) -> Row {
        let dir = room.join(format!("{:02}_{}", pair.id, pair.name));
        if let Err(error) = std::fs::create_dir_all(&dir) {
            return Row::refused(pair, &format!("{}: {error}", dir.display()));
        }
        show.print(&format!("\n{:>2}. {}", pair.id, pair.title(self.lang)));
        let names = if self.url.is_some() { Names::strange(pair.id) } else { Names::own() };
        let mut scene = Scene {
            show,
            home: home.as_mut(),
            url: url.to_owned(),
            dir,
            speed: if self.fast { Speed::FAST } else { Speed::NORMAL },
            chaos: self.chaos,
            replicas: self.replicas,
            names,
            checks: Checks::default(),
            tally: Tally::default(),
        };
        let played = Box::pin(pairs::play(pair.id, &mut scene)).await;
        let took = show.began.elapsed();
        let mut problem = played.err();
        if scene.home.as_ref().is_some_and(|home| home.server().is_none())
            && let Err(error) = scene.start_server().await
        {
            problem.get_or_insert(error);
        }
        // Not the extra server of a pair, which has gone.
        scene.url = url.to_owned();
        if let Err(error) = scene.clean().await {
            problem.get_or_insert(error);
        }
        let row = Row::played(pair, scene.checks, scene.tally, took, problem);
        if let Some(reason) = &row.reason {
            show.print(&show.verdict(false, &format!("{:>12}{reason}", "FAIL  ")));
        }
        row
    }
}

fn cannot(text: String) -> Failure {
    Failure::new(status::FAILED, "tour", text)
}
