//! What a command ends with: an exit status, and for people what happened, why, and what to try.
//!
//! The one place where errors of the connector, of JetStream and of the system become exit codes
//! (section C.4 of the specification).

use std::fmt;

use natterjack::Error;
use serde_json::{Value, json};

/// Exit statuses.
pub(crate) mod status {
    /// Something else failed.
    pub(crate) const FAILED: u8 = 1;
    /// The command line makes no sense.
    pub(crate) const USAGE: u8 = 2;
    /// Not found, or JetStream is off.
    pub(crate) const NOT_FOUND: u8 = 5;
    /// No answer in time, or nobody to answer.
    pub(crate) const TIMEOUT: u8 = 6;
    /// Exists already, or somebody else wrote first.
    pub(crate) const CONFLICT: u8 = 7;
    /// Some of it was done.
    pub(crate) const PARTLY: u8 = 8;
    /// Refused by a prompt, or nobody could be asked.
    pub(crate) const REFUSED: u8 = 9;
    /// Interrupted a second time.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: u8,
    /// A stable name for programs.
    pub(crate) code: &'static str,
    /// JetStream's number (ADR-7); 0 if it has none.
    pub(crate) err_code: u64,
    pub(crate) message: String,
    /// What to try; may be empty.
    pub(crate) hint: String,
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    pub(crate) fn new(exit: u8, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, err_code: 0, message: message.into(), hint: String::new() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(status::USAGE, "usage", message)
    }

    /// The command has said what there is to say: only the status is left.
    pub(crate) fn said(status: u8) -> Self {
        Self::new(status, "said", "")
    }

    /// A file or stream of the system failed.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(status::FAILED, "io", format!("{what}: {error}"))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The error of a JetStream API answer. `request` is the subject without its prefix.
    pub(crate) fn api(code: u64, err_code: u64, description: &str, request: &str) -> Self {
        let (exit, name) = match (code, err_code) {
            (_, 10039 | 10076) => (status::NOT_FOUND, "js.disabled"),
            (_, 10071 | 10164) => (status::CONFLICT, "js.conflict"),
            // In use with another configuration; consumer of that name exists.
            (_, 10058 | 10013 | 10105 | 10130 | 10148) => (status::CONFLICT, "js.exists"),
            (404, _) => (status::NOT_FOUND, "js.not_found"),
            (403, _) => (4, "auth.permission"),
            (408 | 504, _) => (status::TIMEOUT, "js.timeout"),
            _ => (status::FAILED, "js.api"),
        };
        let hint = match err_code {
            10039 => "ask for JetStream limits in this account",
            10076 => "start the server with -js",
            10023 | 10028 | 10047 => "remove data or raise the storage limit",
            10077 => "raise the stream's limits, or remove messages",
            10071 | 10164 => "read the current revision and decide again",
            10058 | 10130 => "use another name, or remove the old one first",
            _ => "",
        };
        let message = match err_code {
            10039 => "JetStream is not enabled for this account".to_owned(),
            10076 => "JetStream is not enabled on this server".to_owned(),
            _ => format!("{description} ({request}, code {code}, err_code {err_code})"),
        };
        Self { exit, code: name, err_code, message, hint: hint.to_owned() }
    }

    /// The object that `--json` prints.
    pub(crate) fn json(&self) -> Value {
        json!({"error": {
            "code": self.code,
            "err_code": self.err_code,
            "message": self.message,
            "hint": self.hint,
        }})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let err_code = match &error {
            Error::Api(api) => {
                return Self::api(
                    api.code.into(),
                    api.err_code.into(),
                    &api.description,
                    &api.request,
                );
            }
            Error::NotFound(missing) => missing.err_code.into(),
            // The connector knows which one it was, and no longer the number.
            Error::Conflict(_) => 10071,
            _ => 0,
        };
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(why) = cause {
            let text = why.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = why.source();
        }
        Self {
            exit: error.exit_code(),
            code: error.code(),
            err_code,
            message,
            hint: error.hint().into_owned(),
        }
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

through_error!(ConnectError PublishError SubscribeError RequestError WaitError DrainError Decode StreamError KvError ObjectError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_errors_keep_their_number_and_choose_the_exit_status() {
        for (code, err_code, exit, name) in [
            (404, 10059, 5, "js.not_found"),
            (503, 10076, 5, "js.disabled"),
            (503, 10039, 5, "js.disabled"),
            (400, 10071, 7, "js.conflict"),
            (400, 10058, 7, "js.exists"),
            (403, 0, 4, "auth.permission"),
            (408, 0, 6, "js.timeout"),
            (400, 10052, 1, "js.api"),
        ] {
            let failure = Failure::api(code, err_code, "words of the server", "STREAM.INFO.X");
            assert_eq!((failure.exit, failure.code), (exit, name), "{code} {err_code}");
            assert_eq!(failure.json()["error"]["err_code"], err_code);
        }
    }

    #[test]
    fn an_error_of_the_connector_keeps_code_hint_and_status() {
        let missing = natterjack::error::CredsMissing { path: "/no/such.creds".into() };
        let failure = Failure::from(Error::from(missing));
        assert_eq!((failure.exit, failure.code), (4, "auth.creds_missing"));
        assert!(failure.message.contains("/no/such.creds"));
        assert!(failure.hint.contains("auth quick"));
    }
}
