//! Where the server's tasks and threads run, and what happens when something in one of them panics
//! (D-0028): the server stops, at once and with a reason.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::forget_batch;
use crate::log::{Level, Log};

/// What a panic was thrown with.
pub(crate) type Thrown = Box<dyn Any + Send>;

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Lets the log say where a panic was. It changes what is called at every panic of the process: for a program
/// that is nothing but a server.
pub(crate) fn note_places() {
    let known = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|place| format!(" at {place}"));
        PLACE.set(place.unwrap_or_default());
        known(info);
    }));
}

/// The server's runtime. Clones are handles of the same one.
#[derive(Clone)]
pub(crate) struct Tasks {
    runtime: Handle,
    panics: Arc<Panics>,
}

struct Panics {
    /// What the first one said.
    first: OnceLock<String>,
    stop: watch::Sender<bool>,
    log: Arc<Log>,
}

impl Tasks {
    pub(crate) fn new(runtime: Handle, stop: watch::Sender<bool>, log: Arc<Log>) -> Self {
        let panics = Panics { first: OnceLock::new(), stop, log };
        Tasks { runtime, panics: Arc::new(panics) }
    }

    /// Runs a task of the server.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let panics = self.panics.clone();
        // Combinators keep the task once; a block that awaits it would have room for two.
        self.runtime.spawn(AssertUnwindSafe(task).catch_unwind().map(move |ended| {
            if let Err(thrown) = ended {
                panics.note(&*thrown);
            }
        }))
    }

    /// Runs what takes time or waits, on a thread for that.
    pub(crate) fn spawn_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let tasks = self.clone();
        self.runtime.spawn_blocking(move || match tasks.watch(work) {
            Ok(result) => result,
            Err(thrown) => resume_unwind(thrown),
        })
    }

    /// Runs what is not ours: when it panics, that is its caller's to deal with.
    pub(crate) fn spawn_foreign<R: Send + 'static>(
        &self,
        task: impl Future<Output = R> + Send + 'static,
    ) -> JoinHandle<R> {
        self.runtime.spawn(task)
    }

    /// Runs what a thread of the server does.
    pub(crate) fn watch<R>(&self, work: impl FnOnce() -> R) -> Result<R, Thrown> {
        catch_unwind(AssertUnwindSafe(work)).inspect_err(|thrown| self.panics.note(&**thrown))
    }

    /// What the first panic said, if there was one.
    pub(crate) fn panicked(&self) -> Option<&str> {
        self.panics.first.get().map(String::as_str)
    }

    /// Resolves when there was a panic.
    pub(crate) async fn panic(&self) {
        let mut stop = self.panics.stop.subscribe();
        while self.panicked().is_none() && stop.changed().await.is_ok() {}
    }

    pub(crate) fn metrics(&self) -> RuntimeMetrics {
        self.runtime.metrics()
    }
}

impl Panics {
    /// Says it, and lets the server stop. Called on the thread that panicked.
    fn note(&self, thrown: &(dyn Any + Send)) {
        // It may hold half a message.
        forget_batch();
        let said = thrown.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| thrown.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        let said = format!("{said}{}", PLACE.take());
        if self.first.set(said.clone()).is_ok() {
            self.log.write(Level::Fatal, format_args!("The server stops after a panic: {said}"));
        }
        // Also where it is stopping already: who waits for that looks again.
        self.stop.send_replace(true);
    }
}
