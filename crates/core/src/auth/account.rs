//! What logins and sessions need to know of an account.

use crate::jwt::{
    AccountClaimLimits, AccountClaims, ExternalAuthorization, JetStreamClaimLimits,
    PermissionClaims, Scope, SigningKey, SubjectClaims, TraceClaims, UserPermissionLimits,
    WeightedMapping,
};
use crate::permissions::{AllowResponses, Permissions, PermissionsSpec, SubjectRules};
use crate::sharing::{Sharing, of_claims};
use hashbrown::HashMap;
use natterjack_subject::is_valid_subscription;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Limits of an account. `None` is unlimited, `Some(0)` none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Client connections.
    pub connections: Option<u64>,
    /// Leafnode connections.
    pub leafnodes: Option<u64>,
    /// Subscriptions of one connection.
    pub subscriptions: Option<u64>,
    /// Bytes of one message, headers and body.
    pub payload_bytes: Option<u64>,
    /// Bytes in all; enforced by no server so far.
    pub data_bytes: Option<u64>,
}

/// JetStream limits that an account's JWT sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// The limits of all streams; `None` if there are tiers or JetStream is disabled.
    pub untiered: Option<JetStreamTier>,
    /// The limits by tier (`R1`, `R3`).
    pub tiers: BTreeMap<String, JetStreamTier>,
}

impl JetStreamLimits {
    /// Whether the account may use JetStream at all.
    pub fn is_enabled(&self) -> bool {
        self.untiered.is_some() || !self.tiers.is_empty()
    }
}

/// JetStream limits of an account or a tier. `None` is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamTier {
    /// Bytes in memory; `Some(0)` allows no memory streams.
    pub memory_bytes: Option<u64>,
    /// Bytes on disk; `Some(0)` allows no file streams.
    pub disk_bytes: Option<u64>,
    /// Streams.
    pub streams: Option<u64>,
    /// Consumers.
    pub consumers: Option<u64>,
    /// Highest `max_ack_pending` of a consumer.
    pub max_ack_pending: Option<u64>,
    /// Highest `max_bytes` of a memory stream.
    pub memory_max_stream_bytes: Option<u64>,
    /// Highest `max_bytes` of a file stream.
    pub disk_max_stream_bytes: Option<u64>,
    /// Whether each stream needs `max_bytes`.
    pub max_bytes_required: bool,
}

/// An account as the configuration or its JWT describes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccountInfo {
    /// Its name in the configuration, or its public key.
    pub id: Arc<str>,
    /// How people know it: the name in its JWT; otherwise the same as `id`.
    pub name: Arc<str>,
    /// Its JWT, and the key that signed it; `None` for an account of the configuration.
    pub token: Option<Arc<str>>,
    /// See above.
    pub issuer: Option<Arc<str>>,
    /// Its limits.
    pub limits: AccountLimits,
    /// JetStream limits of its JWT; `None` for an account of the configuration, which says so elsewhere.
    pub jetstream: Option<JetStreamLimits>,
    /// Permissions of its users that have none of their own.
    pub default_permissions: Option<Arc<Permissions>>,
    /// Users whose JWTs issued until then (seconds of Unix time) are void; `*` is everybody.
    pub revocations: BTreeMap<String, i64>,
    /// When its JWT expires, in seconds of Unix time.
    pub expires_unix: Option<i64>,
    /// Before when its JWT does not hold, in seconds of Unix time.
    pub not_before_unix: Option<i64>,
    /// Subject mappings of its JWT, by source.
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// What its JWT says of messages that are traced from outside.
    pub trace: Option<TraceClaims>,
    /// What its JWT exports and imports.
    pub sharing: Sharing,
    /// Tags of its JWT.
    pub tags: Vec<String>,
    /// Whether users with bearer tokens are refused.
    pub disallow_bearer: bool,
    /// The authorization service that decides about logins to it, by its JWT.
    pub callout: Option<ExternalAuthorization>,
    /// Keys that may sign its users, with the scope of those that have one.
    pub(super) signers: HashMap<String, Option<Box<Scope>>>,
}

impl AccountInfo {
    /// An account of the configuration, without limits.
    pub(super) fn named(name: &str) -> Self {
        let id: Arc<str> = Arc::from(name);
        AccountInfo {
            name: id.clone(),
            sharing: Sharing::nothing(&id),
            id,
            token: None,
            issuer: None,
            limits: AccountLimits::default(),
            jetstream: None,
            default_permissions: None,
            revocations: BTreeMap::new(),
            expires_unix: None,
            not_before_unix: None,
            mappings: BTreeMap::new(),
            trace: None,
            tags: Vec::new(),
            disallow_bearer: false,
            callout: None,
            signers: HashMap::new(),
        }
    }

    /// An account by its JWT. With strict signing keys, the account key itself may not sign users.
    pub(super) fn from_claims(
        claims: AccountClaims,
        token: &str,
        is_strict: bool,
    ) -> Result<Self, String> {
        check_mappings(&claims.nats.mappings)?;
        let sharing = of_claims(&claims)?;
        let mut signers = HashMap::new();
        if !is_strict {
            signers.insert(claims.sub.clone(), None);
        }
        for key in claims.nats.signing_keys {
            match key {
                SigningKey::Plain(key) => signers.insert(key, None),
                SigningKey::Scoped(scope) => signers.insert(scope.key.clone(), Some(scope)),
            };
        }
        let defaults = spec_of_defaults(&claims.nats.default_permissions);
        let default_permissions = match defaults.is_empty() {
            true => None,
            false => {
                Some(Arc::new(Permissions::compile(defaults).map_err(|error| error.to_string())?))
            }
        };
        let id: Arc<str> = Arc::from(claims.sub);
        Ok(AccountInfo {
            name: if claims.name.is_empty() { id.clone() } else { Arc::from(claims.name) },
            id,
            token: Some(Arc::from(token)),
            issuer: Some(Arc::from(claims.iss)),
            limits: AccountLimits::from_claims(&claims.nats.limits),
            jetstream: Some(JetStreamLimits::from_claims(&claims.nats.limits)),
            default_permissions,
            revocations: claims.nats.revocations,
            expires_unix: (claims.exp != 0).then_some(claims.exp),
            not_before_unix: (claims.nbf != 0).then_some(claims.nbf),
            mappings: claims.nats.mappings,
            trace: claims.nats.trace,
            sharing,
            tags: claims.nats.tags,
            disallow_bearer: claims.nats.limits.disallow_bearer,
            callout: Some(claims.nats.authorization).filter(|it| !it.auth_users.is_empty()),
            signers,
        })
    }

    /// Whether a user's JWT issued at `issued_unix` is void.
    pub fn is_revoked(&self, user_key: &str, issued_unix: i64) -> bool {
        [user_key, "*"]
            .iter()
            .filter_map(|key| self.revocations.get(*key))
            .any(|revoked_until| *revoked_until >= issued_unix)
    }
}

/// Sources and destinations are subjects, and the shares of one source in one cluster are at most 100 %.
fn check_mappings(mappings: &BTreeMap<String, Vec<WeightedMapping>>) -> Result<(), String> {
    for (source, destinations) in mappings {
        let mut shares: BTreeMap<&str, i64> = BTreeMap::new();
        for destination in destinations {
            let share = if destination.weight == 0 { 100 } else { destination.weight };
            *shares.entry(&destination.cluster).or_default() += share.clamp(0, 101);
        }
        let subjects = destinations.iter().map(|to| &to.subject).chain([source]);
        if !subjects.into_iter().all(|subject| is_valid_subscription(subject.as_bytes())) {
            return Err(format!("mapping of {source:?} is not between subjects"));
        }
        if shares.values().any(|share| *share > 100) {
            return Err(format!("mapping of {source:?} exceeds 100%"));
        }
    }
    Ok(())
}

/// -1 and below is unlimited.
pub(super) fn limit(claim: i64) -> Option<u64> {
    u64::try_from(claim).ok()
}

/// 0 and below is unlimited.
fn positive(claim: i64) -> Option<u64> {
    limit(claim).filter(|limit| *limit > 0)
}

impl AccountLimits {
    fn from_claims(claims: &AccountClaimLimits) -> Self {
        AccountLimits {
            connections: limit(claims.conn),
            leafnodes: limit(claims.leaf),
            subscriptions: limit(claims.subs),
            payload_bytes: limit(claims.payload),
            data_bytes: limit(claims.data),
        }
    }
}

impl JetStreamLimits {
    fn from_claims(claims: &AccountClaimLimits) -> Self {
        let is_on = |tier: &JetStreamClaimLimits| tier.mem_storage != 0 || tier.disk_storage != 0;
        JetStreamLimits {
            untiered: is_on(&claims.jetstream)
                .then(|| JetStreamTier::from_claims(&claims.jetstream)),
            tiers: claims
                .tiered_limits
                .iter()
                .filter(|(_, tier)| is_on(tier))
                .map(|(name, tier)| (name.clone(), JetStreamTier::from_claims(tier)))
                .collect(),
        }
    }
}

impl JetStreamTier {
    fn from_claims(claims: &JetStreamClaimLimits) -> Self {
        JetStreamTier {
            memory_bytes: limit(claims.mem_storage),
            disk_bytes: limit(claims.disk_storage),
            streams: positive(claims.streams),
            consumers: positive(claims.consumer),
            max_ack_pending: positive(claims.max_ack_pending),
            memory_max_stream_bytes: positive(claims.mem_max_stream_bytes),
            disk_max_stream_bytes: positive(claims.disk_max_stream_bytes),
            max_bytes_required: claims.max_bytes_required,
        }
    }
}

fn rules(claims: &SubjectClaims) -> SubjectRules {
    SubjectRules { allow: claims.allow.clone(), deny: claims.deny.clone() }
}

/// The permissions in a user's token or in a template.
pub(super) fn spec_of(claims: &UserPermissionLimits) -> PermissionsSpec {
    spec_of_defaults(&PermissionClaims {
        publish: claims.publish.clone(),
        subscribe: claims.subscribe.clone(),
        responses: claims.responses,
    })
}

fn spec_of_defaults(claims: &PermissionClaims) -> PermissionsSpec {
    PermissionsSpec {
        publish: rules(&claims.publish),
        subscribe: rules(&claims.subscribe),
        allow_responses: claims
            .responses
            .map(|resp| AllowResponses { max: resp.max, expires_ns: resp.ttl }.or_defaults()),
    }
}
