//! How `reply` and `service serve` make their answers: the request itself, a text, or what a program
//! writes.

use bytes::Bytes;

use crate::exit::Failure;
use crate::message::{Templates, pipe, words};
use crate::template::{Facts, Template};

/// How answers are made.
pub(crate) enum Answer {
    Echo,
    Text(Template),
    Command(Vec<Template>),
}

impl Answer {
    /// By a command, a text, or neither.
    ///
    /// # Errors
    /// The command cannot be taken apart into words.
    pub(crate) fn new(
        command: Option<&str>,
        text: Option<&str>,
        templates: Templates,
    ) -> Result<Self, Failure> {
        Ok(match (command, text) {
            // The words are taken apart first: a token of a request never becomes several words.
            (Some(command), _) => Self::Command(
                words(command, "--command")?
                    .iter()
                    .map(|word| templates.read("command", word))
                    .collect(),
            ),
            (None, Some(text)) => Self::Text(templates.read("body", text)),
            (None, None) => Self::Echo,
        })
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// The command fails; the next request may fare better.
    pub(crate) async fn make(
        &self,
        subject: &str,
        body: &Bytes,
        facts: &Facts<'_>,
    ) -> Result<Bytes, Failure> {
        match self {
            Self::Echo => Ok(body.clone()),
            Self::Text(template) => Ok(template.fill(facts).into()),
            Self::Command(parts) => {
                let words: Vec<String> = parts.iter().map(|part| part.fill(facts)).collect();
                let text = facts.request.unwrap_or_default();
                let variables = [("NATS_REQUEST_SUBJECT", subject), ("NATS_REQUEST_BODY", text)];
                Ok(pipe(&words, body, &variables).await?.into())
            }
        }
    }
}
