//! Whether the user is restricted at all.
//!
//! The server tells of a refused publish or subscription by an error of its own, which async-nats hands
//! on through a queue and a task: an operation that waits for it cannot know when it would have come. A
//! user without restrictions need not wait. The server says so itself (`$SYS.REQ.USER.INFO`).

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde::Deserialize;

use super::link::Link;
use crate::error::PermissionDenied;
use crate::event::Operation;

/// How long a violation may take from the socket to us, on a machine that is busy.
const GRACE: Duration = Duration::from_millis(25);

const UNKNOWN: u8 = 0;
const FREE: u8 = 1;
const RESTRICTED: u8 = 2;

/// What is known about the user of the present connection.
#[derive(Default)]
pub(crate) struct Rights(AtomicU8);

impl Rights {
    /// A new connection: the user may be another one.
    pub(crate) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }

    /// A violation was seen.
    pub(crate) fn restricted(&self) {
        self.0.store(RESTRICTED, Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
struct UserInfo {
    data: UserData,
}

#[derive(Deserialize)]
struct UserData {
    #[serde(default)]
    permissions: Option<serde_json::Value>,
}

async fn ask(link: &Link) -> u8 {
    let limit = link.options.request_timeout.min(Duration::from_secs(2));
    let answer = crate::core::raw_request(link, "$SYS.REQ.USER.INFO", None, "".into(), limit).await;
    let Ok(answer) = answer else { return RESTRICTED };
    match serde_json::from_slice::<UserInfo>(&answer.payload) {
        Ok(info) if info.data.permissions.is_none() => FREE,
        _ => RESTRICTED,
    }
}

/// The violation of `op` on `subject` after `mark`, if there is one. To be called when the server is
/// known to have seen the operation.
pub(crate) async fn violation(
    link: &Link,
    mark: u64,
    op: Operation,
    subject: &str,
) -> Option<PermissionDenied> {
    if let Some(found) = link.violations.since(mark, op, subject) {
        return Some(found);
    }
    if link.rights.0.load(Ordering::Relaxed) == UNKNOWN {
        let answer = ask(link).await;
        // A violation that was seen meanwhile says more.
        let _ =
            link.rights.0.compare_exchange(UNKNOWN, answer, Ordering::Relaxed, Ordering::Relaxed);
    }
    if link.rights.0.load(Ordering::Relaxed) == FREE {
        return None;
    }
    tokio::time::timeout(GRACE, link.violations.wait(mark, op, subject)).await.ok()
}
