//! The parts of [`Options`](super::Options).

use crate::language::Position;
use std::time::Duration;

/// A login that the server knows.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// How it proves itself.
    pub login: Login,
    /// Its own permissions, or the `default_permissions` of its block; `None` allows everything.
    pub permissions: Option<Permissions>,
    /// The connection types it may use; empty allows all.
    pub connection_types: Vec<ConnectionType>,
    /// The account it belongs to; `None` is the global account `$G`.
    pub account: Option<String>,
    /// Whether it must come through a trusted proxy.
    pub proxy_required: bool,
    /// Where it is configured.
    pub position: Position,
}

/// How a user proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// By name and password.
    Password {
        /// The name.
        user: String,
        /// The password: plain text or a bcrypt hash; empty if none is configured.
        password: String,
    },
    /// By signing the nonce with this key.
    Nkey {
        /// The public user key, `U…`, checked.
        public_key: String,
    },
}

impl User {
    /// The user's name or public key, which `no_auth_user` refers to.
    pub fn name(&self) -> &str {
        match &self.login {
            Login::Password { user, .. } => user,
            Login::Nkey { public_key } => public_key,
        }
    }
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionType {
    /// Plain or TLS connections of clients.
    Standard,
    /// Clients by WebSocket.
    Websocket,
    /// Leafnodes.
    Leafnode,
    /// Leafnodes by WebSocket.
    LeafnodeWs,
    /// MQTT clients.
    Mqtt,
    /// MQTT clients by WebSocket.
    MqttWs,
    /// Clients inside the server's process.
    InProcess,
}

impl ConnectionType {
    /// The type with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "STANDARD" => Self::Standard,
            "WEBSOCKET" => Self::Websocket,
            "LEAFNODE" => Self::Leafnode,
            "LEAFNODE_WS" => Self::LeafnodeWs,
            "MQTT" => Self::Mqtt,
            "MQTT_WS" => Self::MqttWs,
            "IN_PROCESS" => Self::InProcess,
            _ => return None,
        })
    }
}

/// What a user may publish and subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects to publish on.
    pub publish: SubjectPermissions,
    /// Subjects to subscribe to; an entry may carry a queue after a blank.
    pub subscribe: SubjectPermissions,
    /// Whether, and how often, replies may be sent to messages received.
    pub allow_responses: Option<ResponsePermission>,
}

/// An allow list and a deny list; deny wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectPermissions {
    /// What is allowed; `None` allows everything, an empty list nothing.
    pub allow: Option<Vec<String>>,
    /// What is denied.
    pub deny: Vec<String>,
}

/// The permission to answer messages that carry a reply subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePermission {
    /// How many answers per message; `None` has no limit.
    pub max_msgs: Option<u32>,
    /// For how long after the message; `None` has no limit.
    pub expires: Option<Duration>,
}

impl Default for ResponsePermission {
    /// One answer within two minutes.
    fn default() -> Self {
        Self { max_msgs: Some(1), expires: Some(Duration::from_secs(120)) }
    }
}

/// The `authorization` block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authorization {
    /// The single user's name.
    pub user: Option<String>,
    /// The single user's password: plain text or a bcrypt hash.
    pub password: Option<String>,
    /// The token all clients share: plain text or a bcrypt hash.
    pub token: Option<String>,
    /// How long a client may take to log in; 2 seconds if absent.
    pub timeout: Option<Duration>,
    /// The users of the global account. Excludes `user` and `token`.
    pub users: Vec<User>,
    /// What users without permissions of their own have; already put into `users`.
    pub default_permissions: Option<Permissions>,
    /// The service that decides about logins.
    pub callout: Option<Callout>,
    /// Whether the single user, or whoever has the token, must come through a trusted proxy.
    pub proxy_required: bool,
}

/// `auth_callout`: a service that decides about logins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Callout {
    /// The public account key that signs answers, checked.
    pub issuer: String,
    /// The account the service is in.
    pub account: String,
    /// Users about whom it is not asked: its own.
    pub auth_users: Vec<String>,
    /// The public curve key that requests are sealed for, checked.
    pub xkey: Option<String>,
    /// Accounts whose configured users are asked about too; empty is all.
    pub allowed_accounts: Vec<String>,
    /// Where it is configured.
    pub position: Position,
}

/// An account: an isolated space of subjects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its public key `A…`, if configured.
    pub nkey: Option<String>,
    /// Its users.
    pub users: Vec<User>,
    /// What users without permissions of their own have; already put into `users`.
    pub default_permissions: Option<Permissions>,
    /// Whether it may use JetStream, and how much; `None` if it is not configured.
    pub jetstream: Option<AccountJetStream>,
    /// Limits on its connections.
    pub limits: AccountLimits,
    /// Subject mappings.
    pub mappings: Vec<Mapping>,
    /// Reports about messages that are traced from outside.
    pub trace: Option<MessageTrace>,
    /// What it offers to other accounts. Not supported yet: a configuration with exports is refused.
    pub exports: Vec<Export>,
    /// What it uses of other accounts. Not supported yet: a configuration with imports is refused.
    pub imports: Vec<Import>,
    /// Where it is configured.
    pub position: Position,
}

/// `write_timeout`: who is closed when `write_deadline` is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteTimeout {
    /// Who takes nothing for so long.
    #[default]
    Default,
    /// Who has not read by then what waited.
    Close,
    /// As by default; who reads too slowly is counted and logged.
    Retry,
}

impl WriteTimeout {
    /// The word of the configuration; `None` for the default.
    pub fn name(self) -> Option<&'static str> {
        match self {
            WriteTimeout::Default => None,
            WriteTimeout::Close => Some("close"),
            WriteTimeout::Retry => Some("retry"),
        }
    }
}

/// `msg_trace`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageTrace {
    /// The subject that reports go to.
    pub destination: String,
    /// About how many messages in a hundred.
    pub sampling: u8,
}

/// Limits of an account's connections; `None` is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Connections at a time.
    pub max_connections: Option<u64>,
    /// Subscriptions per connection.
    pub max_subscriptions: Option<u64>,
    /// Bytes per message.
    pub max_payload: Option<u64>,
    /// Leafnode connections at a time.
    pub max_leafnodes: Option<u64>,
}

/// An account's share of JetStream; `None` is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountJetStream {
    /// Whether the account may use JetStream.
    pub enabled: bool,
    /// Bytes of all memory streams.
    pub max_memory: Option<u64>,
    /// Bytes of all file streams.
    pub max_store: Option<u64>,
    /// Streams.
    pub max_streams: Option<u64>,
    /// Consumers.
    pub max_consumers: Option<u64>,
    /// Whether each stream must set `max_bytes`.
    pub max_bytes_required: bool,
    /// Bytes of one memory stream.
    pub memory_max_stream_bytes: Option<u64>,
    /// Bytes of one file stream.
    pub disk_max_stream_bytes: Option<u64>,
    /// Messages of one consumer that wait for an ack.
    pub max_ack_pending: Option<u64>,
}

/// A subject mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The subject that is mapped; checked to be a valid subject.
    pub source: String,
    /// Where its messages go.
    pub destinations: Vec<MapDestination>,
    /// Where it is configured.
    pub position: Position,
}

/// One destination of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDestination {
    /// The destination, a subject transform that is valid for the source.
    pub destination: String,
    /// Percent of the messages, 0 to 100; all weights of one mapping sum up to 100 at most.
    pub weight: u8,
    /// The cluster it applies to; empty applies everywhere.
    pub cluster: String,
}

/// What an account offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Stream or service.
    pub kind: ExportKind,
    /// The subject offered.
    pub subject: String,
    /// The accounts it is offered to; empty offers it to all.
    pub accounts: Vec<String>,
    /// The token of the subject, from 1, that must be the importer's name.
    pub account_token_position: Option<u32>,
    /// Whether message traces cross it.
    pub allow_trace: bool,
    /// Where it is configured.
    pub position: Position,
}

/// The kind of an export, with what only that kind has.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportKind {
    /// Messages to subscribe to.
    Stream,
    /// Requests to answer.
    Service {
        /// How many answers a request gets.
        response_type: ResponseType,
        /// How long an answer may take.
        response_threshold: Option<Duration>,
        /// Where to report latencies.
        latency: Option<Latency>,
    },
}

/// How many answers a request gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseType {
    /// One.
    #[default]
    Single,
    /// Any number, ended by an empty message.
    Stream,
    /// One, in pieces.
    Chunked,
}

/// Reports of a service's latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Percent of the requests measured, 1 to 100; 0 measures those that ask for it by header.
    pub sampling: u8,
    /// Where reports go.
    pub subject: String,
}

/// What an account uses of another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// Whether it is a service (else a stream).
    pub service: bool,
    /// The exporting account.
    pub account: String,
    /// The subject in the exporting account.
    pub subject: String,
    /// The subject in this account.
    pub to: Option<String>,
    /// What is put in front of the subject in this account; streams only.
    pub prefix: Option<String>,
    /// Whether the service learns who asks.
    pub share: bool,
    /// Whether message traces cross it.
    pub allow_trace: bool,
    /// Where it is configured.
    pub position: Position,
}

/// The `jetstream` block.
#[derive(Clone, Debug, PartialEq)]
pub struct JetStream {
    /// Whether JetStream is on.
    pub enabled: bool,
    /// Where streams are kept; the server chooses if absent.
    pub store_dir: Option<String>,
    /// Bytes of all memory streams; the server chooses if absent.
    pub max_memory: Option<u64>,
    /// Bytes of all file streams; the server chooses if absent.
    pub max_store: Option<u64>,
    /// The domain, which puts `$JS.<domain>.API` beside `$JS.API`.
    pub domain: Option<String>,
    /// When a published message is on disk.
    pub sync: SyncPolicy,
    /// Whether unknown fields of API requests are refused.
    pub strict: bool,
    /// Limits on what clients may ask for.
    pub limits: JetStreamLimits,
    /// Bytes of unstored messages that a stream's inbox holds.
    pub max_buffered_size: Option<u64>,
    /// Unstored messages that a stream's inbox holds.
    pub max_buffered_msgs: Option<u64>,
    /// API requests that wait at a time.
    pub request_queue_limit: Option<u64>,
    /// Info requests that wait at a time.
    pub info_queue_limit: Option<u64>,
}

impl Default for JetStream {
    fn default() -> Self {
        Self {
            enabled: false,
            store_dir: None,
            max_memory: None,
            max_store: None,
            domain: None,
            sync: SyncPolicy::BeforeAck,
            strict: true,
            limits: JetStreamLimits::default(),
            max_buffered_size: None,
            max_buffered_msgs: None,
            request_queue_limit: None,
            info_queue_limit: None,
        }
    }
}

/// When a message of a file stream is synced to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before its publisher gets the acknowledgement: the default, and `sync_interval: always`.
    #[default]
    BeforeAck,
    /// Some time after, at this interval: `sync_interval: "2m"`.
    Every(Duration),
}

/// Limits on what clients may ask of JetStream; `None` is the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Messages of one consumer that wait for an ack.
    pub max_ack_pending: Option<u64>,
    /// Messages of one pull request.
    pub max_request_batch: Option<u64>,
    /// The longest `duplicate_window` of a stream.
    pub duplicate_window: Option<Duration>,
    /// Consumers of a stream where neither it nor its account has a limit; a negative number for any.
    pub default_max_consumers: Option<i64>,
    /// Limits of atomic batches.
    pub batch: BatchLimits,
}

/// Limits of atomic batch publishing; `None` is the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchLimits {
    /// Open batches per stream.
    pub max_inflight_per_stream: Option<u64>,
    /// Open batches of the server.
    pub max_inflight_total: Option<u64>,
    /// Messages of one batch.
    pub max_msgs: Option<u64>,
    /// How long an open batch may rest.
    pub timeout: Option<Duration>,
}

/// Where account JWTs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// Only those in `resolver_preload`.
    Memory,
    /// Files of a directory, which requests of the system account change.
    Directory(DirectoryResolver),
    /// A web server: an account's JWT is the answer to this URL with the account's key behind it.
    Url(String),
}

/// Account JWTs in a directory, a file each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryResolver {
    /// The directory.
    pub dir: String,
    /// Whether it holds only what was needed lately (`cache`), not all there are (`full`).
    pub is_cache: bool,
    /// What a request to delete does.
    pub delete: Deletion,
    /// How many accounts it holds; `None` is unlimited, for a cache 1000.
    pub limit: Option<u64>,
    /// How often a full one compares with other servers.
    pub interval: Option<Duration>,
    /// How long it waits for an account that it asked others for.
    pub timeout: Duration,
    /// How long a cache keeps an account that nobody needs.
    pub ttl: Option<Duration>,
}

/// What a request to delete an account does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletion {
    /// It is refused.
    #[default]
    Never,
    /// The file is renamed to `….jwt.deleted`.
    Rename,
    /// The file is removed.
    Remove,
}

/// A text with its place in the file, for checks that are made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it is configured.
    pub position: Position,
}
