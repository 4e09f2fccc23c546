//! Templates of scoped signing keys: `{{name()}}` and its like in permission entries.
//!
//! A variable stands for a whole token. Tags are `key:value` texts of a claim; a key with several values
//! yields an entry per value, several such keys the cross product.

use super::{PermissionsSpec, SubjectRules};
use natterjack_subject::is_valid_subscription;
use thiserror::Error;

/// Entries that one list may expand to.
const EXPANDED_MAX: usize = 4096;

/// What the variables of a template stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateValues<'a> {
    /// `{{name()}}`: the name in the user's claim.
    pub user_name: &'a str,
    /// `{{subject()}}`: the user's public key.
    pub user_key: &'a str,
    /// `{{tag(key)}}`: the user's tags.
    pub user_tags: &'a [String],
    /// `{{account-name()}}`: the name in the account's claim.
    pub account_name: &'a str,
    /// `{{account-subject()}}`: the account's public key.
    pub account_key: &'a str,
    /// `{{account-tag(key)}}`: the account's tags.
    pub account_tags: &'a [String],
}

/// Why a template cannot be applied; the connection is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// A deny entry whose variable has no usable value: leaving it out would grant more.
    #[error("generated invalid subject {0:?}")]
    DenyWithoutValue(String),
    /// The tags multiply to more than 4096 entries.
    #[error("more than 4096 entries generated from {0:?}")]
    TooMany(String),
}

/// Puts the values in place of the variables. An allow entry without a value is left out; if no allow
/// entry remains, that direction is denied altogether.
///
/// # Errors
///
/// A deny entry without a value; a list that expands to more than 4096 entries.
pub fn expand(
    template: &PermissionsSpec,
    values: &TemplateValues<'_>,
) -> Result<PermissionsSpec, TemplateError> {
    Ok(PermissionsSpec {
        publish: expand_rules(&template.publish, values)?,
        subscribe: expand_rules(&template.subscribe, values)?,
        allow_responses: template.allow_responses,
    })
}

fn expand_rules(
    rules: &SubjectRules,
    values: &TemplateValues<'_>,
) -> Result<SubjectRules, TemplateError> {
    let allow = expand_list(&rules.allow, values, false)?;
    let mut deny = expand_list(&rules.deny, values, true)?;
    if allow.is_empty() && !rules.allow.is_empty() {
        deny.push(">".to_owned());
    }
    Ok(SubjectRules { allow, deny })
}

fn expand_list(
    list: &[String],
    values: &TemplateValues<'_>,
    is_deny: bool,
) -> Result<Vec<String>, TemplateError> {
    let mut expanded = Vec::with_capacity(list.len());
    for entry in list {
        for subject in expand_entry(entry, values)? {
            let (pattern, _) = subject.split_once(' ').unwrap_or((&subject, ""));
            if is_valid_subscription(pattern.as_bytes()) {
                expanded.push(subject);
            } else if is_deny {
                return Err(TemplateError::DenyWithoutValue(entry.clone()));
            }
        }
        if expanded.len() > EXPANDED_MAX {
            return Err(TemplateError::TooMany(entry.clone()));
        }
    }
    Ok(expanded)
}

/// The entries that one entry stands for; an entry without a value yields an invalid subject.
fn expand_entry(entry: &str, values: &TemplateValues<'_>) -> Result<Vec<String>, TemplateError> {
    if !entry.contains("{{") {
        return Ok(vec![entry.to_owned()]);
    }
    let (subject, queue) = match entry.split_once([' ', '\t']) {
        Some((subject, queue)) => (subject, Some(queue)),
        None => (entry, None),
    };
    let mut expanded = vec![String::new()];
    for (index, token) in subject.split('.').enumerate() {
        let choices = match variable(token) {
            Some(variable) => values.choices(variable),
            None => vec![token],
        };
        if expanded.len().saturating_mul(choices.len()) > EXPANDED_MAX {
            return Err(TemplateError::TooMany(entry.to_owned()));
        }
        let mut longer = Vec::with_capacity(expanded.len() * choices.len());
        for start in &expanded {
            for choice in &choices {
                // A value with a blank would turn into a subject with a queue.
                let choice = if choice.contains(char::is_whitespace) { "" } else { choice };
                let separator = if index == 0 { "" } else { "." };
                longer.push(format!("{start}{separator}{choice}"));
            }
        }
        expanded = longer;
    }
    if let Some(queue) = queue {
        for subject in &mut expanded {
            subject.push(' ');
            subject.push_str(queue);
        }
    }
    if expanded.is_empty() {
        expanded.push(String::new());
    }
    Ok(expanded)
}

fn variable(token: &str) -> Option<&str> {
    token.strip_prefix("{{")?.strip_suffix("}}")
}

impl<'a> TemplateValues<'a> {
    fn choices(&self, variable: &str) -> Vec<&'a str> {
        let variable = variable.to_ascii_lowercase();
        match variable.as_str() {
            "name()" => return vec![self.user_name],
            "subject()" => return vec![self.user_key],
            "account-name()" => return vec![self.account_name],
            "account-subject()" => return vec![self.account_key],
            _ => {}
        }
        let argument =
            |function: &str| Some(variable.strip_prefix(function)?.strip_suffix(')')?.to_owned());
        if let Some(key) = argument("tag(") {
            return tagged(self.user_tags, &key);
        }
        if let Some(key) = argument("account-tag(") {
            return tagged(self.account_tags, &key);
        }
        Vec::new()
    }
}

fn tagged<'a>(tags: &'a [String], key: &str) -> Vec<&'a str> {
    tags.iter()
        .filter_map(|tag| {
            let (name, value) = tag.split_once(':')?;
            name.eq_ignore_ascii_case(key).then_some(value)
        })
        .collect()
}
