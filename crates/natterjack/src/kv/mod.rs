//! Key/Value: typed buckets on streams (ADR-8), and a watch that goes on.

mod bucket;
mod entry;
mod key;
mod mirror;
mod ordered;
mod store;
mod watch;

pub use bucket::{BucketStatus, KvBuilder};
pub use entry::{Entry, Found, KeyMeta};
pub use mirror::LiveMap;
pub use store::Kv;
pub use watch::{Watch, WatchBuilder, WatchEvent, WatchFrom};

pub(crate) use key::check_bucket;
pub(crate) use ordered::{Item, Ordered};
