//! What stands in for `otel` without the feature: nothing.

use std::future::Future;

use async_nats::HeaderMap;

use crate::connect::Link;
use crate::jetstream::Meta;

#[allow(dead_code, reason = "read with the feature only")]
pub(crate) enum Kind<'a> {
    Publish,
    Request,
    Handler { headers: &'a HeaderMap, asked: bool },
    Delivery { headers: &'a HeaderMap, meta: &'a Meta },
}

pub(crate) fn failed(_why: &dyn std::fmt::Display) {}

pub(crate) struct Span;

impl Span {
    pub(crate) fn begin(_kind: &Kind<'_>, _link: &Link, _subject: &str, _size: usize) -> Self {
        Self
    }

    pub(crate) fn inject(&self, _headers: &mut HeaderMap) {}

    pub(crate) fn failed(&self, _why: &dyn std::fmt::Display) {}

    pub(crate) fn end(self) {}

    pub(crate) fn within<F: Future>(&self, future: F) -> F {
        future
    }
}
