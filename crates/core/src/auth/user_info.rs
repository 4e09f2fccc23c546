//! The answer to `$SYS.REQ.USER.INFO`: who the requester is, as the server sees it.

use super::Identity;
use crate::permissions::{PermissionsSpec, SubjectRules};
use serde::{Serialize, Serializer};

/// The JSON body of the answer: `{"server":{…},"data":{…}}`. `server` is the server's part as in all
/// answers of the system account; `now_unix_ns` is the wall clock in nanoseconds, against which `expires`
/// counts down.
///
/// # Errors
///
/// `server` cannot be written as JSON.
pub fn user_info_response<S: Serialize>(
    server: &S,
    identity: &Identity,
    now_unix_ns: i64,
) -> serde_json::Result<Vec<u8>> {
    let expires = identity.expires_unix.map(|unix| {
        let left = i128::from(unix) * 1_000_000_000 - i128::from(now_unix_ns);
        i64::try_from(left.max(0)).unwrap_or(i64::MAX)
    });
    serde_json::to_vec(&Response {
        server,
        data: Data {
            user: identity.user.as_deref().unwrap_or_default(),
            account: &identity.account,
            account_name: &identity.account_name,
            user_name: identity.user_name.as_deref(),
            permissions: identity.permissions.as_ref().map(|rights| Shown::from(rights.spec())),
            expires: expires.filter(|left| *left > 0),
        },
    })
}

#[derive(Serialize)]
struct Response<'a, S> {
    server: &'a S,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    user: &'a str,
    account: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Shown<'a>>,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
}

#[derive(Serialize)]
struct Shown<'a> {
    publish: Rules<'a>,
    subscribe: Rules<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<Responses>,
}

#[derive(Serialize)]
struct Responses {
    max: i64,
    /// Nanoseconds.
    ttl: i64,
}

impl<'a> From<&'a PermissionsSpec> for Shown<'a> {
    fn from(spec: &'a PermissionsSpec) -> Self {
        Shown {
            publish: Rules(&spec.publish),
            subscribe: Rules(&spec.subscribe),
            responses: spec.allow_responses.map(|allowed| {
                let allowed = allowed.or_defaults();
                Responses { max: allowed.max, ttl: allowed.expires_ns }
            }),
        }
    }
}

struct Rules<'a>(&'a SubjectRules);

impl Serialize for Rules<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Lists<'a> {
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            allow: &'a [String],
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            deny: &'a [String],
        }
        Lists { allow: &self.0.allow, deny: &self.0.deny }.serialize(serializer)
    }
}
