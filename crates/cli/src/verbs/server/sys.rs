//! Questions to all servers, which only users of the system account may put.

use std::time::{Duration, Instant};

use bytes::Bytes;
use natterjack::codec::Binary;
use natterjack::{Connector, Error, Until};
use serde_json::{Map, Value};

use crate::connect::Context;
use crate::exit::{Failure, status};
use crate::json::{number, text};

/// How long to wait for another server after one has answered.
pub(crate) const OTHERS: Duration = Duration::from_millis(300);

/// An answer, and how long it took.
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) rtt: Duration,
}

/// Which servers are to answer: by name, cluster and tags.
pub(super) fn narrow(
    mut question: Map<String, Value>,
    name: Option<&str>,
    cluster: Option<&str>,
    tags: &[String],
) -> Value {
    for (key, value) in [("server_name", name), ("cluster", cluster)] {
        if let Some(value) = value {
            question.insert(key.to_owned(), value.into());
        }
    }
    if !tags.is_empty() {
        question.insert("tags".to_owned(), tags.into());
    }
    Value::Object(question)
}

/// Asks all servers `$SYS.REQ.SERVER.PING[.kind]`, and returns the answers, by server name. `expect`
/// ends the waiting.
///
/// # Errors
/// Nobody answers: this is no user of the system account, or the server has no such service. A server
/// refuses.
pub(super) async fn ask_all(
    context: &Context,
    connector: &Connector,
    kind: &str,
    body: &Value,
    expect: Option<usize>,
) -> Result<Vec<Value>, Failure> {
    let subject = match kind {
        "" => "$SYS.REQ.SERVER.PING".to_owned(),
        kind => format!("$SYS.REQ.SERVER.PING.{kind}"),
    };
    let answers = ask(context, connector, &subject, body, expect).await?;
    Ok(answers.into_iter().map(|answer| answer.value).collect())
}

/// As [`ask_all`], on any subject, with times.
pub(crate) async fn ask(
    context: &Context,
    connector: &Connector,
    subject: &str,
    body: &Value,
    expect: Option<usize>,
) -> Result<Vec<Answer>, Failure> {
    let mut answers = collect(context, connector, subject, body, expect).await?;
    if answers.is_empty() {
        return Err(nobody(subject));
    }
    answers.sort_by(|one, other| {
        text(&one.value, "/server/name").cmp(text(&other.value, "/server/name"))
    });
    Ok(answers)
}

/// The answers of all who hear a question, in the order in which they came; none if nobody does.
///
/// # Errors
/// One of them refuses, or says something that is no JSON.
pub(crate) async fn collect(
    context: &Context,
    connector: &Connector,
    subject: &str,
    body: &Value,
    expect: Option<usize>,
) -> Result<Vec<Answer>, Failure> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answers = gather(context, connector, subject, &body, expect).await?;
    match answers.iter().find_map(|answer| answer.value.get("error")) {
        None => Ok(answers),
        Some(error) => {
            let code = number(error, "/code");
            let text = format!("{} (code {code})", text(error, "/description"));
            Err(Failure::new(status::FAILED, "sys.refused", text))
        }
    }
}

/// As [`collect`], also of those who refuse.
pub(crate) async fn gather(
    context: &Context,
    connector: &Connector,
    subject: &str,
    body: &str,
    expect: Option<usize>,
) -> Result<Vec<Answer>, Failure> {
    let until = match expect {
        Some(count) if count > 0 => Until::Count(count),
        _ => Until::Idle(OTHERS),
    };
    if context.global.trace {
        context.out.trace(&format!(">>> {subject}\n{body}"));
    }
    let began = Instant::now();
    let many = connector.ask(subject).codec(Binary).many(until);
    let mut replies = many.stream::<[u8], Bytes>(body.as_bytes()).await?;
    let mut answers = Vec::new();
    while let Some(reply) = replies.next().await {
        let reply = match reply.map_err(Error::from) {
            Ok(reply) => reply,
            Err(Error::NoResponders(_)) => break,
            Err(error) => return Err(error.into()),
        };
        let rtt = began.elapsed();
        if context.global.trace {
            context.out.trace(&format!("<<< {}", String::from_utf8_lossy(&reply.payload)));
        }
        let value: Value = serde_json::from_slice(&reply.payload).map_err(|error| {
            let text = format!("an answer on {subject} is not JSON: {error}");
            Failure::new(status::FAILED, "sys.bad_reply", text)
        })?;
        answers.push(Answer { value, rtt });
    }
    Ok(answers)
}

/// Nobody may hear the question, or nobody knows it.
fn nobody(subject: &str) -> Failure {
    let text = format!("no server answers on {subject}");
    Failure::new(status::TIMEOUT, "sys.no_answer", text).hint(
        "connect as a user of the system account, with --user and --password or --creds; \
         servers without one do not answer",
    )
}
