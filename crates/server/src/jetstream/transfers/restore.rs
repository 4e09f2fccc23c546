//! Taking a restore: a chunk is answered when it is used up, so that who waits for answers sends no
//! faster than the disk writes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use natterjack_config::reload::friendly_bytes;
use natterjack_core::batch::Batch;
use natterjack_core::service::{Message, Origin, Service};
use natterjack_jetstream::{ApiError, Restore, Step};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::super::guard;
use super::{Home, Outbound, PATIENCE};
use crate::hub::Hub;
use crate::{log_info, log_warn};

/// Bytes that may come before answers: the window of the largest snapshot.
const AHEAD_BYTES: usize = 32 << 20;
/// As many chunks of the smallest size of a snapshot.
const AHEAD_CHUNKS: usize = AHEAD_BYTES >> 10;

/// Bytes of the archive, and who waits for the answer.
struct Chunk {
    reply: Box<[u8]>,
    payload: Box<[u8]>,
}

/// The chunks that came and are not used up yet.
#[derive(Default)]
struct Chunks {
    queue: Mutex<Queue>,
    came: Notify,
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    broken: Option<Broken>,
}

/// Why no more chunks are taken.
#[derive(Clone, Copy)]
enum Broken {
    NoReply,
    TooMany,
    Idle,
    /// The server stops.
    Stopped,
}

impl Broken {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoReply => "each chunk requires a reply subject",
            Self::TooMany => "too many chunks before their answers",
            Self::Idle => "no chunk came for 5s",
            Self::Stopped => "the server stops",
        }
    }
}

impl Service for Chunks {
    fn receive(&self, _: &str, message: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
        let mut queue = guard(&self.queue);
        let Some(reply) = message.reply.filter(|reply| !reply.is_empty()) else {
            queue.broken = Some(Broken::NoReply);
            self.came.notify_one();
            return true;
        };
        queue.bytes += message.payload.len();
        if queue.bytes > AHEAD_BYTES || queue.chunks.len() >= AHEAD_CHUNKS {
            queue.broken = Some(Broken::TooMany);
            queue.chunks.clear();
        } else {
            queue.chunks.push_back(Chunk { reply: reply.into(), payload: message.payload.into() });
        }
        drop(queue);
        self.came.notify_one();
        true
    }
}

impl Chunks {
    /// The next chunk.
    async fn next(&self) -> Result<Chunk, Broken> {
        loop {
            {
                let mut queue = guard(&self.queue);
                if let Some(broken) = queue.broken {
                    return Err(broken);
                }
                if let Some(chunk) = queue.chunks.pop_front() {
                    queue.bytes -= chunk.payload.len();
                    return Ok(chunk);
                }
            }
            let came = timeout(PATIENCE, self.came.notified()).await;
            came.map_err(|_| Broken::Idle)?;
        }
    }
}

/// Takes the chunks of a restore in a task of its own.
pub(in crate::jetstream) fn take(hub: &Hub, restore: Restore) {
    let Some(account) = hub.accounts().find(restore.account()) else { return };
    let chunks = Arc::new(Chunks::default());
    let subject = restore.deliver_subject().as_bytes().to_vec();
    let subscription = account.subscribe_service(&subject, chunks.clone());
    let name = format!("'{} > {}'", restore.account(), restore.stream());
    log_info!(hub.log(), "Starting restore for stream {name}");
    let home = Home(hub.weak());
    hub.runtime().spawn(async move {
        run(&home, restore, &chunks, &name).await;
        account.unsubscribe_service(&subscription);
    });
}

async fn run(home: &Home, mut restore: Restore, chunks: &Chunks, name: &str) {
    let begun = Instant::now();
    let failed = |home: &Home, mut restore: Restore, why: &str, silent: bool| {
        home.call(|glue, host, now| glue.engine().abandon_restore(host, now, &mut restore, silent));
        let Some(hub) = home.0.upgrade() else { return };
        let (bytes, took) = (friendly_bytes(restore.received()), begun.elapsed());
        log_warn!(hub.log(), "Restore failed for {bytes} for stream {name} in {took:?}: {why}");
    };
    let mut error = None;
    let last = loop {
        let chunk = match chunks.next().await {
            Ok(chunk) => chunk,
            Err(broken) => {
                let silent = matches!(broken, Broken::Idle);
                return failed(home, restore, broken.as_str(), silent);
            }
        };
        if chunk.payload.is_empty() {
            break chunk.reply;
        }
        restore.push(&chunk.payload);
        // A sender that does not look at answers is told at the end, as of nats-server.
        if error.is_none() {
            match use_up(home, &mut restore).await {
                Some(outcome) => error = outcome.err(),
                None => return failed(home, restore, Broken::Stopped.as_str(), false),
            }
        }
        home.publish(restore.account(), &chunk.reply, &Outbound::default());
    };
    let received = restore.received();
    let ready = match error {
        Some(error) => Err(error),
        None => match finish(home, &mut restore).await {
            Some(outcome) => outcome,
            None => return failed(home, restore, Broken::Stopped.as_str(), false),
        },
    };
    let refuse = |restore: Restore, error: &ApiError| {
        home.call(|glue, host, now| {
            glue.engine().refuse_restored(host, now, &restore, &last, error);
        });
        failed(home, restore, &error.to_string(), false);
    };
    if let Err(error) = ready {
        return refuse(restore, &error);
    }
    let (name, logged) = (name.to_owned(), home.clone());
    let done = move |_| {
        let Some(hub) = logged.0.upgrade() else { return };
        let (bytes, took) = (friendly_bytes(received), begun.elapsed());
        log_info!(hub.log(), "Completed restore of {bytes} for stream {name} in {took:?}");
    };
    let published = home
        .call(|glue, host, now| glue.engine().publish_restored(host, now, restore, &last, done));
    if let Some(Err((restore, error))) = published {
        refuse(*restore, &error);
    }
}

/// Uses up what was pushed; `None` once the server is gone.
async fn use_up(home: &Home, restore: &mut Restore) -> Option<Result<(), ApiError>> {
    home.poll(|glue, host, now, waker| {
        let max_payload = host.max_payload();
        match glue.engine().restore_step(host, now, restore, waker, max_payload) {
            Ok(Step::Idle) => Poll::Ready(Ok(())),
            Ok(Step::Waits) => Poll::Pending,
            Ok(Step::More) => {
                waker.wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    })
    .await
}

/// Completes the stream on disk; `None` once the server is gone.
async fn finish(home: &Home, restore: &mut Restore) -> Option<Result<(), ApiError>> {
    let completed =
        home.call(|glue, host, now| glue.engine().complete_restore(host, now, restore))?;
    if completed.is_err() {
        return Some(completed);
    }
    home.poll(|glue, host, now, waker| match glue.engine().is_restored(host, now, restore, waker) {
        Ok(true) => Poll::Ready(Ok(())),
        Ok(false) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    })
    .await
}
