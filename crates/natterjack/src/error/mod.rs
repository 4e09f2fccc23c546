//! What can go wrong, as values.
//!
//! [`Error`] holds every case; each operation returns a smaller enum with the cases that a caller may
//! want to tell apart, and all of them convert into [`Error`] with `?`. A case is a struct with public
//! fields; [`Explain`] says what the case is called ([`code`](Explain::code), stable), whether trying
//! again can help, what to do about it, and which process exit status it means.
//!
//! | Codes | Cases |
//! |---|---|
//! | `connect.bad_url` `connect.bad_option` `connect.unreachable` `tls.failed` | before a connection stands |
//! | `auth.denied` `auth.creds_missing` `auth.creds_unreadable` `auth.creds_malformed` `auth.creds_expired` `auth.creds_mismatch` `auth.source` `auth.permission` | logins and rights |
//! | `conn.closed` `conn.draining` `conn.offline` `conn.timeout` `conn.drain_timeout` `publish.backpressure` | the state of the connection |
//! | `msg.too_large` `msg.bad_subject` `msg.decode` `msg.encode` `request.no_responders` `request.refused` | messages |
//! | `js.not_found` `js.disabled` `js.api` `js.drift` `js.conflict` `js.bad_name` `js.bad_reply` `js.protocol` | streams and buckets |
//! | `object.digest_mismatch` `object.io` | objects |

mod connection;
mod jetstream;
mod messaging;

use std::borrow::Cow;

pub use connection::{
    AuthDenied, AuthSource, Backpressure, BadOption, BadUrl, Closed, CredsExpired, CredsMalformed,
    CredsMismatch, CredsMissing, CredsUnreadable, DrainTimeout, Draining, Offline,
    PermissionDenied, Timeout, TlsFailed, Tried, Unreachable,
};
pub use jetstream::{
    Api, BadName, BadReply, Conflict, DigestMismatch, DisabledScope, Drift, Io, JetStreamDisabled,
    NotFound, Protocol,
};
pub use messaging::{BadSubject, Decode, Encode, NoResponders, Refused, TooLarge};

pub(crate) use messaging::check_subject;

/// What every error can say about itself.
pub trait Explain {
    /// A stable name such as `kv.conflict`, for programs and log searches. Never changes meaning.
    fn code(&self) -> &'static str;

    /// Whether the same call can succeed later without anybody changing the program.
    fn retryable(&self) -> bool;

    /// What to try, in one sentence; empty if there is nothing to add to the error's own text.
    fn hint(&self) -> Cow<'static, str>;

    /// The process exit status that the command line and the examples use for it: 2 usage,
    /// 3 cannot connect, 4 authentication or permission, 5 not found or JetStream off, 6 timeout or
    /// no responders, 7 conflict, 1 anything else.
    fn exit_code(&self) -> u8;
}

/// Answers [`Explain`] for a case whose answers do not depend on its fields.
macro_rules! explain {
    ($name:ident, $code:literal, retryable: $retryable:expr, exit: $exit:literal, $hint:expr) => {
        impl $crate::error::Explain for $name {
            fn code(&self) -> &'static str {
                $code
            }
            fn retryable(&self) -> bool {
                $retryable
            }
            fn hint(&self) -> std::borrow::Cow<'static, str> {
                $hint.into()
            }
            fn exit_code(&self) -> u8 {
                $exit
            }
        }
    };
}
pub(crate) use explain;

macro_rules! delegate {
    ($name:ident: $($leaf:ident)+ $(; $boxed:ident)?) => {
        impl Explain for $name {
            fn code(&self) -> &'static str {
                match self { $(Self::$leaf(e) => e.code(),)+ $(Self::$boxed(e) => e.code())? }
            }
            fn retryable(&self) -> bool {
                match self { $(Self::$leaf(e) => e.retryable(),)+ $(Self::$boxed(e) => e.retryable())? }
            }
            fn hint(&self) -> Cow<'static, str> {
                match self { $(Self::$leaf(e) => e.hint(),)+ $(Self::$boxed(e) => e.hint())? }
            }
            fn exit_code(&self) -> u8 {
                match self { $(Self::$leaf(e) => e.exit_code(),)+ $(Self::$boxed(e) => e.exit_code())? }
            }
        }

        impl $name {
            /// See [`Explain::code`].
            #[must_use]
            pub fn code(&self) -> &'static str {
                Explain::code(self)
            }

            /// See [`Explain::retryable`].
            #[must_use]
            pub fn retryable(&self) -> bool {
                Explain::retryable(self)
            }

            /// See [`Explain::hint`].
            #[must_use]
            pub fn hint(&self) -> Cow<'static, str> {
                Explain::hint(self)
            }

            /// See [`Explain::exit_code`].
            #[must_use]
            pub fn exit_code(&self) -> u8 {
                Explain::exit_code(self)
            }
        }
    };
}

macro_rules! whole {
    ($($(#[$doc:meta])* $leaf:ident),+ $(,)?) => {
        /// Everything that can go wrong.
        #[derive(Debug, Clone, thiserror::Error)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* #[error(transparent)] $leaf(#[from] $leaf),)+
        }

        delegate!(Error: $($leaf)+);

        #[cfg(test)]
        const CASES: &[&str] = &[$(stringify!($leaf)),+];

        #[cfg(test)]
        fn case_of(error: &Error) -> &'static str {
            match error { $(Error::$leaf(_) => stringify!($leaf),)+ }
        }
    };
}

/// A smaller enum with the cases of one kind of operation, and `Other` for the rest.
macro_rules! part {
    ($(#[$meta:meta])* $name:ident { $($leaf:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, thiserror::Error)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("See [`", stringify!($leaf), "`].")] #[error(transparent)] $leaf(#[from] $leaf),)+
            /// Any other case.
            #[error(transparent)]
            Other(Box<Error>),
        }

        delegate!($name: $($leaf)+; Other);

        impl From<Error> for $name {
            fn from(error: Error) -> Self {
                match error {
                    $(Error::$leaf(e) => Self::$leaf(e),)+
                    other => Self::Other(Box::new(other)),
                }
            }
        }

        impl From<$name> for Error {
            fn from(error: $name) -> Self {
                match error {
                    $($name::$leaf(e) => Self::$leaf(e),)+
                    $name::Other(other) => *other,
                }
            }
        }
    };
}

whole! {
    /// A server address that cannot be used.
    BadUrl,
    /// An option or environment variable that cannot be used.
    BadOption,
    /// No server of the pool could be reached.
    Unreachable,
    /// The TLS set-up or handshake failed.
    TlsFailed,
    /// The server refused the login.
    AuthDenied,
    /// The credentials file does not exist.
    CredsMissing,
    /// The credentials file cannot be read.
    CredsUnreadable,
    /// The credentials are not of the expected form.
    CredsMalformed,
    /// The credentials have expired.
    CredsExpired,
    /// The seed in the credentials belongs to another user.
    CredsMismatch,
    /// A login function or file failed.
    AuthSource,
    /// The user may not do this.
    PermissionDenied,
    /// The connection has ended.
    Closed,
    /// The connection is draining.
    Draining,
    /// There is no connection at the moment.
    Offline,
    /// No answer in time.
    Timeout,
    /// The drain reached its deadline.
    DrainTimeout,
    /// The outgoing buffer is full.
    Backpressure,
    /// The message exceeds the server's limit.
    TooLarge,
    /// The subject is not valid.
    BadSubject,
    /// Nobody listens on the subject.
    NoResponders,
    /// The service that was asked answered with an error.
    Refused,
    /// A body does not decode.
    Decode,
    /// A value does not encode.
    Encode,
    /// A stream, consumer, bucket, key or message does not exist.
    NotFound,
    /// JetStream is not enabled.
    JetStreamDisabled,
    /// The server answered with an API error.
    Api,
    /// What exists differs from what is wanted.
    Drift,
    /// Somebody else wrote first.
    Conflict,
    /// A name breaks the rules.
    BadName,
    /// The server's answer could not be understood.
    BadReply,
    /// A message lacks what JetStream puts on it.
    Protocol,
    /// The pieces of an object are not what was put.
    DigestMismatch,
    /// What an object is read from or written to failed.
    Io,
}

part! {
    /// Why a connection could not be made.
    ConnectError {
        BadUrl, BadOption, Unreachable, TlsFailed, AuthDenied, CredsMissing, CredsUnreadable,
        CredsMalformed, CredsExpired, CredsMismatch, AuthSource, Timeout, Closed,
    }
}

part! {
    /// Why a message was not taken.
    PublishError {
        Closed, Draining, Offline, Backpressure, Timeout, TooLarge, BadSubject, Encode, PermissionDenied,
    }
}

part! {
    /// Why a subscription was not opened.
    SubscribeError { Closed, Draining, Offline, Timeout, BadSubject, PermissionDenied }
}

part! {
    /// Why a request has no answer.
    RequestError {
        NoResponders, Refused, Timeout, TooLarge, BadSubject, PermissionDenied, Closed, Draining, Offline,
        Decode, Encode, Backpressure,
    }
}

part! {
    /// Why a wait for the server ended without it.
    WaitError { Timeout, Closed, Offline }
}

part! {
    /// Why a drain did not finish.
    DrainError { DrainTimeout, Closed }
}

part! {
    /// Why a stream operation failed.
    StreamError {
        NotFound, JetStreamDisabled, Api, Drift, Conflict, BadName, BadSubject, TooLarge, Timeout,
        PermissionDenied, Closed, Draining, Offline, Backpressure, Encode, Decode, BadReply, Protocol,
    }
}

part! {
    /// Why a Key/Value operation failed.
    KvError {
        NotFound, Conflict, BadName, JetStreamDisabled, Api, Drift, TooLarge, Timeout, PermissionDenied,
        Closed, Draining, Offline, Encode, Decode, BadReply, Protocol,
    }
}

part! {
    /// Why an operation on objects failed.
    ObjectError {
        NotFound, DigestMismatch, Conflict, BadName, JetStreamDisabled, Api, Drift, TooLarge, Timeout,
        PermissionDenied, Closed, Draining, Offline, BadReply, Io,
    }
}

/// Whether a code that is like an HTTP status may be another one next time. 503: no leader, no resources
/// for the moment; 429: too many requests.
fn is_passing(code: u16) -> bool {
    matches!(code, 429 | 503)
}

/// The exit status of a code that is like an HTTP status.
fn exit_of(code: u16) -> u8 {
    match code {
        404 => 5,
        403 => 4,
        408 | 504 => 6,
        _ => 1,
    }
}

/// The error type that causes are kept as.
pub(crate) type Cause = std::sync::Arc<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::core::DrainReport;
    use crate::event::{CloseReason, Operation};

    fn cause() -> Cause {
        Arc::new(std::io::Error::other("the cause"))
    }

    /// One value of each case.
    fn samples() -> Vec<Error> {
        let path = std::path::PathBuf::from("/x/user.creds");
        vec![
            BadUrl { url: "ftp://x".into(), why: "unknown scheme `ftp`".into() }.into(),
            BadOption { option: "servers".into(), why: "no address".into() }.into(),
            Unreachable { tried: vec![Tried { server: "a:4222".into(), why: "refused".into() }] }
                .into(),
            TlsFailed { stage: "reading the CA".into(), detail: "no such file".into() }.into(),
            AuthDenied { server: "a:4222".into(), method: "token".into(), text: String::new() }
                .into(),
            CredsMissing { path: path.clone() }.into(),
            CredsUnreadable { path: path.clone(), error: cause() }.into(),
            CredsMalformed { source_name: path.display().to_string(), what: "no JWT".into() }
                .into(),
            CredsExpired {
                source_name: path.display().to_string(),
                since: Duration::from_secs(10_800),
            }
            .into(),
            CredsMismatch { source_name: path.display().to_string() }.into(),
            AuthSource { method: "token function".into(), error: cause() }.into(),
            PermissionDenied { op: Operation::Publish, subject: "demo.secret".into(), queue: None }
                .into(),
            Closed { reason: CloseReason::Drained }.into(),
            Draining {}.into(),
            Offline { since: Some(Duration::from_secs(3)) }.into(),
            Timeout { what: "request".into(), after: Duration::from_secs(1) }.into(),
            DrainTimeout { report: DrainReport::default() }.into(),
            Backpressure { limit: crate::kib(1) }.into(),
            TooLarge { size: 2, limit: 1 }.into(),
            BadSubject { subject: "a..b".into(), why: "empty token at position 2".into() }.into(),
            NoResponders { subject: "svc".into() }.into(),
            Refused { subject: "svc".into(), code: 404, description: "no price".into() }.into(),
            Decode { subject: "a".into(), codec: "json", error: cause(), raw: bytes::Bytes::new() }
                .into(),
            Encode { codec: "json", error: cause() }.into(),
            NotFound { kind: "stream".into(), name: "S".into(), err_code: 10059 }.into(),
            JetStreamDisabled { scope: DisabledScope::Server }.into(),
            Api {
                code: 400,
                err_code: 10058,
                description: "x".into(),
                request: "create stream S".into(),
            }
            .into(),
            Drift {
                object: "stream S".into(),
                field: "storage".into(),
                wanted: "a".into(),
                found: "b".into(),
            }
            .into(),
            Conflict { key: "k".into(), expected: 3, actual: Some(5) }.into(),
            BadName { kind: "key".into(), name: "a b".into(), why: "blank at position 2".into() }
                .into(),
            BadReply { request: "$JS.API.INFO".into(), error: cause() }.into(),
            Protocol { what: "no reply subject".into() }.into(),
            DigestMismatch { name: "o".into(), wanted: "a".into(), found: "b".into() }.into(),
            Io { what: "reading object o".into(), error: cause() }.into(),
        ]
    }

    // Shows U-028.
    #[test]
    fn every_case_explains_itself_under_a_code_of_its_own() {
        let module_doc = include_str!("mod.rs");
        let mut codes = BTreeSet::new();
        let mut cases = BTreeSet::new();
        for error in samples() {
            assert!(codes.insert(error.code()), "code {} is used twice", error.code());
            cases.insert(case_of(&error));
            let documented = format!("`{}`", error.code());
            assert!(module_doc.contains(&documented), "{documented} is not in the module's table");
            let text = error.to_string();
            assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
            let acronym = text.starts_with("TLS") || text.starts_with("JetStream");
            assert!(acronym || !text.starts_with(char::is_uppercase), "{text}");
            assert!((1..=7).contains(&error.exit_code()), "{text}");
            let _ = error.retryable();
            let hint = error.hint();
            assert!(!hint.ends_with('.'), "{hint}");
        }
        let all: BTreeSet<_> = CASES.iter().copied().collect();
        assert_eq!(cases, all, "samples() lacks a case");
    }

    #[test]
    fn a_case_survives_the_way_through_an_operation_error() {
        for error in samples() {
            let (text, code) = (error.to_string(), error.code());
            let back = Error::from(KvError::from(error.clone()));
            assert_eq!((back.to_string(), back.code()), (text.clone(), code));
            let back = Error::from(ConnectError::from(error));
            assert_eq!((back.to_string(), back.code()), (text, code));
        }
    }

    #[test]
    fn causes_are_reachable_through_source() {
        use std::error::Error as _;
        let error = Error::from(AuthSource { method: "token function".into(), error: cause() });
        assert_eq!(error.source().unwrap().to_string(), "the cause");
    }

    #[test]
    fn an_error_stays_small() {
        assert!(size_of::<Error>() <= 128, "{}", size_of::<Error>());
    }
}
