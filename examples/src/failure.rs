//! Why a program ends with another exit code than 0.

use std::fmt;

use natterjack::Error;

/// What a program returns.
pub type Outcome = Result<(), Failure>;

/// What happened, what to try, and the exit code: 2 usage, 3 cannot connect, 4 login or permission,
/// 5 not found or JetStream off, 6 nothing came in time, 7 conflict, 1 anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable name for programs, such as `connect.unreachable`.
    pub code: &'static str,
    /// The exit code.
    pub exit: u8,
    /// What happened.
    pub text: String,
    /// What to try; may be empty.
    pub hint: String,
}

impl Failure {
    /// A failure that is none of the connector's.
    pub fn new(code: &'static str, exit: u8, text: impl Into<String>) -> Self {
        Self { code, exit, text: text.into(), hint: String::new() }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(why) = cause {
            let more = why.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = why.source();
        }
        let hint = match &error {
            // The programs dial a server that the reader is meant to run.
            Error::Unreachable(_) => "start one: natterjack serve -js".to_owned(),
            error => error.hint().into_owned(),
        };
        Self { code: error.code(), exit: error.exit_code(), text, hint }
    }
}

macro_rules! through_error {
    ($($part:ident)+) => {$(
        impl From<natterjack::error::$part> for Failure {
            fn from(error: natterjack::error::$part) -> Self {
                Error::from(error).into()
            }
        }
    )+};
}

through_error!(
    ConnectError PublishError SubscribeError RequestError WaitError DrainError StreamError KvError
    ObjectError Decode
    Closed
);
