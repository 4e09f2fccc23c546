//! Permission violations come from the server as text, some time after the operation that caused
//! them. Here they are matched with the operations that wait to know.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::error::PermissionDenied;
use crate::event::Operation;

/// Violations that are remembered; a waiting operation looks within microseconds.
const KEPT: usize = 256;

/// Recent violations, numbered.
pub(crate) struct Violations {
    recent: Mutex<VecDeque<(u64, PermissionDenied)>>,
    last: watch::Sender<u64>,
}

impl Default for Violations {
    fn default() -> Self {
        Self { recent: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl Violations {
    /// The number of the latest violation: take it before the operation.
    pub(crate) fn mark(&self) -> u64 {
        *self.last.borrow()
    }

    pub(crate) fn record(&self, violation: PermissionDenied) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *self.last.borrow() + 1;
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back((number, violation));
        self.last.send_replace(number);
    }

    /// A violation of `op` on `subject` after `mark`.
    pub(crate) fn since(
        &self,
        mark: u64,
        op: Operation,
        subject: &str,
    ) -> Option<PermissionDenied> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .iter()
            .find(|(number, found)| *number > mark && found.op == op && found.subject == subject)
            .map(|(_, found)| found.clone())
    }

    /// Waits for such a violation.
    pub(crate) async fn wait(&self, mark: u64, op: Operation, subject: &str) -> PermissionDenied {
        let mut changed = self.last.subscribe();
        loop {
            if let Some(found) = self.since(mark, op, subject) {
                return found;
            }
            if changed.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Reads `Permissions Violation for Publish to "s"`, `.. for Publish with Reply of "s"` and
/// `.. for Subscription to "s" using queue "q"` (spec/core.md 1.8).
pub(crate) fn parse(text: &str) -> Option<PermissionDenied> {
    const START: &str = "permissions violation for ";
    if !text.get(..START.len())?.eq_ignore_ascii_case(START) {
        return None;
    }
    let rest = &text[START.len()..];
    let (what, rest) = rest.split_once('"')?;
    let (subject, rest) = rest.split_once('"')?;
    let op = match what.trim().to_lowercase().as_str() {
        "publish to" | "publish with reply of" => Operation::Publish,
        "subscription to" => Operation::Subscribe,
        _ => return None,
    };
    let queue = rest
        .strip_prefix(" using queue \"")
        .and_then(|rest| rest.split_once('"'))
        .map(|(queue, _)| queue.to_owned());
    Some(PermissionDenied { op, subject: subject.to_owned(), queue })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_texts_are_understood() {
        for (text, want) in [
            (r#"Permissions Violation for Publish to "a.b""#, Some("publish a.b None")),
            (
                r#"permissions violation for publish with reply of "_R_.x""#,
                Some("publish _R_.x None"),
            ),
            (r#"Permissions Violation for Subscription to "x""#, Some("subscribe x None")),
            (
                r#"Permissions Violation for Subscription to "x" using queue "q""#,
                Some("subscribe x Some(\"q\")"),
            ),
            (
                r#"Permissions Violation for Subscription to "x" (sid "4")"#,
                Some("subscribe x None"),
            ),
            (
                r#"Permissions Violation for Subscription to "x", too many tokens"#,
                Some("subscribe x None"),
            ),
            ("Permissions Violation", None),
            ("Permissions Violation for Dancing to \"x\"", None),
            ("Unknown Protocol Operation", None),
        ] {
            let shown = parse(text).map(|v| format!("{} {} {:?}", v.op, v.subject, v.queue));
            assert_eq!(shown.as_deref(), want, "{text}");
        }
    }

    #[tokio::test]
    async fn an_operation_sees_only_violations_after_its_mark() {
        let violations = Violations::default();
        let denied = |subject: &str| PermissionDenied {
            op: Operation::Publish,
            subject: subject.into(),
            queue: None,
        };
        violations.record(denied("a"));
        let mark = violations.mark();
        assert!(violations.since(mark, Operation::Publish, "a").is_none());
        violations.record(denied("b"));
        assert!(violations.since(mark, Operation::Subscribe, "b").is_none());
        assert_eq!(violations.wait(mark, Operation::Publish, "b").await.subject, "b");
    }
}
