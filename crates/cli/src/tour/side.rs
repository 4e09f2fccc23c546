//! A program of a pair at work in the tour: the example's own `run`, with its lines collected.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use natterjack_examples::{Failure, Kind, Line, Out, Outcome, Stop, Stopper};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::instrument::WithSubscriber;

use super::show::{Role, Show};

/// The longest wait for anything. Nothing takes this long; it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lines of a side so far.
#[derive(Clone)]
struct Seen {
    lines: Arc<Mutex<Vec<Line>>>,
    count: watch::Sender<usize>,
}

impl Seen {
    fn get(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A program at work. Dropping it stops it where it stands, as a crash would.
pub(super) struct Side {
    role: Role,
    seen: Seen,
    stopper: Stopper,
    ended: watch::Receiver<bool>,
    task: JoinHandle<Outcome>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a program has done.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) lines: Vec<Line>,
    pub(super) outcome: Outcome,
}

impl Side {
    /// Starts a program with these flags. `log` is the subscriber for its `tracing` events.
    pub(super) fn start<O, F, Fut>(
        show: Show,
        role: Role,
        run: F,
        flags: &[String],
        log: Option<tracing::Dispatch>,
    ) -> Result<Self, String>
    where
        O: clap::Parser + Send + 'static,
        F: FnOnce(O, Out, Stop) -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let program = [role.name().trim().to_owned()];
        let options = O::try_parse_from(program.iter().chain(flags))
            .map_err(|error| format!("flags of the {}: {error}", role.name().trim()))?;
        let seen = Seen { lines: Arc::default(), count: watch::Sender::new(0) };
        let out = Out::to({
            let seen = seen.clone();
            move |line| {
                show.side(role, line);
                seen.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
                seen.count.send_modify(|count| *count += 1);
            }
        });
        let (stopper, stop) = Stop::by_hand();
        let (end, ended) = watch::channel(false);
        let log = log.unwrap_or_else(|| tracing::dispatcher::get_default(Clone::clone));
        let task = tokio::spawn(async move {
            let outcome = Box::pin(run(options, out, stop)).with_subscriber(log).await;
            end.send_replace(true);
            outcome
        });
        Ok(Self { role, seen, stopper, ended, task })
    }

    /// Waits until `count` lines so far answer `wanted`; what it waits for is called `what`.
    pub(super) async fn wait(
        &self,
        what: &str,
        count: usize,
        wanted: impl Fn(&Line) -> bool,
    ) -> Result<(), String> {
        let (mut changes, mut ended) = (self.seen.count.subscribe(), self.ended.clone());
        let role = self.role.name().trim();
        let wait = async {
            loop {
                let over = *ended.borrow_and_update() || self.task.is_finished();
                changes.borrow_and_update();
                if self.seen.get().iter().filter(|line| wanted(line)).count() >= count {
                    return Ok(());
                }
                if over {
                    return Err(format!("the {role} ended before `{what}`"));
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    // Without its sender the task is finished, which the next round sees.
                    gone = ended.changed() => if gone.is_err() { tokio::task::yield_now().await },
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| Err(format!("the {role} did not come to `{what}`")))
    }

    /// Waits until the side has said this.
    pub(super) async fn says(&self, text: &str) -> Result<(), String> {
        self.wait(text, 1, |line| line.text.contains(text)).await
    }

    /// Waits until this many messages have been sent or received.
    pub(super) async fn messages(&self, count: usize) -> Result<(), String> {
        let what = format!("message {count}");
        self.wait(&what, count, |line| matches!(line.kind, Kind::Sent | Kind::Received)).await
    }

    /// As Ctrl-C.
    pub(super) fn stop(&self) {
        self.stopper.stop();
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.seen.get()
    }

    /// Waits until the program has ended by itself.
    pub(super) async fn end(mut self) -> Result<Ended, String> {
        let role = self.role.name().trim();
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await;
        let outcome = match ended {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => return Err(format!("the {role} broke down: {error}")),
            Err(_) => return Err(format!("the {role} did not end")),
        };
        Ok(Ended { lines: self.seen.get(), outcome })
    }
}

impl Ended {
    /// Lines of messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| matches!(line.kind, Kind::Sent | Kind::Received))
    }

    /// The numbers of the messages, `Hello #3 ..`, in order.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.messages().filter_map(|line| line.fields.get("number")?.as_u64()).collect()
    }

    /// How long the numbered messages were on their way, in milliseconds.
    pub(super) fn latencies(&self) -> Vec<f64> {
        let numbered = self.messages().filter(|line| line.fields.contains_key("number"));
        numbered.filter_map(|line| line.fields.get("latency_ms")?.as_f64()).collect()
    }

    /// What a watcher was told after it knew what had been there before.
    pub(super) fn live(&self) -> Self {
        let ready = self.lines.iter().position(|line| line.text.starts_with("up to date ("));
        Self { lines: self.lines[ready.unwrap_or(0)..].to_vec(), outcome: self.outcome.clone() }
    }

    /// A number of the last line.
    pub(super) fn total(&self, name: &str) -> u64 {
        let summary = self.lines.iter().rev().find(|line| line.kind == Kind::Summary);
        summary.and_then(|line| line.fields.get(name)?.as_u64()).unwrap_or(0)
    }

    /// Whether a line has this text.
    pub(super) fn said(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.text.contains(text))
    }

    /// Its exit code as a program.
    pub(super) fn exit(&self) -> u8 {
        self.outcome.as_ref().err().map_or(0, |failure| failure.exit)
    }

    /// The failure's text, or nothing.
    pub(super) fn failure(&self) -> &str {
        self.outcome.as_ref().err().map_or("", |failure| &failure.text)
    }

    /// Itself, unless the program failed.
    pub(super) fn fine(self, role: Role) -> Result<Self, String> {
        match &self.outcome {
            Ok(()) => Ok(self),
            Err(Failure { text, .. }) => Err(format!("{}: {text}", role.name().trim())),
        }
    }
}
