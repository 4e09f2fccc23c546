//! A service as it should be, and starting it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::endpoint::{self, Endpoint};
use super::report::{EndpointInfo, ServiceInfo, Shared, Verb};
use super::{Service, ServiceError};
use crate::Connector;
use crate::codec::{Binary, Decode, Encode, Json};
use crate::core::{Msg, new_inbox};
use crate::error::{BadName, SubscribeError};

/// The queue group that shares requests unless another one is asked for (ADR-32).
const QUEUE: &str = "q";

/// A service as it should be, made by [`Connector::service`].
#[must_use = "nothing is answered before `start`"]
#[derive(Debug)]
pub struct ServiceBuilder {
    connector: Connector,
    name: String,
    version: String,
    description: String,
    metadata: BTreeMap<String, String>,
    queue: String,
    endpoints: Vec<Endpoint>,
}

impl Connector {
    /// A service by its name (letters, digits, `-` and `_`) and version (`MAJOR.MINOR.PATCH`), with
    /// options.
    pub fn service(&self, name: impl Into<String>, version: impl Into<String>) -> ServiceBuilder {
        ServiceBuilder {
            connector: self.clone(),
            name: name.into(),
            version: version.into(),
            description: String::new(),
            metadata: BTreeMap::new(),
            queue: QUEUE.to_owned(),
            endpoints: Vec::new(),
        }
    }
}

impl ServiceBuilder {
    /// What it is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Something that tools should know about it.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The queue group that shares requests among the instances; default `q`.
    pub fn queue(mut self, group: impl Into<String>) -> Self {
        self.queue = group.into();
        self
    }

    /// Answers what comes on `subject` with what an async function makes of it; see
    /// [`Endpoint::new`].
    pub fn endpoint<Q, R, F, Fut>(self, subject: impl Into<String>, handle: F) -> Self
    where
        Json: Decode<Q> + Encode<R>,
        Q: Send + 'static,
        R: Send + 'static,
        F: Fn(Msg<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, ServiceError>> + Send + 'static,
    {
        self.with(Endpoint::new(subject, handle))
    }

    /// Adds an endpoint with options of its own.
    pub fn with(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Starts an instance. Returns when the server has seen all its subscriptions.
    ///
    /// # Errors
    /// `BadName` for the service, its version or an endpoint; else as for subscribing.
    pub async fn start(self) -> Result<Service, SubscribeError> {
        check("service", &self.name)?;
        check_version(&self.version)?;
        let infos = self.endpoints.iter().map(|endpoint| EndpointInfo {
            name: endpoint.shown_name(),
            subject: endpoint.subject.clone(),
            queue_group: endpoint.queue.clone().unwrap_or_else(|| self.queue.clone()),
            metadata: endpoint.metadata.clone(),
        });
        let info = ServiceInfo {
            name: self.name,
            id: new_inbox(),
            version: self.version,
            metadata: self.metadata,
            description: self.description,
            endpoints: infos.collect(),
        };
        for endpoint in &info.endpoints {
            check("endpoint", &endpoint.name)?;
        }
        let mut service = Service {
            shared: Arc::new(Shared::new(info)),
            endpoints: Vec::new(),
            monitors: Vec::new(),
            keep: self.connector,
        };
        match service.begin(self.endpoints).await {
            Ok(()) => Ok(service),
            Err(error) => {
                service.stop().await;
                Err(error)
            }
        }
    }
}

impl Service {
    async fn begin(&mut self, endpoints: Vec<Endpoint>) -> Result<(), SubscribeError> {
        let Shared { info, counts, .. } = &*self.shared;
        for ((endpoint, info), counts) in endpoints.into_iter().zip(&info.endpoints).zip(counts) {
            let (handler, counts) = (endpoint.handler, counts.clone());
            let on = self.keep.on(&info.subject).queue(&info.queue_group).codec(Binary);
            let task = on.serve(endpoint.concurrency, move |request: Msg<Bytes>| {
                endpoint::answer(request, handler.clone(), counts.clone())
            });
            self.endpoints.push(task.await?);
        }
        for verb in Verb::ALL {
            for subject in verb.subjects(info) {
                let shared = self.shared.clone();
                let on = self.keep.on(subject).codec(Binary);
                let task = on.serve(1, move |request: Msg<Bytes>| {
                    let shared = shared.clone();
                    // Who asked asks again if the answer is lost.
                    async move { request.respond_bytes(verb.answer(&shared)).await.is_ok() }
                });
                self.monitors.push(task.await?);
            }
        }
        Ok(())
    }
}

fn bad(kind: &'static str, name: &str, why: &str) -> crate::error::Error {
    BadName { kind: kind.into(), name: name.to_owned(), why: why.to_owned() }.into()
}

fn check(kind: &'static str, name: &str) -> Result<(), crate::error::Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match name.chars().enumerate().find(|(_, c)| !plain(*c)) {
        None if name.is_empty() => Err(bad(kind, name, "it is empty")),
        None => Ok(()),
        Some((at, c)) => {
            let why = format!("`{}` at position {} is not allowed", c.escape_debug(), at + 1);
            Err(bad(kind, name, &why))
        }
    }
}

/// A semantic version (semver.org, 2.0.0), as other clients ask for.
fn check_version(version: &str) -> Result<(), crate::error::Error> {
    let identifier = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let leading_zero = |text: &str| digits(text) && text.len() > 1 && text.starts_with('0');
    let number = |text: &str| !text.is_empty() && digits(text) && !leading_zero(text);
    let (rest, build) = version.split_once('+').map_or((version, None), |(r, b)| (r, Some(b)));
    let (core, early) = rest.split_once('-').map_or((rest, None), |(r, e)| (r, Some(e)));
    let fits = core.split('.').count() == 3
        && core.split('.').all(number)
        && early.is_none_or(|early| early.split('.').all(|id| identifier(id) && !leading_zero(id)))
        && build.is_none_or(|build| build.split('.').all(identifier));
    if fits {
        Ok(())
    } else {
        Err(bad("service version", version, "it is not of the form MAJOR.MINOR.PATCH"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic() {
        for version in ["0.0.0", "1.2.30", "1.0.0-rc.1", "1.0.0-0a.b-c+build.007", "1.0.0+x-y"] {
            assert!(check_version(version).is_ok(), "{version}");
        }
        for version in
            ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "v1.2.3", "1.2.3-", "1.2.3-01", "1.2.3+"]
        {
            assert!(check_version(version).is_err(), "{version}");
        }
    }

    #[test]
    fn names_are_checked_with_position() {
        assert!(check("service", "quotes_v-1").is_ok());
        let text = |name| check("service", name).unwrap_err().to_string();
        assert_eq!(text(""), "bad service name ``: it is empty");
        assert_eq!(text("a.b"), "bad service name `a.b`: `.` at position 2 is not allowed");
    }
}
