//! Messages on their way out (bodies, headers, standard input) and in (printing).

use std::io::Write as _;
use std::process::Stdio;

use async_nats::HeaderMap;
use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;

use crate::exit::{Failure, status};
use crate::output::{Output, Paint, put_body};
use crate::template::{Facts, Template};

/// Subject, headers and body to fill in for each message.
pub(crate) struct Blueprint {
    subject: Template,
    headers: Vec<(String, Template)>,
}

/// A message that is ready to go.
pub(crate) struct Filled {
    pub(crate) subject: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Reads texts as templates if they are to be.
#[derive(Clone, Copy)]
pub(crate) struct Templates {
    pub(crate) on: bool,
    pub(crate) out: Output,
}

impl Templates {
    /// A text that is no template stands for itself, with one warning.
    pub(crate) fn read(self, what: &str, text: &str) -> Template {
        if !self.on {
            return Template::plain(text);
        }
        Template::lenient(text, |error| {
            let bad =
                format!("{what} is no template (at `{{{{{}`) and is sent as it is", error.what);
            self.out.warn(bad);
        })
    }
}

impl Blueprint {
    /// `headers` are `Key:Value`.
    pub(crate) fn new(
        subject: &str,
        headers: &[String],
        templates: Templates,
    ) -> Result<Self, Failure> {
        Ok(Self {
            subject: templates.read("subject", subject),
            headers: headers
                .iter()
                .map(|header| {
                    let (name, value) = header.split_once(':').ok_or_else(|| {
                        Failure::usage(format!("header `{header}` is not of the form Key:Value"))
                    })?;
                    Ok((name.trim().to_owned(), templates.read("header", value.trim())))
                })
                .collect::<Result<_, Failure>>()?,
        })
    }

    pub(crate) fn fill(&self, facts: &Facts<'_>) -> Filled {
        Filled {
            subject: self.subject.fill(facts),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.fill(facts)))
                .collect(),
        }
    }
}

/// Where bodies come from.
pub(crate) enum Bodies {
    /// The same for all, filled in for each.
    Text(Template),
    /// All of standard input, as it is.
    Bytes(Bytes),
}

impl Bodies {
    pub(crate) fn fill(&self, facts: &Facts<'_>) -> Bytes {
        match self {
            Self::Text(template) => template.fill(facts).into(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// All of standard input.
pub(crate) async fn read_stdin() -> Result<Bytes, Failure> {
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes).map(|_| bytes)
    });
    match read.await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(error)) => Err(Failure::io("reading standard input", &error)),
        Err(_) => Err(Failure::new(status::FAILED, "io", "reading standard input was cut short")),
    }
}

/// Lines of standard input as they come, without their line ends.
pub(crate) fn stdin_lines() -> tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (send, receive) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let item = match std::io::BufRead::read_until(&mut stdin, b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                        if line.last() == Some(&b'\r') {
                            line.pop();
                        }
                    }
                    Ok(line)
                }
                Err(error) => Err(error),
            };
            let failed = item.is_err();
            if send.blocking_send(item).is_err() || failed {
                return;
            }
        }
    });
    receive
}

/// Headers as a JSON object of lists.
pub(crate) fn headers_json(headers: &HeaderMap) -> Value {
    let map: Map<String, Value> = headers
        .iter()
        .map(|(name, values)| {
            let values: Vec<Value> = values.iter().map(|value| value.as_str().into()).collect();
            (name.to_string(), values.into())
        })
        .collect();
    map.into()
}

/// What of a message is printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Show {
    /// Bodies only, a line each.
    pub(crate) raw: bool,
    pub(crate) headers_only: bool,
    pub(crate) subjects_only: bool,
    /// A program that bodies are passed through before they are printed.
    pub(crate) translate: Option<String>,
}

/// A message that came in.
pub(crate) struct Received<'a> {
    pub(crate) subject: &'a str,
    pub(crate) reply: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Received<'_> {
    /// The object that `--json` prints; `extra` is put first.
    pub(crate) fn json(&self, extra: Map<String, Value>, show: &Show) -> Map<String, Value> {
        let mut object = extra;
        object.insert("subject".to_owned(), self.subject.into());
        if let Some(reply) = self.reply {
            object.insert("reply".to_owned(), reply.into());
        }
        if !self.headers.is_empty() && !show.subjects_only {
            object.insert("headers".to_owned(), headers_json(self.headers));
        }
        object.insert("size".to_owned(), self.body.len().into());
        if !show.headers_only && !show.subjects_only {
            put_body(&mut object, self.body);
        }
        object
    }

    /// Headers, blank line, body, blank line: what follows a message's first line.
    pub(crate) fn lines(&self, out: &Output, show: &Show, body: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(body.len() + 64);
        if !self.headers.is_empty() {
            for (name, values) in self.headers.iter() {
                for value in values {
                    let line = format!("{name}: {}\n", value.as_str());
                    text.extend_from_slice(out.paint(Paint::Dim, line.trim_end()).as_bytes());
                    text.push(b'\n');
                }
            }
            text.push(b'\n');
        }
        if !show.headers_only {
            text.extend_from_slice(body);
            if body.last() != Some(&b'\n') {
                text.push(b'\n');
            }
        }
        text.push(b'\n');
        text
    }
}

/// A body after `--translate`; `{{Subject}}` in the command is the message's subject.
pub(crate) async fn translated(
    show: &Show,
    subject: &str,
    body: &[u8],
    out: &Output,
) -> Result<Vec<u8>, Failure> {
    let Some(command) = &show.translate else { return Ok(body.to_vec()) };
    let words = words(command, "--translate")?;
    let words: Vec<String> =
        words.iter().map(|word| word.replace("{{Subject}}", subject)).collect();
    match pipe(&words, body, &[]).await {
        Ok(translated) => Ok(translated),
        Err(failure) => {
            out.warn(failure.message);
            Ok(body.to_vec())
        }
    }
}

/// The words of a command as a shell would take them apart; nothing in them is expanded.
pub(crate) fn words(command: &str, option: &str) -> Result<Vec<String>, Failure> {
    match shell_words::split(command) {
        Ok(words) if !words.is_empty() => Ok(words),
        Ok(_) => Err(Failure::usage(format!("{option}: the command is empty"))),
        Err(error) => Err(Failure::usage(format!("{option}: `{command}`: {error}"))),
    }
}

/// Runs a program with `input` and returns what it writes.
pub(crate) async fn pipe(
    words: &[String],
    input: &[u8],
    variables: &[(&str, &str)],
) -> Result<Vec<u8>, Failure> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| Failure::usage("the command is empty"))?;
    let failed = |why: String| {
        Failure::new(status::FAILED, "command.failed", format!("command `{program}`: {why}"))
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied().filter(|(_, value)| fits_environment(value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // A program need not read all, or any, of its input.
    let feed = async move {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&input).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    Ok(output.stdout)
}

/// Whether a system takes it as the value of a variable: Linux up to 128 KiB, none with a NUL.
fn fits_environment(value: &str) -> bool {
    value.len() < 100_000 && !value.contains('\0')
}

/// Writes a body into a file of its own below `--dump DIR`.
pub(crate) fn dump(
    directory: &str,
    number: u64,
    object: &Map<String, Value>,
    out: &Output,
) -> Result<(), Failure> {
    if directory == "-" {
        out.object(object);
        return Ok(());
    }
    let path = std::path::Path::new(directory).join(format!("{number}.json"));
    let failed = |error: std::io::Error| Failure::io(path.display(), &error);
    let mut file = std::fs::File::create(&path).map_err(failed)?;
    let text = Value::Object(object.clone()).to_string();
    file.write_all(text.as_bytes()).map_err(failed)
}
