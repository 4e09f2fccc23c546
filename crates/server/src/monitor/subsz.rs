//! `/subsz`: subscriptions.

use std::sync::Arc;

use hyper::StatusCode;
use natterjack_core::subscription::Subscription;
use serde_json::{Value, json};

use super::query::{BadQuery, Query};
use super::{Answer, envelope};
use crate::hub::Hub;

pub(super) fn subsz(hub: &Hub, query: &Query) -> Answer {
    let (offset, limit) = (query.number("offset", 0)?, query.number("limit", 1024)?);
    let wanted = query.flag("subs")?;
    let of = query.text("acc");
    let test = query.text("test");
    if let Some(test) = test
        && !natterjack_subject::is_valid_literal(test.as_bytes())
    {
        return Err(BadQuery::TestSubject(test.to_owned()));
    }
    let mut list = Vec::new();
    let (mut total, mut shown) = (0_u64, 0_u64);
    for account in
        hub.accounts().all().iter().filter(|each| of.is_none_or(|name| **each.name() == *name))
    {
        account.for_each_subscription(|subscription| {
            total += 1;
            let fits = test.is_none_or(|test| {
                natterjack_subject::matches(subscription.subject(), test.as_bytes())
            });
            if !wanted || !fits {
                return;
            }
            shown += 1;
            if shown > offset && (list.len() as u64) < limit {
                list.push(detail(subscription, Some(account.name())));
            }
        });
    }
    let mut body = json!({
        "num_subscriptions": total,
        // There is no cache of all subscriptions to be counted here: each connection has its own.
        "num_cache": 0,
        "num_inserts": total,
        "num_removes": 0,
        "num_matches": 0,
        "cache_hit_rate": 0,
        "max_fanout": 0,
        "avg_fanout": 0,
        "total": shown,
        "offset": offset,
        "limit": limit,
    });
    if wanted {
        body["subscriptions_list"] = list.into();
    }
    Ok((StatusCode::OK, envelope(hub, body, false)))
}

/// A subscription as `/subsz` and `/connz?subs=detail` show it.
pub(super) fn detail(subscription: &Arc<Subscription>, account: Option<&Arc<str>>) -> Value {
    let mut detail = json!({
        "subject": String::from_utf8_lossy(subscription.subject()),
        "sid": String::from_utf8_lossy(subscription.sid()),
        "msgs": subscription.delivered(),
        // What the server itself listens to has no connection.
        "cid": subscription.client().map_or(0, |client| client.cid),
    });
    if let Some(account) = account {
        detail["account"] = (**account).into();
        detail["account_tag"] = (**account).into();
    }
    if let Some(queue) = subscription.queue() {
        detail["qgroup"] = String::from_utf8_lossy(queue).into();
    }
    if subscription.limit() > 0 {
        detail["max"] = subscription.limit().into();
    }
    detail
}
