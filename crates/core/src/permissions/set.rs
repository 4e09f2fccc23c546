//! A set of subjects and patterns, asked for each message that is not cached.
//!
//! Literals are hashed and patterns stand by their first token, so that the long lists which templates
//! expand to (up to 4096 entries) cost a lookup and not a walk.

use super::PermissionsError;
use hashbrown::{HashMap, HashSet};
use natterjack_subject::{has_wildcard, is_subset, is_valid_subscription, matches, overlaps};

#[derive(Default)]
pub(super) struct SubjectSet {
    literals: HashSet<Box<[u8]>>,
    by_first: HashMap<Box<[u8]>, Vec<Box<[u8]>>>,
    /// Patterns whose first token is a wildcard.
    any_first: Vec<Box<[u8]>>,
}

fn first_token(subject: &[u8]) -> &[u8] {
    subject.split(|byte| *byte == b'.').next().unwrap_or_default()
}

impl SubjectSet {
    pub(super) fn compile(entries: &[String]) -> Result<Self, PermissionsError> {
        let mut set = SubjectSet::default();
        for entry in entries {
            if !is_valid_subscription(entry.as_bytes()) || entry.contains([' ', '\t']) {
                return Err(PermissionsError::InvalidSubject(entry.clone()));
            }
            set.insert(entry.as_bytes());
        }
        Ok(set)
    }

    pub(super) fn insert(&mut self, entry: &[u8]) {
        if !has_wildcard(entry) {
            self.literals.insert(entry.into());
            return;
        }
        match first_token(entry) {
            b"*" | b">" => self.any_first.push(entry.into()),
            first => self.by_first.entry(first.into()).or_default().push(entry.into()),
        }
    }

    fn candidates(&self, subject: &[u8]) -> impl Iterator<Item = &[u8]> {
        let listed = self.by_first.get(first_token(subject)).map(Vec::as_slice).unwrap_or_default();
        listed.iter().chain(&self.any_first).map(Box::as_ref)
    }

    /// Whether an entry matches `subject`, whose wildcards count as literal tokens.
    pub(super) fn matches(&self, subject: &[u8]) -> bool {
        self.literals.contains(subject)
            || self.candidates(subject).any(|entry| matches(entry, subject))
    }

    /// Whether one entry covers all that the pattern `subject` stands for.
    pub(super) fn contains(&self, subject: &[u8]) -> bool {
        self.literals.contains(subject)
            || self.candidates(subject).any(|entry| is_subset(subject, entry))
    }

    /// Whether some subject is matched by an entry and by the pattern `subject`.
    pub(super) fn overlaps(&self, subject: &[u8]) -> bool {
        if !has_wildcard(subject) {
            return self.matches(subject);
        }
        let patterns = self.by_first.values().flatten().chain(&self.any_first);
        self.literals.iter().chain(patterns).any(|entry| overlaps(entry, subject))
    }
}
