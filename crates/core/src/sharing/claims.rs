//! Exports and imports in an account's JWT.

use std::collections::BTreeMap;
use std::sync::Arc;

use natterjack_subject::{has_wildcard, is_subset};
use serde::Deserialize;
use serde_json::Value;

use super::declared::{
    Export, ExportKind, Import, Importers, Latency, Responses, Service, Sharing,
};
use crate::jwt::{AccountClaims, Activation, ActivationClaims, decode};

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExportClaims {
    subject: String,
    #[serde(rename = "type")]
    kind: String,
    token_req: bool,
    revocations: BTreeMap<String, i64>,
    response_type: String,
    /// Nanoseconds.
    response_threshold: i64,
    service_latency: Option<LatencyClaims>,
    account_token_position: u32,
    allow_trace: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LatencyClaims {
    /// A percentage, or `headers`.
    sampling: Value,
    results: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ImportClaims {
    subject: String,
    account: String,
    token: String,
    to: String,
    local_subject: String,
    #[serde(rename = "type")]
    kind: String,
    share: bool,
    allow_trace: bool,
}

/// What the token declares.
///
/// # Errors
/// Something is not of its type, or there is more than the operator allows: then the account cannot be
/// used.
pub(crate) fn of_claims(claims: &AccountClaims) -> Result<Sharing, String> {
    let issuers: Vec<String> = std::iter::once(claims.sub.clone())
        .chain(claims.nats.signing_keys.iter().map(|key| key.key().to_owned()))
        .collect();
    let exports: Vec<Export> = claims
        .nats
        .exports
        .iter()
        .map(|value| ExportClaims::deserialize(value).map(|export| export.declare(&issuers)))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("export: {error}"))?;
    let imports: Vec<Import> = claims
        .nats
        .imports
        .iter()
        .map(|value| {
            let import = ImportClaims::deserialize(value).map_err(|error| error.to_string())?;
            import.declare(&claims.sub)
        })
        .collect::<Result<_, _>>()
        .map_err(|error| format!("import: {error}"))?;
    let limits = &claims.nats.limits;
    let is_within =
        |count: usize, limit: i64| u64::try_from(limit).map_or(true, |limit| count as u64 <= limit);
    if !is_within(imports.len(), limits.imports) {
        return Err("the account contains more imports than allowed by the operator".into());
    }
    if !is_within(exports.len(), limits.exports) {
        return Err("the account contains more exports than allowed by the operator".into());
    }
    if !limits.wildcards && exports.iter().any(|it| has_wildcard(it.subject.as_bytes())) {
        return Err(
            "the account contains wildcard exports that are not allowed by the operator".into()
        );
    }
    Ok(Sharing { account: Arc::from(claims.sub.as_str()), exports, imports })
}

impl ExportClaims {
    fn declare(self, issuers: &[String]) -> Export {
        let importers = match (self.account_token_position, self.token_req) {
            (0, false) => Importers::All,
            (0, true) => {
                Importers::Activated { issuers: issuers.to_vec(), revocations: self.revocations }
            }
            (position, _) => Importers::Named(position as usize),
        };
        let kind = if self.kind == "service" {
            let mut service = Service {
                responses: match self.response_type.as_str() {
                    "Stream" => Responses::Streamed,
                    "Chunked" => Responses::Chunked,
                    _ => Responses::Singleton,
                },
                allow_trace: self.allow_trace,
                ..Service::default()
            };
            if let Ok(threshold) = u64::try_from(self.response_threshold)
                && threshold > 0
            {
                service.threshold_ns = threshold;
            }
            service.latency = self.service_latency.map(|latency| Latency {
                // 0 and `headers` leave it to the headers.
                sampling: latency.sampling.as_u64().unwrap_or(0).min(100) as u8,
                subject: latency.results,
            });
            ExportKind::Service(service)
        } else {
            ExportKind::Stream
        };
        Export { subject: self.subject, importers, kind }
    }
}

impl ImportClaims {
    fn declare(self, importer: &str) -> Result<Import, String> {
        let is_service = self.kind == "service";
        let activation = match self.token.as_str() {
            "" => None,
            token => Some(decode::<Activation>(token).map_err(|_| {
                format!("import {:?} contains an invalid activation token", self.subject)
            })?),
        };
        let (subject, local) = match (self.local_subject.is_empty(), is_service) {
            (false, _) => (self.subject, self.local_subject),
            (true, _) if self.to.is_empty() => (self.subject, String::new()),
            // Before there was `local_subject`: a stream's prefix, and what a service is called there.
            (true, false) => {
                let local = format!("{}.{}", self.to.trim_end_matches('.'), self.subject);
                (self.subject, local)
            }
            (true, true) => (self.to, self.subject),
        };
        if let Some(token) = &activation {
            check_activation(token, importer, (&self.account, &self.kind, &subject))?;
        }
        Ok(Import {
            is_service,
            account: self.account,
            subject,
            local,
            share: self.share,
            activation,
            allow_trace: self.allow_trace,
        })
    }
}

/// An activation that cannot be meant for this import makes the whole account unusable; one that is
/// expired or revoked only does not activate (nats-server 2.15.1).
fn check_activation(
    token: &ActivationClaims,
    importer: &str,
    (account, kind, subject): (&str, &str, &str),
) -> Result<(), String> {
    if token.iss != account && token.nats.issuer_account != account {
        return Err(format!("activation token doesn't match account for import {subject:?}"));
    }
    if token.sub != importer {
        return Err(format!(
            "activation token doesn't match account it is being included in, {subject:?}"
        ));
    }
    let granted = &token.nats.import_subject;
    if token.nats.import_kind != kind {
        let other = &token.nats.import_kind;
        return Err(format!(
            "mismatch between token import type {other} and type of import {kind}"
        ));
    }
    if !is_subset(subject.as_bytes(), granted.as_bytes()) {
        return Err(format!(
            "activation token import subject {granted:?} doesn't match import {subject:?}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(exports: Value, imports: Value) -> AccountClaims {
        let limits = json!({"imports": -1, "exports": 9, "wildcards": true});
        let nats = json!({"exports": exports, "imports": imports, "limits": limits});
        serde_json::from_value(json!({"sub": "AME", "nats": nats})).unwrap()
    }

    #[test]
    fn a_token_declares_what_a_configuration_does() {
        let sharing = of_claims(&claims(
            json!([
                {"subject": "s.>", "type": "stream"},
                {"subject": "p.*", "type": "stream", "account_token_position": 2},
                {"subject": "q", "type": "service", "token_req": true, "revocations": {"*": 5},
                 "response_type": "Chunked", "response_threshold": 7,
                 "service_latency": {"sampling": "headers", "results": "m"}},
            ]),
            json!([
                {"subject": "a.>", "account": "AX", "type": "stream", "to": "pre"},
                {"subject": "a.*", "account": "AX", "type": "stream", "local_subject": "l.$1"},
                {"subject": "here", "account": "AX", "type": "service", "to": "there", "share": true},
                {"subject": "there", "account": "AX", "type": "service", "local_subject": "here"},
            ]),
        ))
        .unwrap();
        let importers: Vec<_> = sharing.exports.iter().map(|it| it.importers.clone()).collect();
        let revocations = BTreeMap::from([("*".to_owned(), 5)]);
        let activated = Importers::Activated { issuers: vec!["AME".into()], revocations };
        assert_eq!(importers, [Importers::All, Importers::Named(2), activated]);
        let latency = Some(Latency { sampling: 0, subject: "m".into() });
        let service = Service {
            responses: Responses::Chunked,
            threshold_ns: 7,
            latency,
            ..Service::default()
        };
        assert_eq!(sharing.exports[2].kind, ExportKind::Service(service));
        let names: Vec<_> =
            sharing.imports.iter().map(|it| (&*it.subject, &*it.local, it.share)).collect();
        assert_eq!(
            names,
            [
                ("a.>", "pre.a.>", false),
                ("a.*", "l.$1", false),
                ("there", "here", true),
                ("there", "here", false)
            ]
        );
    }

    #[test]
    fn the_next_change_is_the_next_begin_or_end_of_an_activation() {
        let token = |nbf, exp| {
            let claims = json!({"sub": "AME", "nbf": nbf, "exp": exp, "nats": {}});
            Some(serde_json::from_value::<ActivationClaims>(claims).unwrap())
        };
        let import = json!({"subject": "a", "account": "AX", "type": "stream"});
        let mut sharing = of_claims(&claims(json!([]), json!([import, import, import]))).unwrap();
        assert_eq!(sharing.changes_unix(10), None);
        for (at, (nbf, exp)) in [(0, 5), (20, 40), (0, 30)].into_iter().enumerate() {
            sharing.imports[at].activation = token(nbf, exp);
        }
        // The one that is over hides none of the others.
        let changes = [10, 20, 30, 40].map(|now| sharing.changes_unix(now));
        assert_eq!(changes, [Some(20), Some(30), Some(40), None]);
    }

    #[test]
    fn more_than_the_operator_allows_makes_the_account_unusable() {
        let export = json!([{"subject": "s.>", "type": "stream"}]);
        let import = json!([{"subject": "s.>", "account": "AX", "type": "stream"}]);
        let mut claims = claims(export, import);
        assert!(of_claims(&claims).is_ok());
        claims.nats.limits.wildcards = false;
        assert!(of_claims(&claims).unwrap_err().contains("wildcard exports"));
        claims.nats.limits.exports = 0;
        assert!(of_claims(&claims).unwrap_err().contains("more exports"));
        claims.nats.limits.imports = 0;
        assert!(of_claims(&claims).unwrap_err().contains("more imports"));
    }
}
