//! What a user may publish and subscribe to, compiled for the path of a message.
//!
//! [`PermissionsSpec`] is the form of the configuration file and of user JWTs: lists of text.
//! [`Permissions`] answers the session's questions from it. A connection without permissions has
//! `None` instead and may do everything. The rules are those of nats-server 2.15.1, measured; the one
//! place where this is stricter stands at [`Permissions::can_subscribe`].

mod replies;
mod set;
mod template;

pub use replies::ReplyTracker;
pub use template::{TemplateError, TemplateValues, expand};

use natterjack_subject::{is_subset, is_valid_subscription, matches, overlaps};
use set::SubjectSet;
use std::time::Duration;
use thiserror::Error;

/// Allow and deny lists of one direction, as written by an administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubjectRules {
    /// Subjects that are allowed. Empty means all of them, as in nats-server.
    pub allow: Vec<String>,
    /// Subjects that are refused, also when `allow` lists them.
    pub deny: Vec<String>,
}

impl SubjectRules {
    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }
}

/// The right to answer: a message delivered with a reply subject allows publishing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AllowResponses {
    /// How many messages may be published to one reply subject; negative is unlimited.
    pub max: i64,
    /// For how long after the delivery, in nanoseconds; negative is without limit.
    pub expires_ns: i64,
}

impl Default for AllowResponses {
    /// One message within two minutes.
    fn default() -> Self {
        AllowResponses { max: 1, expires_ns: 120_000_000_000 }
    }
}

impl AllowResponses {
    /// Fills in the defaults where a value is zero, as configuration and JWTs do.
    pub fn or_defaults(self) -> Self {
        let defaults = AllowResponses::default();
        AllowResponses {
            max: if self.max == 0 { defaults.max } else { self.max },
            expires_ns: if self.expires_ns == 0 { defaults.expires_ns } else { self.expires_ns },
        }
    }

    pub(crate) fn expiry(self) -> Option<Duration> {
        u64::try_from(self.expires_ns).ok().map(Duration::from_nanos)
    }
}

/// Permissions as written: in a configuration file, in a user JWT, in a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PermissionsSpec {
    /// What may be published.
    pub publish: SubjectRules,
    /// What may be subscribed to. An entry may name a queue after a blank: `"orders workers"`.
    pub subscribe: SubjectRules,
    /// Whether replies may be published; without a publish allow list nothing else may.
    pub allow_responses: Option<AllowResponses>,
}

impl PermissionsSpec {
    /// Whether nothing is restricted, so that a default may take its place.
    pub fn is_empty(&self) -> bool {
        self.publish.is_empty() && self.subscribe.is_empty() && self.allow_responses.is_none()
    }
}

/// An entry of a permission list that is no subject.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionsError {
    /// The entry, or the part before its queue, is not a valid subject.
    #[error("{0:?} is not a valid subject")]
    InvalidSubject(String),
    /// More than a subject and a queue.
    #[error("{0:?} is not a subject with a queue")]
    InvalidQueue(String),
}

/// Compiled permissions. Immutable, shared by all connections of a user.
pub struct Permissions {
    spec: PermissionsSpec,
    publish_allow: Option<SubjectSet>,
    publish_deny: SubjectSet,
    subscribe_allow: Option<Subscriptions>,
    subscribe_deny: Subscriptions,
}

impl std::fmt::Debug for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spec.fmt(f)
    }
}

impl PartialEq for Permissions {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for Permissions {}

/// Entries of a subscribe list: those for every subscription and those for one queue.
#[derive(Default)]
struct Subscriptions {
    plain: SubjectSet,
    queued: Vec<Queued>,
}

/// An entry for one queue: `"subject queue"`.
struct Queued {
    subject: Box<[u8]>,
    queue: Box<[u8]>,
}

impl Queued {
    fn names(&self, queue: &[u8]) -> bool {
        // The same name, or one within the entry's pattern of tokens.
        queue == self.queue.as_ref()
            || (is_valid_subscription(queue) && is_subset(queue, &self.queue))
    }
}

impl Subscriptions {
    fn compile(entries: &[String]) -> Result<Self, PermissionsError> {
        let mut compiled = Subscriptions::default();
        for entry in entries {
            let mut fields = entry.split_ascii_whitespace();
            let (subject, queue) = (fields.next().unwrap_or_default(), fields.next());
            if fields.next().is_some() {
                return Err(PermissionsError::InvalidQueue(entry.clone()));
            }
            if !is_valid_subscription(subject.as_bytes()) {
                return Err(PermissionsError::InvalidSubject(entry.clone()));
            }
            match queue {
                None => compiled.plain.insert(subject.as_bytes()),
                Some(queue) => compiled.queued.push(Queued {
                    subject: subject.as_bytes().into(),
                    queue: queue.as_bytes().into(),
                }),
            }
        }
        Ok(compiled)
    }
}

impl Permissions {
    /// Compiles the lists.
    ///
    /// # Errors
    ///
    /// An entry that is no valid subject; a subscribe entry with more than a subject and a queue.
    pub fn compile(spec: PermissionsSpec) -> Result<Self, PermissionsError> {
        let publish_allow = match (spec.publish.allow.is_empty(), spec.allow_responses) {
            (true, None) => None,
            // A responder without an allow list may only respond.
            _ => Some(SubjectSet::compile(&spec.publish.allow)?),
        };
        let subscribe_allow = match spec.subscribe.allow.is_empty() {
            true => None,
            false => Some(Subscriptions::compile(&spec.subscribe.allow)?),
        };
        Ok(Permissions {
            publish_allow,
            publish_deny: SubjectSet::compile(&spec.publish.deny)?,
            subscribe_allow,
            subscribe_deny: Subscriptions::compile(&spec.subscribe.deny)?,
            spec,
        })
    }

    /// The lists as they were written, for `$SYS.REQ.USER.INFO` and for monitoring.
    pub fn spec(&self) -> &PermissionsSpec {
        &self.spec
    }

    /// Whether the lists let a message be published on `subject`, taken literally. Where this says no,
    /// a [`ReplyTracker`] may still say yes, also against a deny entry (as nats-server 2.15.1 does).
    pub fn can_publish(&self, subject: &[u8]) -> bool {
        self.publish_allow.as_ref().is_none_or(|allow| allow.matches(subject))
            && !self.publish_deny.matches(subject)
    }

    /// Whether a subscription to `subject` is allowed.
    ///
    /// It must lie within an allow entry and not within a deny entry; one that overlaps a deny entry is
    /// allowed, with a filter (see [`Permissions::needs_delivery_filter`]). Where allow entries with a
    /// queue stand for the subject, a queue subscription needs one that names its queue, even beside a
    /// plain entry.
    ///
    /// nats-server 2.15.1 reads the wildcards of the subscription as literal tokens here, so that
    /// allowing `foo.*` allows `foo.>`, which is wider. That is refused here.
    pub fn can_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.allows_subscription(subject, queue) && !self.denies_subscription(subject, queue)
    }

    fn allows_subscription(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let Some(allow) = &self.subscribe_allow else {
            return true;
        };
        if let Some(queue) = queue {
            let mut queued =
                allow.queued.iter().filter(|entry| is_subset(subject, &entry.subject)).peekable();
            if queued.peek().is_some() {
                return queued.any(|entry| entry.names(queue));
            }
        }
        allow.plain.contains(subject)
    }

    fn denies_subscription(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        // A deny entry refuses each subscription that it matches as a literal, as nats-server does:
        // `foo.*` refuses `foo.>` too. That includes all that lie within it.
        self.subscribe_deny.plain.matches(subject)
            || queue.is_some_and(|queue| {
                let entries = &self.subscribe_deny.queued;
                entries.iter().any(|entry| matches(&entry.subject, subject) && entry.names(queue))
            })
    }

    /// Whether a subscription that is allowed may match messages that are denied, so that each delivery
    /// must ask [`Permissions::denies_delivery`].
    pub fn needs_delivery_filter(&self, subject: &[u8]) -> bool {
        self.subscribe_deny.plain.overlaps(subject)
            || self.subscribe_deny.queued.iter().any(|entry| overlaps(&entry.subject, subject))
    }

    /// Whether a message on `subject` is kept from the user's plain subscriptions.
    pub fn denies_delivery(&self, subject: &[u8]) -> bool {
        self.denies_delivery_to(subject, None)
    }

    /// Whether a message on `subject` is kept from the user's subscriptions of this queue.
    pub fn denies_delivery_to(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.denies_subscription(subject, queue)
    }

    /// A tracker for `allow_responses`, one per connection; `None` if responses are not granted.
    pub fn reply_tracker(&self) -> Option<ReplyTracker> {
        self.spec.allow_responses.map(ReplyTracker::new)
    }
}

#[cfg(test)]
mod tests;
