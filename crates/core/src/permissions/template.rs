//! Templates of scoped signing keys: `{{name()}}` and its like in permission entries.
//!
//! Tags are `key:value` texts of a claim; a key with several values yields an entry per value, several
//! such keys the cross product. Function and key are read in lower case and blanks around them do not
//! count. All as measured on nats-server 2.15.1.

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
    /// No such variable.
    #[error("template operation in {0:?} is not defined")]
    UnknownVariable(String),
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

/// A list with a variable anywhere loses its entries that name a queue, as in nats-server.
fn expand_list(
    list: &[String],
    values: &TemplateValues<'_>,
    is_deny: bool,
) -> Result<Vec<String>, TemplateError> {
    if !list.iter().any(|entry| parse(entry).iter().any(|part| matches!(part, Part::Variable(_)))) {
        return Ok(list.to_vec());
    }
    let mut expanded = Vec::with_capacity(list.len());
    for entry in list {
        for subject in expand_entry(entry, values)? {
            if is_valid_subscription(subject.as_bytes()) && !subject.contains(char::is_whitespace) {
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

enum Part<'a> {
    Text(&'a str),
    /// What stands between the braces.
    Variable(&'a str),
}

fn parse(entry: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = entry;
    while let Some((text, after)) = rest.split_once("{{") {
        let Some((variable, after)) = after.split_once("}}").filter(|(name, _)| !name.is_empty())
        else {
            break;
        };
        parts.extend([Part::Text(text), Part::Variable(variable)]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    parts
}

/// The entries that one entry stands for. Where a variable has no value, there is one that is no valid
/// subject. A variable that occurs twice has the same value in both places.
fn expand_entry(entry: &str, values: &TemplateValues<'_>) -> Result<Vec<String>, TemplateError> {
    let parts = parse(entry);
    let mut names: Vec<&str> = Vec::new();
    let mut bindings: Vec<Vec<&str>> = vec![Vec::new()];
    for part in &parts {
        let Part::Variable(name) = part else {
            continue;
        };
        if names.contains(name) {
            continue;
        }
        names.push(name);
        let choices =
            values.choices(name).ok_or_else(|| TemplateError::UnknownVariable(entry.to_owned()))?;
        if choices.is_empty() {
            return Ok(vec![String::new()]);
        }
        if bindings.len().saturating_mul(choices.len()) > EXPANDED_MAX {
            return Err(TemplateError::TooMany(entry.to_owned()));
        }
        let longer = bindings.iter().flat_map(|bound| {
            choices.iter().map(|choice| bound.iter().copied().chain([*choice]).collect())
        });
        bindings = longer.collect();
    }
    let fill = |bound: &Vec<&str>| {
        let value = |part: &Part<'_>| match part {
            Part::Text(text) => (*text).to_owned(),
            Part::Variable(name) => {
                let index = names.iter().position(|known| known == name);
                index.map_or_else(String::new, |index| bound[index].to_owned())
            }
        };
        parts.iter().map(value).collect::<String>()
    };
    Ok(bindings.iter().map(fill).collect())
}

impl<'a> TemplateValues<'a> {
    /// The values of a variable, none if its tag is missing; `None` if there is no such variable.
    fn choices(&self, variable: &str) -> Option<Vec<&'a str>> {
        let variable = variable.trim().to_ascii_lowercase();
        match variable.as_str() {
            "name()" => return Some(vec![self.user_name]),
            "subject()" => return Some(vec![self.user_key]),
            "account-name()" => return Some(vec![self.account_name]),
            "account-subject()" => return Some(vec![self.account_key]),
            _ => {}
        }
        let (tags, key) = match variable.strip_prefix("account-tag(") {
            Some(key) => (self.account_tags, key),
            None => (self.user_tags, variable.strip_prefix("tag(")?),
        };
        let key = key.strip_suffix(')')?;
        let tagged = |tag: &'a String| tag.strip_prefix(key)?.strip_prefix(':');
        Some(tags.iter().filter_map(tagged).collect())
    }
}
