//! Which imports hold: by what is exported to whom, and without cycles.

use std::sync::Arc;

use hashbrown::HashSet;
use natterjack_subject::{is_subset, is_valid_literal, overlaps, tokens};

use super::declared::{Export, ExportKind, Import, Importers, Responses, Sharing};
use super::rename::{Rename, RenameError, number_wildcards};
use crate::jwt::ActivationClaims;

/// Where something is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The export with this index.
    Export(usize),
    /// The import with this index.
    Import(usize),
}

/// A declaration that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The account that declares it.
    pub account: Arc<str>,
    /// Where.
    pub place: Place,
    /// Why it does not hold.
    pub error: SharingError,
}

/// Why an export or import does not hold. The texts are nats-server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// An account is named that does not exist.
    #[error("{account:?} account not defined for {kind} {role}")]
    AccountMissing {
        /// The name.
        account: String,
        /// `stream` or `service`.
        kind: &'static str,
        /// `import` or `export`.
        role: &'static str,
    },
    /// The token that must be the importer's name is not a wildcard.
    #[error("Error adding {kind} export {subject:?}: sublist: invalid subject")]
    TokenPosition {
        /// `stream` or `service`.
        kind: &'static str,
        /// What is exported.
        subject: String,
    },
    /// Latencies cannot be reported there.
    #[error(
        "Error adding service latency sampling for {service:?} on subject {subject:?}: {reason}"
    )]
    Latency {
        /// The service.
        service: String,
        /// Where its latencies were to be reported.
        subject: String,
        /// Why not.
        reason: &'static str,
    },
    /// Nothing like this is exported to the account.
    #[error("Error adding {kind} import {subject:?}: {kind} import not authorized")]
    NotAuthorized {
        /// `stream` or `service`.
        kind: &'static str,
        /// What is imported.
        subject: String,
    },
    /// It is imported already.
    #[error("Error adding stream import {subject:?}: stream import already exists")]
    Duplicate {
        /// What is imported.
        subject: String,
    },
    /// The subject in the importing account is taken by a service of the same exporter.
    #[error(
        "Duplicate service import subject {local:?}, previously used in import for account \
         {account:?}, subject {subject:?}"
    )]
    DuplicateService {
        /// The subject in the importing account.
        local: String,
        /// The exporting account.
        account: String,
        /// What the first one imports.
        subject: String,
    },
    /// The names here and there do not fit together.
    #[error(
        "Error adding {kind} import {subject:?}: failed to create mapping transform for {kind} \
         import subject from {from:?} to {to:?}: {error}"
    )]
    Rename {
        /// `stream` or `service`.
        kind: &'static str,
        /// What is imported.
        subject: String,
        /// The subject that is renamed.
        from: String,
        /// The name.
        to: String,
        /// Why not.
        error: Box<RenameError>,
    },
    /// A message would come back to where it was.
    #[error("Error adding {kind} import {subject:?}: import forms a cycle")]
    Cycle {
        /// `stream` or `service`.
        kind: &'static str,
        /// What is imported.
        subject: String,
    },
}

fn kind_of(is_service: bool) -> &'static str {
    if is_service { "service" } else { "stream" }
}

/// Checks everything that is declared; `is_account` tells whether there is an account of this name.
/// Imports and exports without a fault can be given to [`wire`](super::wire).
pub fn check(declared: &[Sharing], is_account: &dyn Fn(&str) -> bool, now_unix: i64) -> Vec<Fault> {
    let mut faults = Vec::new();
    for sharing in declared {
        for (at, export) in sharing.exports.iter().enumerate() {
            if let Err(error) = check_export(export, is_account) {
                let account = sharing.account.clone();
                faults.push(Fault { account, place: Place::Export(at), error });
            }
        }
    }
    // Later ones are judged with what was accepted before them: of a cycle one is refused.
    let mut accepted: Vec<(&str, &Import)> = Vec::new();
    for sharing in declared {
        for (at, import) in sharing.imports.iter().enumerate() {
            let found = check_import(sharing, import, declared, &faults, is_account, now_unix)
                .and_then(|_| check_with_others(&sharing.account, import, &accepted));
            match found {
                Ok(()) => accepted.push((&sharing.account, import)),
                Err(error) => {
                    let account = sharing.account.clone();
                    faults.push(Fault { account, place: Place::Import(at), error });
                }
            }
        }
    }
    faults
}

fn check_export(export: &Export, is_account: &dyn Fn(&str) -> bool) -> Result<(), SharingError> {
    let kind = kind_of(matches!(export.kind, ExportKind::Service(_)));
    match &export.importers {
        Importers::All | Importers::Activated { .. } => {}
        Importers::Only(names) => {
            if let Some(missing) = names.iter().find(|name| !is_account(name)) {
                let account = missing.clone();
                return Err(SharingError::AccountMissing { account, kind, role: "export" });
            }
        }
        Importers::Named(position) => {
            let token = position.checked_sub(1).and_then(|at| export.subject.split('.').nth(at));
            if token != Some("*") {
                let subject = export.subject.clone();
                return Err(SharingError::TokenPosition { kind, subject });
            }
        }
    }
    let ExportKind::Service(service) = &export.kind else { return Ok(()) };
    let Some(latency) = &service.latency else { return Ok(()) };
    let reason = if service.responses != Responses::Singleton {
        "bad service response type"
    } else if !is_valid_literal(latency.subject.as_bytes()) {
        "invalid publish subject"
    } else {
        return Ok(());
    };
    let (service, subject) = (export.subject.clone(), latency.subject.clone());
    Err(SharingError::Latency { service, subject, reason })
}

fn check_import(
    sharing: &Sharing,
    import: &Import,
    declared: &[Sharing],
    faults: &[Fault],
    is_account: &dyn Fn(&str) -> bool,
    now_unix: i64,
) -> Result<(), SharingError> {
    let (kind, subject) = (kind_of(import.is_service), &import.subject);
    if !is_account(&import.account) {
        let account = import.account.clone();
        return Err(SharingError::AccountMissing { account, kind, role: "import" });
    }
    let exporter = declared.iter().find(|sharing| *sharing.account == *import.account);
    let export = exporter.and_then(|exporter| {
        let is_sound = |at: usize| {
            let place = Place::Export(at);
            !faults.iter().any(|it| it.account == exporter.account && it.place == place)
        };
        let sound = exporter.exports.iter().enumerate().filter(|(at, _)| is_sound(*at));
        export_for(sound.map(|(_, export)| export), import)
    });
    let allows = |export: &Export| is_authorized(export, &sharing.account, import, now_unix);
    if !export.is_some_and(allows) {
        return Err(SharingError::NotAuthorized { kind, subject: subject.clone() });
    }
    rename(import).map(drop)
}

/// The export that decides about an import: the one of its very subject, else one that covers it.
pub(super) fn export_for<'a>(
    exports: impl Iterator<Item = &'a Export>,
    import: &Import,
) -> Option<&'a Export> {
    let mut covering = None;
    for export in exports {
        let is_service = matches!(export.kind, ExportKind::Service(_));
        if is_service != import.is_service {
            continue;
        }
        if export.subject == import.subject {
            return Some(export);
        }
        if covering.is_none() && is_subset(import.subject.as_bytes(), export.subject.as_bytes()) {
            covering = Some(export);
        }
    }
    covering
}

fn is_authorized(export: &Export, importer: &str, import: &Import, now_unix: i64) -> bool {
    match &export.importers {
        Importers::All => true,
        Importers::Only(names) => names.iter().any(|name| name == importer),
        Importers::Named(position) => {
            let token = position.checked_sub(1).and_then(|at| import.subject.split('.').nth(at));
            token == Some(importer)
        }
        Importers::Activated { issuers, revocations } => {
            import
                .activation
                .as_ref()
                .is_some_and(|token| is_activated(token, issuers, importer, import, now_unix))
                && !is_revoked(import.activation.as_ref(), revocations, importer)
        }
    }
}

/// Whether the exporter, or a key that signs for it, lets this account import this subject.
fn is_activated(
    token: &ActivationClaims,
    issuers: &[String],
    importer: &str,
    import: &Import,
    now_unix: i64,
) -> bool {
    let is_issued = issuers.contains(&token.iss)
        && (token.nats.issuer_account.is_empty() || token.nats.issuer_account == import.account);
    let is_current =
        (token.exp == 0 || now_unix < token.exp) && (token.nbf == 0 || now_unix >= token.nbf);
    let is_kind = token.nats.import_kind == kind_of(import.is_service);
    let granted = token.nats.import_subject.as_bytes();
    is_issued
        && is_current
        && is_kind
        && token.sub == importer
        && is_subset(import.subject.as_bytes(), granted)
}

fn is_revoked(
    token: Option<&ActivationClaims>,
    revocations: &std::collections::BTreeMap<String, i64>,
    importer: &str,
) -> bool {
    let issued = token.map_or(0, |token| token.iat);
    let until = ["*", importer].into_iter().filter_map(|key| revocations.get(key));
    until.max().is_some_and(|until| *until >= issued)
}

/// The names of what is imported.
pub(super) fn rename(import: &Import) -> Result<Rename, SharingError> {
    let kind = kind_of(import.is_service);
    let Import { subject, .. } = import;
    Rename::new(subject, import.local()).map_err(|error| {
        let local = import.local();
        // A service is renamed on the way to the exporter.
        let (from, to) = match (import.is_service, &error) {
            (false, _) => (subject.clone(), local.to_owned()),
            (true, RenameError::UnusedWildcards(_)) => (number_wildcards(local), subject.clone()),
            (true, _) => (local.to_owned(), subject.clone()),
        };
        SharingError::Rename { kind, subject: subject.clone(), from, to, error: Box::new(error) }
    })
}

fn check_with_others(
    importer: &str,
    import: &Import,
    accepted: &[(&str, &Import)],
) -> Result<(), SharingError> {
    let (kind, subject) = (kind_of(import.is_service), import.subject.clone());
    let own = accepted.iter().filter(|(name, it)| {
        *name == importer && it.is_service == import.is_service && it.account == import.account
    });
    for (_, other) in own {
        if !import.is_service && other.subject == import.subject {
            return Err(SharingError::Duplicate { subject });
        }
        if import.is_service && other.local() == import.local() {
            return Err(SharingError::DuplicateService {
                local: import.local().to_owned(),
                account: other.account.clone(),
                subject: other.subject.clone(),
            });
        }
    }
    if forms_cycle(importer, import, accepted) {
        return Err(SharingError::Cycle { kind, subject });
    }
    Ok(())
}

/// Whether a message that comes to the subject here may come back to it.
///
/// Services chain: what a service of another account takes may itself be imported there. Streams do
/// not; of those nats-server refuses two accounts that import from each other.
fn forms_cycle(importer: &str, import: &Import, accepted: &[(&str, &Import)]) -> bool {
    let own = pattern(import.local());
    let mut open = vec![(import.account.as_str(), pattern(&import.subject))];
    let mut seen: HashSet<(&str, String)> = HashSet::new();
    if import.account == importer && overlaps(own.as_bytes(), open[0].1.as_bytes()) {
        return import.is_service;
    }
    while let Some((account, subject)) = open.pop() {
        if !seen.insert((account, subject.clone())) {
            continue;
        }
        let next = accepted.iter().filter(|(name, it)| {
            *name == account
                && it.is_service == import.is_service
                && overlaps(pattern(it.local()).as_bytes(), subject.as_bytes())
        });
        for (_, next) in next {
            let to = pattern(&next.subject);
            if next.account == importer && overlaps(to.as_bytes(), own.as_bytes()) {
                return true;
            }
            if import.is_service {
                open.push((&next.account, to));
            }
        }
    }
    false
}

/// A declared subject with a `*` for each token that stands for a wildcard.
fn pattern(subject: &str) -> String {
    let stars = tokens(subject.as_bytes()).map(|token| {
        let is_reference =
            token.starts_with(b"$") && token.len() > 1 && token[1..].iter().all(u8::is_ascii_digit)
                || token.starts_with(b"{{");
        if is_reference { "*".into() } else { String::from_utf8_lossy(token) }
    });
    stars.collect::<Vec<_>>().join(".")
}
