//! Steps of a case, and how a line becomes one.

use crate::case::Witness;
use crate::text::pieces;

/// One line of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line in the file, from 1.
    pub line: usize,
    /// The line as written, for reports.
    pub text: String,
    /// Only for this witness.
    pub only: Option<Witness>,
    /// What to do.
    pub action: Action,
}

/// How far a connection is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// TCP.
    Raw,
    /// TCP and INFO read.
    Info,
    /// TCP, INFO, CONNECT with these options, PING and PONG.
    Connect(String),
    /// TCP to the WebSocket port and a handshake with these header lines; with its answer, or after it.
    WebSocket {
        /// Header lines.
        fields: Vec<String>,
        /// The answer is shown to the case.
        shown: bool,
    },
}

/// Inclusive bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Least.
    pub min: u64,
    /// Most.
    pub max: u64,
}

impl Range {
    /// Is `value` within?
    #[must_use]
    pub fn holds(self, value: u64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// What a connection must show next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// This operation.
    Frame(String),
    /// All of these, in any order.
    AnyOrder(Vec<String>),
    /// One of these.
    OneOf(Vec<String>),
    /// Nothing for so many milliseconds.
    Nothing(u64),
    /// The end of the connection.
    Close,
    /// The end of the connection, perhaps after an error or a close frame.
    Gone,
    /// An answer with this payload.
    Answer(String),
    /// An answer with exactly these headers and payload.
    Exact(String),
    /// An answer that is this MSG or HMSG.
    AnswerFrame(String),
    /// No answer for so many milliseconds.
    NoAnswer(u64),
}

/// What is done with the server's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAction {
    /// SIGKILL, and wait for the end.
    Kill,
    /// SIGTERM, and wait for exit code 0.
    Term,
    /// Start again on the same port and directory.
    Start,
    /// Send a signal by name.
    Signal(String),
    /// Wait for the end; its exit code.
    Exit(i32),
    /// A log line since the last such step holds this.
    Log(String),
    /// Replace the configuration file.
    Config(String),
}

/// What a step does. Strings are still as written; escapes and variables are resolved when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a connection.
    Open(String, Opening),
    /// Send text.
    Send {
        /// The connection.
        conn: String,
        /// The text.
        text: String,
        /// Append CRLF.
        line: bool,
        /// One write for each byte.
        bytewise: bool,
    },
    /// Begin TLS.
    Secure {
        /// The connection.
        conn: String,
        /// The certificate that is shown.
        show: Option<String>,
        /// The name of the server that is asked for.
        name: Option<String>,
        /// The only version that is offered.
        only: Option<Version>,
    },
    /// Send a WebSocket frame.
    Frame {
        /// The connection.
        conn: String,
        /// Its first byte.
        first: u8,
        /// Its payload.
        text: String,
        /// With a mask.
        masked: bool,
    },
    /// Send a compressed WebSocket message.
    Deflate(String, String),
    /// The largest WebSocket frame so far, or with `true` the number of compressed messages.
    Framed(String, bool, Range),
    /// Publish, with a reply subject of its own if `reply`.
    Publish {
        /// The connection.
        conn: String,
        /// `Key: value` lines.
        headers: Vec<String>,
        /// The subject.
        subject: String,
        /// The payload.
        body: String,
        /// Is it a request?
        reply: bool,
    },
    /// Publish into a stream and wait for its ack.
    Store(Box<Action>),
    /// Expect something.
    Expect(String, Expect),
    /// PING, and PONG is next.
    Ping(String),
    /// PING, and count until PONG.
    Tally(String),
    /// Check a count of the last tally.
    Tallied(String, String, Range),
    /// Close our side.
    Close(String),
    /// Sleep, in milliseconds.
    Wait(u64),
    /// Remember the time.
    Mark,
    /// Milliseconds since the mark.
    Took(Range),
    /// MiB of memory that the server has used at most, where the system says so.
    Peak(Range),
    /// Repeat a step.
    Repeat(u64, Box<Step>),
    /// Write a file.
    File(String, String),
    /// Do something with the server.
    Server(ServerAction),
    /// Run the program with these arguments to its end.
    Run(String),
    /// Exit code of the last run.
    Exit(i32),
    /// Output of the last run holds this, or does not.
    Out(String, bool),
    /// A file is there, or is not.
    Exists(String, bool),
    /// A file's text, from start to end.
    Holds(String, String),
    /// Get a path from the monitoring port.
    Http(String),
    /// Status of the last answer.
    Status(u16),
    /// Body of the last answer.
    Body(String),
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(a, b)| (a, b.trim_start()))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("expected a number, got {text:?}"))
}

fn range(text: &str) -> Result<Range, String> {
    match text.trim().split_once("..") {
        Some((min, "")) => Ok(Range { min: number(min)?, max: u64::MAX }),
        Some((min, max)) => Ok(Range { min: number(min)?, max: number(max)? }),
        None => number(text).map(|n| Range { min: n, max: n }),
    }
}

/// Reads one step; `more` holds its continuation lines.
///
/// # Errors
/// What is wrong with the line.
pub(crate) fn read(line: usize, text: &str, more: &[String]) -> Result<Step, String> {
    let shown = text.to_owned();
    let (only, text) = match split(text) {
        ("@ours", rest) => (Some(Witness::Ours), rest),
        ("@theirs", rest) => (Some(Witness::Reference), rest),
        _ => (None, text),
    };
    let (word, rest) = split(text);
    let block = || {
        let indent = more
            .iter()
            .filter(|l| !l.trim().is_empty())
            .map(|l| l.len() - l.trim_start().len())
            .min()
            .unwrap_or(0);
        let lines: Vec<&str> = more.iter().map(|l| l.get(indent..).unwrap_or("")).collect();
        lines.join("\n") + "\n"
    };
    let joined = || {
        let parts = std::iter::once(rest).chain(more.iter().map(|l| l.trim()));
        parts.collect::<String>()
    };
    let action = match word {
        "wait" => Action::Wait(number(rest)?),
        "mark" => Action::Mark,
        "took" => Action::Took(range(rest)?),
        "peak" => Action::Peak(range(rest)?),
        "repeat" => {
            let (count, inner) = split(rest);
            Action::Repeat(number(count)?, Box::new(read(line, inner, more)?))
        }
        "file" => Action::File(rest.to_owned(), block()),
        "server" => Action::Server(server(rest, block)?),
        "run" => Action::Run(joined()),
        "exit" => Action::Exit(number(rest)?),
        "out" => Action::Out(joined(), true),
        "nowhere" => Action::Out(joined(), false),
        "exists" => Action::Exists(rest.to_owned(), true),
        "gone" => Action::Exists(rest.to_owned(), false),
        "holds" => {
            let text = joined();
            let (path, pattern) = split(&text);
            Action::Holds(path.to_owned(), pattern.to_owned())
        }
        "http" => Action::Http(rest.to_owned()),
        "status" => Action::Status(number(rest)?),
        "body" => Action::Body(joined()),
        _ => connection(word, rest, &joined())?,
    };
    validate(&action)?;
    Ok(Step { line, text: shown, only, action })
}

fn server(rest: &str, block: impl Fn() -> String) -> Result<ServerAction, String> {
    let (verb, rest) = split(rest);
    Ok(match verb {
        "kill" => ServerAction::Kill,
        "term" => ServerAction::Term,
        "start" => ServerAction::Start,
        "signal" => ServerAction::Signal(rest.to_owned()),
        "exit" => ServerAction::Exit(number(rest)?),
        "log" => ServerAction::Log(rest.to_owned()),
        "config" => ServerAction::Config(block()),
        _ => return Err(format!("unknown step: server {verb}")),
    })
}

/// Steps that start with the name of a connection.
fn connection(word: &str, rest: &str, text: &str) -> Result<Action, String> {
    let end = word.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(word.len());
    let (conn, operator) = word.split_at(end);
    if conn.is_empty() {
        return Err(format!("unknown step: {word:?}"));
    }
    let conn = conn.to_owned();
    let text = text.to_owned();
    let millis = |rest: &str| {
        let value = rest.strip_prefix("nothing").map(str::trim)?;
        if value.is_empty() { Some(150) } else { value.parse().ok() }
    };
    Ok(match operator {
        ">" => Action::Send { conn, text, line: true, bytewise: false },
        ">>" => Action::Send { conn, text, line: false, bytewise: false },
        ">1" => Action::Send { conn, text, line: true, bytewise: true },
        "!" => publish(conn, &text, false)?,
        "?" => publish(conn, &text, true)?,
        "+" => Action::Store(Box::new(publish(conn, &text, true)?)),
        "<" if rest == "close" => Action::Expect(conn, Expect::Close),
        "<" if rest == "gone" => Action::Expect(conn, Expect::Gone),
        "<" => match millis(rest) {
            Some(ms) => Action::Expect(conn, Expect::Nothing(ms)),
            None => Action::Expect(conn, Expect::Frame(text)),
        },
        "<*" => Action::Expect(conn, Expect::AnyOrder(vec![text])),
        "<|" => Action::Expect(conn, Expect::OneOf(vec![text])),
        "=" => match millis(rest) {
            Some(ms) => Action::Expect(conn, Expect::NoAnswer(ms)),
            None => Action::Expect(conn, Expect::Answer(text)),
        },
        "==" => Action::Expect(conn, Expect::Exact(text)),
        "=<" => Action::Expect(conn, Expect::AnswerFrame(text)),
        "" => match split(rest) {
            ("raw", "") => Action::Open(conn, Opening::Raw),
            ("open", "") => Action::Open(conn, Opening::Info),
            ("connect", options) if options.starts_with('{') => {
                Action::Open(conn, Opening::Connect(options.to_owned()))
            }
            ("ws" | "websocket", fields) => {
                let fields = fields.split(';').map(|field| field.trim().to_owned());
                let fields = fields.filter(|field| !field.is_empty()).collect();
                Action::Open(conn, Opening::WebSocket { fields, shown: rest.starts_with("ws") })
            }
            ("tls", how) => secure(conn, how)?,
            ("frame" | "bare", what) => {
                let (first, text) = split(what);
                let first = u8::from_str_radix(first, 16).map_err(|e| format!("{first}: {e}"))?;
                let masked = rest.starts_with("frame");
                Action::Frame { conn, first, text: text.to_owned(), masked }
            }
            ("deflate", text) => Action::Deflate(conn, text.to_owned()),
            ("framed", size) => Action::Framed(conn, false, range(size)?),
            ("deflated", count) => Action::Framed(conn, true, range(count)?),
            ("ping", "") => Action::Ping(conn),
            ("tally", "") => Action::Tally(conn),
            ("tallied", what) => {
                let (key, count) = split(what);
                Action::Tallied(conn, key.to_owned(), range(count)?)
            }
            ("close", "") => Action::Close(conn),
            _ => return Err(format!("unknown step: {word} {rest}")),
        },
        _ => return Err(format!("unknown operator {operator:?}")),
    })
}

/// `tls [CERTIFICATE] [for=NAME] [only=1.2]`
fn secure(conn: String, how: &str) -> Result<Action, String> {
    let (mut show, mut name, mut only) = (None, None, None);
    for word in how.split_whitespace() {
        match word.split_once('=') {
            Some(("for", asked)) => name = Some(asked.to_owned()),
            Some(("only", "1.2")) => only = Some(Version::V12),
            Some(("only", "1.3")) => only = Some(Version::V13),
            None => show = Some(word.to_owned()),
            Some(_) => return Err(format!("tls: what is {word:?}?")),
        }
    }
    Ok(Action::Secure { conn, show, name, only })
}

fn publish(conn: String, text: &str, reply: bool) -> Result<Action, String> {
    let (headers, text) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, tail) = rest.split_once(']').ok_or("headers need a closing ]")?;
            (inner.split(';').map(|h| h.trim().to_owned()).collect(), tail.trim_start())
        }
        None => (Vec::new(), text),
    };
    let (subject, body) = split(text);
    if subject.is_empty() {
        return Err("a publish needs a subject".to_owned());
    }
    let (subject, body) = (subject.to_owned(), body.to_owned());
    Ok(Action::Publish { conn, headers, subject, body, reply })
}

/// Finds mistakes in escapes before a case runs.
fn validate(action: &Action) -> Result<(), String> {
    let texts: Vec<&String> = match action {
        Action::Send { text, .. } | Action::Frame { text, .. } | Action::Deflate(_, text) => {
            vec![text]
        }
        Action::Publish { headers, subject, body, .. } => {
            headers.iter().chain([subject, body]).collect()
        }
        Action::Store(inner) => return validate(inner),
        Action::Expect(_, expect) => match expect {
            Expect::AnyOrder(texts) | Expect::OneOf(texts) => texts.iter().collect(),
            Expect::Frame(text) | Expect::Exact(text) | Expect::AnswerFrame(text) => vec![text],
            Expect::Answer(text) if !text.starts_with(['{', '[']) => vec![text],
            _ => vec![],
        },
        Action::Out(text, _) => vec![text],
        _ => vec![],
    };
    texts.into_iter().try_for_each(|text| pieces(text, false).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(text: &str) -> Action {
        read(1, text, &[]).unwrap().action
    }

    #[test]
    fn sends_and_expectations() {
        let send = action("a> PUB foo 2\\r\\nhi");
        assert_eq!(
            send,
            Action::Send {
                conn: "a".into(),
                text: "PUB foo 2\\r\\nhi".into(),
                line: true,
                bytewise: false
            }
        );
        assert_eq!(action("b< close"), Action::Expect("b".into(), Expect::Close));
        assert_eq!(action("b< nothing 300"), Action::Expect("b".into(), Expect::Nothing(300)));
        assert_eq!(action("b= nothing"), Action::Expect("b".into(), Expect::NoAnswer(150)));
        assert_eq!(action("a ping"), Action::Ping("a".into()));
        assert_eq!(action("a="), Action::Expect("a".into(), Expect::Answer(String::new())));
    }

    #[test]
    fn publishes_take_headers_and_bodies() {
        let Action::Publish { headers, subject, body, reply, .. } =
            action("a? [Nats-Msg-Id: 1; X: y] s.a hello there")
        else {
            panic!("not a publish");
        };
        assert_eq!(headers, ["Nats-Msg-Id: 1", "X: y"]);
        assert_eq!((subject.as_str(), body.as_str(), reply), ("s.a", "hello there", true));
    }

    #[test]
    fn continuation_lines_are_joined_or_kept() {
        let more = ["  \"b\":2}".to_owned()];
        let step = read(1, "a= {\"a\":1,", &more).unwrap();
        assert_eq!(
            step.action,
            Action::Expect("a".into(), Expect::Answer("{\"a\":1,\"b\":2}".into()))
        );
        let more = ["    a: 1".to_owned(), "      b: 2".to_owned()];
        let step = read(1, "file x.conf", &more).unwrap();
        assert_eq!(step.action, Action::File("x.conf".into(), "a: 1\n  b: 2\n".into()));
    }

    #[test]
    fn ranges_and_repeats() {
        assert_eq!(action("took 900..1500"), Action::Took(Range { min: 900, max: 1500 }));
        let Action::Repeat(3, inner) = action("repeat 3 a! x {i}") else { panic!("no repeat") };
        assert!(matches!(inner.action, Action::Publish { .. }));
    }

    #[test]
    fn mistakes_are_refused() {
        for text in ["a% x", "server dance", "a sing", "wait x", "a> \\q", "a? [X: y", "a?", "> x"]
        {
            assert!(read(1, text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn witnesses_have_their_own_lines() {
        assert_eq!(read(1, "@ours a ping", &[]).unwrap().only, Some(Witness::Ours));
        assert_eq!(read(1, "@theirs a ping", &[]).unwrap().only, Some(Witness::Reference));
    }
}
