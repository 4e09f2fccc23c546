//! The few arguments that tasks take: `--name value`, `--switch`, and words.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// What is left of the command line.
pub(crate) struct Arguments {
    rest: VecDeque<String>,
    /// What stands behind `--`.
    pub(crate) command: Vec<String>,
}

impl Arguments {
    pub(crate) fn from_env() -> Self {
        let mut all = std::env::args().skip(1);
        let rest = all.by_ref().take_while(|argument| argument != "--").collect();
        Self { rest, command: all.collect() }
    }

    /// The next argument.
    pub(crate) fn word(&mut self) -> Option<String> {
        self.rest.pop_front()
    }

    /// Whether `--name` was given.
    pub(crate) fn switch(&mut self, name: &str) -> bool {
        let place = self.rest.iter().position(|argument| argument == name);
        place.and_then(|place| self.rest.remove(place)).is_some()
    }

    /// The value behind `--name`.
    pub(crate) fn option(&mut self, name: &str) -> Result<Option<String>> {
        let Some(place) = self.rest.iter().position(|argument| argument == name) else {
            return Ok(None);
        };
        self.rest.remove(place);
        let value = self.rest.remove(place).with_context(|| format!("{name} needs a value"))?;
        Ok(Some(value))
    }

    /// As [`Self::option`], each time the option was given.
    pub(crate) fn options(&mut self, name: &str) -> Result<Vec<String>> {
        std::iter::from_fn(|| self.option(name).transpose()).collect()
    }

    /// The number behind `--name`.
    pub(crate) fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.option(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => bail!("{name} {text}: not a number"),
        }
    }

    /// The path behind `--name`.
    pub(crate) fn path(&mut self, name: &str) -> Result<Option<PathBuf>> {
        Ok(self.option(name)?.map(PathBuf::from))
    }

    /// Refuses what nothing has taken.
    pub(crate) fn end(&self) -> Result<()> {
        match self.rest.front() {
            Some(argument) => bail!("what is {argument:?}? `cargo xtask help` lists the arguments"),
            None => Ok(()),
        }
    }
}
