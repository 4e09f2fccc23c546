//! The bodies of the token types, field by field as they stand in JSON. Fields that nothing here acts on
//! are kept as they are in `extra`.

use super::lenient::{is_false, is_zero, list_or_text, null_is_default};
use super::token::{ClaimBody, KeyKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Version that is written.
const VERSION: i64 = 2;
/// The number that means unlimited.
const UNLIMITED: i64 = -1;

macro_rules! claim_body {
    ($body:ty, $kind:literal, issuers $issuers:expr, subject $subject:expr $(, $upgrade:item)?) => {
        impl ClaimBody for $body {
            const TYPE: &'static str = $kind;
            const ISSUERS: &'static [KeyKind] = $issuers;
            const SUBJECT: Option<KeyKind> = $subject;

            fn header(&self) -> (&str, i64) {
                (&self.kind, self.version)
            }

            fn set_header(&mut self) {
                self.kind = $kind.to_owned();
                self.version = VERSION;
            }

            $($upgrade)?
        }
    };
}

/// Body of an operator's token. Its subject is the operator key, its issuer that key or one of
/// `signing_keys`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operator {
    /// Keys that may sign accounts beside the operator key.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub signing_keys: Vec<String>,
    /// Where tools push account tokens to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_server_url: String,
    /// Servers of this operator.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub operator_service_urls: Vec<String>,
    /// Public key of the system account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system_account: String,
    /// Lowest server version that may trust this operator.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub assert_server_version: String,
    /// Only signing keys may sign: neither the operator key accounts, nor the account key users.
    #[serde(skip_serializing_if = "is_false")]
    pub strict_signing_key_usage: bool,
    /// Tags, `key:value` or plain words.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// `operator`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// 2.
    #[serde(default)]
    pub version: i64,
    /// Fields not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

claim_body!(Operator, "operator", issuers & [KeyKind::Operator], subject Some(KeyKind::Operator));

/// Body of an account's token, issued by an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Streams and services of other accounts, as they were written.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub imports: Vec<Value>,
    /// Streams and services offered, as they were written.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub exports: Vec<Value>,
    /// What the account may use.
    #[serde(default, deserialize_with = "null_is_default")]
    pub limits: AccountClaimLimits,
    /// Keys that may sign users beside the account key.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub signing_keys: Vec<SigningKey>,
    /// Users (public key, or `*`) whose tokens issued until then (seconds of Unix time) are void.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub revocations: BTreeMap<String, i64>,
    /// Permissions of users that have none of their own.
    #[serde(deserialize_with = "null_is_default")]
    pub default_permissions: PermissionClaims,
    /// Subject mappings by source.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// Auth callout.
    #[serde(
        skip_serializing_if = "ExternalAuthorization::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub authorization: ExternalAuthorization,
    /// Reports about messages that are traced from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceClaims>,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub info_url: String,
    /// Tags, `key:value` or plain words.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// `account`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// 2.
    #[serde(default)]
    pub version: i64,
    /// Fields not known here, such as `cluster_traffic`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

claim_body!(
    Account,
    "account",
    issuers & [KeyKind::Operator, KeyKind::Account],
    subject Some(KeyKind::Account)
);

impl Default for Account {
    /// An account without limits, and without JetStream.
    fn default() -> Self {
        Account {
            imports: Vec::new(),
            exports: Vec::new(),
            limits: AccountClaimLimits::unlimited(),
            signing_keys: Vec::new(),
            revocations: BTreeMap::new(),
            default_permissions: PermissionClaims::default(),
            mappings: BTreeMap::new(),
            authorization: ExternalAuthorization::default(),
            trace: None,
            description: String::new(),
            info_url: String::new(),
            tags: Vec::new(),
            kind: "account".to_owned(),
            version: VERSION,
            extra: Map::new(),
        }
    }
}

/// Limits of an account. -1 is unlimited; what is absent is 0, which is none, or for JetStream disabled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountClaimLimits {
    /// Subscriptions.
    #[serde(skip_serializing_if = "is_zero")]
    pub subs: i64,
    /// Bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub data: i64,
    /// Bytes of one message.
    #[serde(skip_serializing_if = "is_zero")]
    pub payload: i64,
    /// Imports.
    #[serde(skip_serializing_if = "is_zero")]
    pub imports: i64,
    /// Exports.
    #[serde(skip_serializing_if = "is_zero")]
    pub exports: i64,
    /// Whether exports may have wildcards.
    #[serde(skip_serializing_if = "is_false")]
    pub wildcards: bool,
    /// Client connections.
    #[serde(skip_serializing_if = "is_zero")]
    pub conn: i64,
    /// Leafnode connections.
    #[serde(skip_serializing_if = "is_zero")]
    pub leaf: i64,
    /// Refuse users with bearer tokens.
    #[serde(skip_serializing_if = "is_false")]
    pub disallow_bearer: bool,
    /// JetStream without tiers.
    #[serde(flatten)]
    pub jetstream: JetStreamClaimLimits,
    /// JetStream by tier (`R1`, `R3`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub tiered_limits: BTreeMap<String, JetStreamClaimLimits>,
    /// Fields not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl AccountClaimLimits {
    /// No limits, and no JetStream.
    pub fn unlimited() -> Self {
        AccountClaimLimits {
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            imports: UNLIMITED,
            exports: UNLIMITED,
            wildcards: true,
            conn: UNLIMITED,
            leaf: UNLIMITED,
            ..AccountClaimLimits::default()
        }
    }
}

/// JetStream limits of an account or of one tier of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JetStreamClaimLimits {
    /// Bytes in memory; 0 is none, -1 unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_storage: i64,
    /// Bytes on disk; 0 is none, -1 unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub disk_storage: i64,
    /// Streams; 0 and below is unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub streams: i64,
    /// Consumers; 0 and below is unlimited.
    #[serde(skip_serializing_if = "is_zero")]
    pub consumer: i64,
    /// Highest `max_ack_pending` of a consumer.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    /// Highest `max_bytes` of a memory stream.
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_max_stream_bytes: i64,
    /// Highest `max_bytes` of a file stream.
    #[serde(skip_serializing_if = "is_zero")]
    pub disk_max_stream_bytes: i64,
    /// Whether each stream needs `max_bytes`.
    #[serde(skip_serializing_if = "is_false")]
    pub max_bytes_required: bool,
}

impl JetStreamClaimLimits {
    /// No limits.
    pub fn unlimited() -> Self {
        JetStreamClaimLimits {
            mem_storage: UNLIMITED,
            disk_storage: UNLIMITED,
            streams: UNLIMITED,
            consumer: UNLIMITED,
            ..JetStreamClaimLimits::default()
        }
    }
}

/// A signing key of an account: the key alone, or with a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SigningKey {
    /// Its users carry their own permissions and limits.
    Plain(String),
    /// Its users get those of the scope.
    Scoped(Box<Scope>),
}

impl SigningKey {
    /// The public key.
    pub fn key(&self) -> &str {
        match self {
            SigningKey::Plain(key) => key,
            SigningKey::Scoped(scope) => &scope.key,
        }
    }
}

/// What the users of a scoped signing key may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// `user_scope`.
    pub kind: String,
    /// The public key.
    pub key: String,
    /// Name of the role.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Permissions and limits; subjects may hold variables such as `{{name()}}`.
    #[serde(deserialize_with = "null_is_default")]
    pub template: UserPermissionLimits,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Fields not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One destination of a subject mapping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightedMapping {
    /// The destination.
    pub subject: String,
    /// Share in percent; 0 is 100.
    #[serde(skip_serializing_if = "is_zero")]
    pub weight: i64,
    /// The cluster that it holds in; empty is all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

/// Reports about messages that are traced from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceClaims {
    /// Where they go.
    #[serde(rename = "dest", skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// About how many in a hundred; 0 is all.
    #[serde(skip_serializing_if = "is_zero")]
    pub sampling: i64,
}

/// Who decides logins of the account by callout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExternalAuthorization {
    /// Users (public keys) that log in without callout.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub auth_users: Vec<String>,
    /// Accounts that users may be placed in.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub allowed_accounts: Vec<String>,
    /// Curve key that requests are sealed for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

impl ExternalAuthorization {
    /// Whether no callout is configured.
    pub fn is_empty(&self) -> bool {
        *self == ExternalAuthorization::default()
    }
}

/// Body of a user's token, issued by an account key or a signing key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Permissions and limits.
    #[serde(flatten)]
    pub permissions: UserPermissionLimits,
    /// The account's public key, if a signing key issued the token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// Tags, `key:value` or plain words.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// `user`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// 2.
    #[serde(default)]
    pub version: i64,
    /// Fields not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

claim_body!(
    User,
    "user",
    issuers & [KeyKind::Account],
    subject Some(KeyKind::User),
    fn upgrade(&mut self, beside: &Map<String, Value>) {
        let issuer_account = beside.get("issuer_account").and_then(Value::as_str);
        self.issuer_account = issuer_account.unwrap_or_default().to_owned();
        // Version 1 knew one limit, `payload`, and left out what is unlimited.
        self.permissions.subs = UNLIMITED;
        self.permissions.data = UNLIMITED;
        if self.permissions.payload == 0 {
            self.permissions.payload = UNLIMITED;
        }
    }
);

impl Default for User {
    /// A user without limits and restrictions.
    fn default() -> Self {
        User {
            permissions: UserPermissionLimits::unlimited(),
            issuer_account: String::new(),
            tags: Vec::new(),
            kind: "user".to_owned(),
            version: VERSION,
            extra: Map::new(),
        }
    }
}

/// Permissions and limits of a user, in its own token or in the template of a scope. What is absent is
/// 0; the limits -1 are unlimited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserPermissionLimits {
    /// What may be published.
    #[serde(rename = "pub", deserialize_with = "null_is_default")]
    pub publish: SubjectClaims,
    /// What may be subscribed to.
    #[serde(rename = "sub", deserialize_with = "null_is_default")]
    pub subscribe: SubjectClaims,
    /// The right to answer.
    #[serde(rename = "resp", skip_serializing_if = "Option::is_none")]
    pub responses: Option<ResponseClaims>,
    /// Networks (CIDR) that the user may come from; empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list_or_text")]
    pub src: Vec<String>,
    /// Times of day that the user may connect in; empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub times: Vec<TimeRange>,
    /// The time zone (IANA name) of `times`; empty is the server's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub times_location: String,
    /// Subscriptions.
    #[serde(skip_serializing_if = "is_zero")]
    pub subs: i64,
    /// Bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub data: i64,
    /// Bytes of one message.
    #[serde(skip_serializing_if = "is_zero")]
    pub payload: i64,
    /// Whether the token alone proves the user, without a signature of the nonce.
    #[serde(skip_serializing_if = "is_false")]
    pub bearer_token: bool,
    /// Whether the user must come through a trusted proxy.
    #[serde(skip_serializing_if = "is_false")]
    pub proxy_required: bool,
    /// Kinds of connection; empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub allowed_connection_types: Vec<String>,
}

impl UserPermissionLimits {
    /// No limits and no restrictions.
    pub fn unlimited() -> Self {
        UserPermissionLimits {
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            ..UserPermissionLimits::default()
        }
    }

    /// Whether everything is absent, as a scoped signing key demands of its users.
    pub fn is_blank(&self) -> bool {
        *self == UserPermissionLimits::default()
    }
}

/// Default permissions of an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PermissionClaims {
    /// What may be published.
    #[serde(rename = "pub", deserialize_with = "null_is_default")]
    pub publish: SubjectClaims,
    /// What may be subscribed to.
    #[serde(rename = "sub", deserialize_with = "null_is_default")]
    pub subscribe: SubjectClaims,
    /// The right to answer.
    #[serde(rename = "resp", skip_serializing_if = "Option::is_none")]
    pub responses: Option<ResponseClaims>,
}

/// Subjects that are allowed and denied. An empty `allow` allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectClaims {
    /// Allowed subjects.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub allow: Vec<String>,
    /// Denied subjects.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub deny: Vec<String>,
}

/// The right to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseClaims {
    /// Messages per reply subject; 0 is 1, -1 unlimited.
    pub max: i64,
    /// For how long, in nanoseconds; 0 is two minutes, below 0 without limit.
    pub ttl: i64,
}

/// A window of the day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeRange {
    /// `HH:MM:SS`
    pub start: String,
    /// `HH:MM:SS`; before `start` it is the next day's.
    pub end: String,
}

/// Body of an activation: the exporter's permission for one importer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activation {
    /// The exported subject.
    #[serde(rename = "subject", skip_serializing_if = "String::is_empty")]
    pub import_subject: String,
    /// `stream` or `service`.
    #[serde(rename = "kind", skip_serializing_if = "String::is_empty")]
    pub import_kind: String,
    /// The exporter's account key, if a signing key issued the token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// `activation`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// 2.
    #[serde(default)]
    pub version: i64,
    /// Fields not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

claim_body!(
    Activation,
    "activation",
    issuers & [KeyKind::Account, KeyKind::Operator],
    subject Some(KeyKind::Account)
);

/// Body of any token, for inspection and for `generic` claims such as delete requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Generic {
    /// The token's type.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// 2.
    pub version: i64,
    /// The fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl ClaimBody for Generic {
    const TYPE: &'static str = "";
    const ISSUERS: &'static [KeyKind] = &[];
    const SUBJECT: Option<KeyKind> = None;

    fn header(&self) -> (&str, i64) {
        (&self.kind, self.version)
    }

    fn set_header(&mut self) {
        if self.kind.is_empty() {
            self.kind = "generic".to_owned();
        }
        self.version = VERSION;
    }
}
