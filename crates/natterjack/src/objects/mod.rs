//! Objects: bodies of any size in buckets, kept in pieces in a stream (ADR-20).
//!
//! ```no_run
//! # async fn demo(connector: natterjack::Connector) -> Result<(), natterjack::Error> {
//! use natterjack::kib;
//! let files = connector.objects("FILES").ensure().await?;
//! let report = tokio::io::empty(); // anything that can be read
//! let info = files.put("report.pdf", report).chunk(kib(128)).on_progress(|_bytes| {}).await?;
//! println!("{} bytes, {}", info.size, info.digest);
//! let body = files.get("report.pdf").bytes().await?;
//! assert_eq!(body.len() as u64, info.size);
//! # Ok(()) }
//! ```

mod bucket;
mod get;
mod info;
mod put;
mod store;
mod watch;

pub use bucket::ObjectsBuilder;
pub use get::GetObject;
pub use info::{ObjectInfo, ObjectLink};
pub use put::PutObject;
pub use store::Objects;
pub use watch::{ObjectEvent, ObjectWatch};
