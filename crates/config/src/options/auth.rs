//! `authorization`, users and permissions.

use super::decode::{Decoder, set, set_some};
use super::{
    ConnectionType, Login, Options, Permissions, ResponsePermission, SubjectPermissions, User,
};
use crate::duration;
use crate::language::{Entry, Kind, Map, Position, Value};
use crate::names;
use std::collections::HashSet;
use std::time::Duration;

pub(super) fn authorization(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let Some(map) = d.map(entry) else { return };
    let mut auth = super::Authorization::default();
    let mut has_users = false;
    for item in map.iter() {
        match item.key.to_ascii_lowercase().as_str() {
            "user" | "username" => set_some(&mut auth.user, d.string(item)),
            "pass" | "password" => set_some(&mut auth.password, d.string(item)),
            "token" => set_some(&mut auth.token, d.string(item)),
            "timeout" => {
                let wrong = "must be seconds or a duration";
                set_some(&mut auth.timeout, d.timeout(item, "authorization", wrong));
            }
            "users" => {
                has_users = true;
                auth.users = users(d, item, None);
            }
            "default_permission" | "default_permissions" | "permissions" => {
                auth.default_permissions = permissions(d, item);
            }
            "auth_callout" | "auth_hook" => {
                auth.callout = super::callout::callout(d, item);
            }
            "proxy_required" => set(&mut auth.proxy_required, d.bool(item)),
            _ => d.unknown(item),
        }
    }
    let position = &entry.value.position;
    let single = auth.user.is_some() || auth.password.is_some();
    if single && auth.token.is_some() {
        d.error(position, "Cannot have a user/pass and token");
    } else if single && has_users {
        d.error(position, "Can not have a single user/pass and a users array");
    } else if auth.token.is_some() && has_users {
        d.error(position, "Can not have a token and a users array");
    }
    if auth.default_permissions.is_some() && !has_users && (single || auth.token.is_some()) {
        // As in nats-server; its owner may believe otherwise.
        d.warn(position, "default_permissions do not apply to a single user or a token");
    }
    give_defaults(&mut auth.users, &auth.default_permissions);
    o.authorization = auth;
}

/// `default_permissions` apply to users that have none of their own.
pub(super) fn give_defaults(users: &mut [User], permissions: &Option<Permissions>) {
    for user in users {
        if user.permissions.is_none() {
            user.permissions.clone_from(permissions);
        }
    }
}

pub(super) fn users(d: &mut Decoder<'_>, entry: &Entry, account: Option<&str>) -> Vec<User> {
    let Kind::Array(items) = &entry.value.kind else {
        let text = format!("Expected users field to be an array, got {}", entry.value.kind.noun());
        d.error(&entry.value.position, text);
        return Vec::new();
    };
    items.iter().filter_map(|item| user(d, item, account)).collect()
}

fn user(d: &mut Decoder<'_>, value: &Value, account: Option<&str>) -> Option<User> {
    let Kind::Map(map) = &value.kind else {
        let text = format!("Expected user entry to be a map/struct, got {}", value.kind.noun());
        d.error(&value.position, text);
        return None;
    };
    let (mut name, mut password, mut nkey) = (None, None, None);
    let mut own_permissions = None;
    let mut connection_types = Vec::new();
    let mut proxy_required = false;
    let errors = d.errors.len();
    for item in map.iter() {
        match item.key.to_ascii_lowercase().as_str() {
            "user" | "username" => set_some(&mut name, d.string(item)),
            "pass" | "password" => set_some(&mut password, d.string(item)),
            "nkey" => set_some(&mut nkey, d.string(item)),
            "permission" | "permissions" | "authorization" => {
                own_permissions = permissions(d, item);
            }
            "allowed_connection_types" | "connection_types" | "clients" => {
                set(&mut connection_types, types(d, item));
            }
            "proxy_required" => set(&mut proxy_required, d.bool(item)),
            _ => d.unknown(item),
        }
    }
    if d.errors.len() > errors {
        return None;
    }
    let login = login(d, &value.position, name, password, nkey)?;
    Some(User {
        login,
        permissions: own_permissions,
        connection_types,
        account: account.map(str::to_owned),
        proxy_required,
        position: value.position.clone(),
    })
}

fn login(
    d: &mut Decoder<'_>,
    position: &Position,
    name: Option<String>,
    password: Option<String>,
    nkey: Option<String>,
) -> Option<Login> {
    let (name, password) = (name.unwrap_or_default(), password.unwrap_or_default());
    match nkey.filter(|key| !key.is_empty()) {
        Some(public_key) if !names::is_public_key(&public_key, 'U') => {
            d.error(position, "Not a valid public nkey for a user");
            None
        }
        Some(_) if !name.is_empty() || !password.is_empty() => {
            d.error(position, "Nkey users do not take usernames or passwords");
            None
        }
        Some(public_key) => Some(Login::Nkey { public_key }),
        None if name.is_empty() => {
            d.error(position, "User entry requires a user");
            None
        }
        None => Some(Login::Password { user: name, password }),
    }
}

fn types(d: &mut Decoder<'_>, entry: &Entry) -> Option<Vec<ConnectionType>> {
    let names = d.strings(entry)?;
    let mut types = Vec::new();
    let mut invalid = Vec::new();
    for name in &names {
        match ConnectionType::from_name(name) {
            Some(kind) => types.push(kind),
            None => invalid.push(format!("{:?}", name.to_uppercase())),
        }
    }
    if !invalid.is_empty() {
        let text = format!("invalid connection types [{}]", invalid.join(" "));
        d.error(&entry.value.position, text);
    }
    Some(types)
}

pub(super) fn permissions(d: &mut Decoder<'_>, entry: &Entry) -> Option<Permissions> {
    let Kind::Map(map) = &entry.value.kind else {
        let text =
            format!("Expected permissions to be a map/struct, got {}", entry.value.kind.noun());
        d.error(&entry.value.position, text);
        return None;
    };
    let mut permissions = Permissions::default();
    for item in map.iter() {
        match item.key.to_ascii_lowercase().as_str() {
            "pub" | "publish" | "import" => permissions.publish = subjects(d, item, false),
            "sub" | "subscribe" | "export" => permissions.subscribe = subjects(d, item, true),
            "publish_allow_responses" | "allow_responses" => {
                permissions.allow_responses = responses(d, item);
            }
            _ => d.unknown_with(item, |key| format!("Unknown field {key} parsing permissions")),
        }
    }
    // A user that may answer, and has no list of its own, may only answer (spec 3.4).
    if permissions.allow_responses.is_some() && permissions.publish.allow.is_none() {
        permissions.publish.allow = Some(Vec::new());
    }
    Some(permissions)
}

/// A list of subjects (what is allowed), or a map of `allow` and `deny`.
fn subjects(d: &mut Decoder<'_>, entry: &Entry, queues: bool) -> SubjectPermissions {
    let Kind::Map(map) = &entry.value.kind else {
        return SubjectPermissions { allow: list(d, entry, queues), deny: Vec::new() };
    };
    let mut lists = SubjectPermissions::default();
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "allow" => lists.allow = list(d, item, queues),
            "deny" => lists.deny = list(d, item, queues).unwrap_or_default(),
            _ => d.unknown_with(item, |key| {
                format!(
                    "Unknown field name {key} parsing subject permissions, only 'allow' or \
                     'deny' are permitted"
                )
            }),
        }
    }
    lists
}

fn list(d: &mut Decoder<'_>, entry: &Entry, queues: bool) -> Option<Vec<String>> {
    let position = &entry.value.position;
    let subjects = match &entry.value.kind {
        Kind::String(_) | Kind::Array(_) => d.strings(entry)?,
        kind => {
            let noun = kind.noun();
            d.error(
                position,
                format!(
                    "Expected subject permissions to be a subject, or array of subjects, got {noun}"
                ),
            );
            return None;
        }
    };
    for text in &subjects {
        let valid = match text.split_once(' ') {
            Some((subject, queue)) if queues => {
                names::is_subject(subject) && names::is_subject(queue)
            }
            _ => names::is_subject(text),
        };
        if !valid {
            d.error(position, format!("subject {text:?} is not a valid subject"));
        }
    }
    Some(subjects)
}

fn responses(d: &mut Decoder<'_>, entry: &Entry) -> Option<ResponsePermission> {
    let map = match &entry.value.kind {
        Kind::Bool(true) => return Some(ResponsePermission::default()),
        Kind::Bool(false) => return None,
        Kind::Map(map) => map,
        _ => {
            let text = "error parsing response permissions, expected a boolean or a map";
            d.error(&entry.value.position, text);
            return None;
        }
    };
    let mut permission = ResponsePermission::default();
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => match d.integer(item) {
                // 0 is the default, negative is unlimited, as in nats-server.
                Some(0) | None => {}
                Some(max) if max < 0 => permission.max_msgs = None,
                Some(max) => permission.max_msgs = Some(u32::try_from(max).unwrap_or(u32::MAX)),
            },
            "expires" | "expiration" | "ttl" => match item.value.kind.as_str() {
                None => {
                    d.error(&item.value.position, "error parsing expires, not a duration string")
                }
                Some(text) => match duration::parse(text) {
                    Ok(0) => {}
                    Ok(nanos) => {
                        permission.expires = u64::try_from(nanos).ok().map(Duration::from_nanos);
                    }
                    Err(error) => {
                        let text = format!("error parsing expires: {error}");
                        d.error(&item.value.position, text);
                    }
                },
            },
            _ => d.unknown_with(item, |key| format!("Unknown field {key} parsing permissions")),
        }
    }
    Some(permission)
}

/// No user may appear twice, whatever the account.
pub(super) fn check_duplicates(d: &mut Decoder<'_>, o: &Options) {
    let mut seen: HashSet<&str> = HashSet::new();
    let global = o.authorization.users.iter();
    for user in o.accounts.iter().flat_map(|account| &account.users).chain(global) {
        if !seen.insert(user.name()) {
            let what = match user.login {
                Login::Password { .. } => "user",
                Login::Nkey { .. } => "nkey",
            };
            d.error(&user.position, format!("Duplicate {what} {:?} detected", user.name()));
        }
    }
}
