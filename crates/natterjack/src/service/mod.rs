//! Services: handlers that tools can find, ask and measure (ADR-32).
//!
//! An instance answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, to all, by its name and by its id.
//! Requests are shared among the instances by a queue group.
//!
//! ```no_run
//! # async fn demo(connector: natterjack::Connector) -> Result<(), natterjack::Error> {
//! use natterjack::Msg;
//! use natterjack::service::ServiceError;
//! let service = connector
//!     .service("quotes", "1.2.0")
//!     .endpoint("quotes.eur", |pieces: Msg<u32>| async move {
//!         match pieces.value().checked_mul(3) {
//!             Some(price) => Ok(price),
//!             None => Err(ServiceError::new(400, "too many")),
//!         }
//!     })
//!     .start()
//!     .await?;
//! println!("{:?}", service.stats());
//! service.stop().await;
//! # Ok(()) }
//! ```

mod builder;
mod endpoint;
mod report;

use std::fmt;
use std::sync::Arc;

pub use builder::ServiceBuilder;
pub use endpoint::Endpoint;
pub use report::{EndpointInfo, EndpointStats, ServiceInfo, ServiceStats};

/// The headers of an answer that is an error (ADR-32).
pub(crate) const ERROR: &str = "Nats-Service-Error";
pub(crate) const ERROR_CODE: &str = "Nats-Service-Error-Code";

use futures_util::future::join_all;

use crate::Connector;
use crate::core::Task;
use report::Shared;

/// The answer of an endpoint that cannot give one: it goes to the asker as the headers
/// `Nats-Service-Error` and `Nats-Service-Error-Code`, is [`Refused`](crate::error::Refused) there, and is
/// counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{description} ({code})")]
pub struct ServiceError {
    /// What kind of error it is, by the numbers of HTTP.
    pub code: u16,
    /// What is wrong, in words. Line breaks become blanks.
    pub description: String,
}

impl ServiceError {
    /// An error with a code and a description.
    pub fn new(code: u16, description: impl Into<String>) -> Self {
        Self { code, description: description.into().replace(['\r', '\n'], " ") }
    }

    /// An error of the service itself: 500.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(500, cause.to_string())
    }
}

/// An instance of a service that runs. Dropping it does not end it; [`stop`](Self::stop) does, and so
/// does the end of the connection.
#[must_use = "keep it to be able to stop the service"]
pub struct Service {
    shared: Arc<Shared>,
    endpoints: Vec<Task>,
    /// What answers tools.
    monitors: Vec<Task>,
    keep: Connector,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("info", self.info()).finish_non_exhaustive()
    }
}

impl Service {
    /// Who it is, as it tells it to tools.
    #[must_use]
    pub fn info(&self) -> &ServiceInfo {
        &self.shared.info
    }

    /// What it has done, as it tells it to tools.
    #[must_use]
    pub fn stats(&self) -> ServiceStats {
        self.shared.stats()
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Takes in no more, and waits until all handlers have answered. Tools see it until then.
    pub async fn stop(self) {
        // All at once: none takes in more while another one finishes.
        join_all(self.endpoints.into_iter().map(Task::stop)).await;
        join_all(self.monitors.into_iter().map(Task::stop)).await;
    }
}
