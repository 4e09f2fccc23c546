//! Requests of the system account (core.md 6.2), and those that every account may put about itself.

use std::sync::{Arc, Weak};

use hyper::StatusCode;
use natterjack_core::account::{Account, Matches};
use natterjack_core::batch::Batch;
use natterjack_core::service::{Message, Origin, Service};
use natterjack_core::subscription::Subscription;
use natterjack_proto::error::ClosedReason;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::options::{self, Accepts};
use super::packing::Packing;
use super::profiles::profile;
use super::{events, statsz};
use crate::connection::with_batch;
use crate::hub::Hub;
use crate::monitor::{self, Query};
use crate::server_info::ServerInfo;

/// Requests of the system account that are answered at a time; who asks while so many wait hears that
/// nobody responds.
const PLACES: usize = 256;

/// The same for each of the other accounts: none of them keeps another one waiting, or the operator.
const OWN_PLACES: usize = 8;

/// What each account may ask about itself: subject, and the request of the system account behind it.
const OWN: [(&str, Verb); 3] = [
    ("$SYS.REQ.ACCOUNT.PING.CONNZ", Verb::Account(Of::Connz)),
    ("$SYS.REQ.SERVER.PING.CONNZ", Verb::Account(Of::Connz)),
    ("$SYS.REQ.ACCOUNT.PING.STATZ", Verb::Account(Of::Statz)),
];

#[derive(Clone, Copy, Debug)]
enum Verb {
    Statsz,
    Idz,
    /// An endpoint of the monitoring port.
    Endpoint(&'static str),
    Profilez,
    Reload,
    Kick,
    Ldm,
    /// About one account, or with `PING` about all.
    Account(Of),
    Nsubs,
    Subscribers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Subsz,
    Connz,
    Leafz,
    Jsz,
    Info,
    Statz,
    Conns,
}

/// Subscribes what an account may ask.
pub(super) fn subscribe(
    hub: &Arc<Hub>,
    account: &Arc<Account>,
    is_system: bool,
) -> Vec<Arc<Subscription>> {
    let places = Arc::new(Semaphore::new(if is_system { PLACES } else { OWN_PLACES }));
    let service = Arc::new(Requests { hub: hub.weak(), is_system, places });
    let own = || OWN.iter().map(|(subject, _)| (*subject).to_owned()).collect();
    let subjects: Vec<String> = match is_system {
        true => vec![
            "$SYS.REQ.SERVER.PING".into(),
            "$SYS.REQ.SERVER.PING.*".into(),
            format!("$SYS.REQ.SERVER.{}.*", hub.id().public_key),
            "$SYS.REQ.ACCOUNT.*.*".into(),
            "$SYS.REQ.ACCOUNT.NSUBS".into(),
            "$SYS.DEBUG.SUBSCRIBERS".into(),
        ],
        false => own(),
    };
    let subscribe =
        |subject: &String| account.subscribe_service(subject.as_bytes(), service.clone());
    subjects.iter().map(subscribe).collect()
}

struct Requests {
    hub: Weak<Hub>,
    is_system: bool,
    places: Arc<Semaphore>,
}

/// A request on its way to its answer.
struct Asked {
    verb: Verb,
    /// Whether all servers are asked: one that does not fit stays silent.
    is_ping: bool,
    /// The account that is asked about.
    about: Option<String>,
    from: String,
    reply: Option<Vec<u8>>,
    /// How the answer shall be packed.
    packing: Option<Packing>,
    body: Vec<u8>,
}

/// An answer on its way.
struct Reply {
    text: String,
    /// Errors, and what is no report, are never packed.
    is_report: bool,
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Reply { text, is_report: false }
    }
}

impl Service for Requests {
    fn receive(&self, account: &str, message: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        let Ok(subject) = std::str::from_utf8(message.subject) else { return false };
        let Some((verb, is_ping, about)) = self.parse(subject) else { return false };
        let Ok(place) = self.places.clone().try_acquire_owned() else { return false };
        let asked = Asked {
            verb,
            is_ping,
            about: if self.is_system { about } else { Some(account.to_owned()) },
            from: account.to_owned(),
            reply: message.reply.map(<[u8]>::to_vec),
            packing: Packing::wanted(message.headers),
            body: message.payload.to_vec(),
        };
        let runtime = hub.runtime().clone();
        let is_slow = matches!(verb, Verb::Reload);
        let answer = move || {
            asked.answer(&hub);
            drop(place);
        };
        // Answers may look at all connections: not while the asker's input is being read. A reload reads
        // files as well: not on a worker.
        if is_slow {
            runtime.spawn_blocking(answer);
        } else {
            runtime.spawn(async move { answer() });
        }
        true
    }
}

impl Requests {
    /// The request, whether it goes to all servers, and the account it is about.
    fn parse(&self, subject: &str) -> Option<(Verb, bool, Option<String>)> {
        if !self.is_system {
            let (_, verb) = OWN.iter().find(|(own, _)| *own == subject)?;
            return Some((*verb, true, None));
        }
        if subject == "$SYS.DEBUG.SUBSCRIBERS" {
            return Some((Verb::Subscribers, false, None));
        }
        let tokens: Vec<&str> = subject.split('.').collect();
        match tokens.as_slice() {
            [_, _, "SERVER", "PING"] => Some((Verb::Statsz, true, None)),
            [_, _, "SERVER", to, verb] => {
                Some((server_verb(verb, *to == "PING")?, *to == "PING", None))
            }
            [_, _, "ACCOUNT", "NSUBS"] => Some((Verb::Nsubs, false, None)),
            [_, _, "ACCOUNT", "PING", verb] => {
                let of = account_verb(verb).filter(|of| matches!(of, Of::Connz | Of::Statz))?;
                Some((Verb::Account(of), true, None))
            }
            [_, _, "ACCOUNT", about, verb] => {
                Some((Verb::Account(account_verb(verb)?), false, Some((*about).to_owned())))
            }
            _ => None,
        }
    }
}

fn server_verb(verb: &str, is_ping: bool) -> Option<Verb> {
    Some(match verb {
        "STATSZ" => Verb::Statsz,
        "IDZ" => Verb::Idz,
        "VARZ" => Verb::Endpoint("/varz"),
        "CONNZ" => Verb::Endpoint("/connz"),
        "ROUTEZ" => Verb::Endpoint("/routez"),
        "GATEWAYZ" => Verb::Endpoint("/gatewayz"),
        "LEAFZ" => Verb::Endpoint("/leafz"),
        "SUBSZ" => Verb::Endpoint("/subsz"),
        "ACCOUNTZ" => Verb::Endpoint("/accountz"),
        "JSZ" => Verb::Endpoint("/jsz"),
        "HEALTHZ" => Verb::Endpoint("/healthz"),
        "IPQUEUESZ" => Verb::Endpoint("/ipqueuesz"),
        "RAFTZ" => Verb::Endpoint("/raftz"),
        "EXPVARZ" => Verb::Endpoint("/debug/vars"),
        "PROFILEZ" => Verb::Profilez,
        // Only one server is told to do something.
        "RELOAD" if !is_ping => Verb::Reload,
        "KICK" if !is_ping => Verb::Kick,
        "LDM" if !is_ping => Verb::Ldm,
        _ => return None,
    })
}

fn account_verb(verb: &str) -> Option<Of> {
    Some(match verb {
        "SUBSZ" => Of::Subsz,
        "CONNZ" => Of::Connz,
        "LEAFZ" => Of::Leafz,
        "JSZ" => Of::Jsz,
        "INFO" => Of::Info,
        "STATZ" => Of::Statz,
        "CONNS" => Of::Conns,
        _ => return None,
    })
}

impl Asked {
    fn answer(&self, hub: &Arc<Hub>) {
        let Some(answer) = self.payload(hub) else { return };
        let Some(reply) = &self.reply else { return };
        let packing = self.packing.filter(|_| answer.is_report);
        let (headers, payload) = match packing.map(|packing| packing.pack(answer.text.as_bytes())) {
            Some((headers, packed)) => (headers, packed),
            None => (Vec::new(), answer.text.into_bytes()),
        };
        with_batch(hub, |batch| {
            hub.publish_with(batch, &self.from, reply, &headers, &payload);
        });
    }

    /// The answer; `None` where this server stays silent.
    fn payload(&self, hub: &Arc<Hub>) -> Option<Reply> {
        if let Verb::Subscribers = self.verb {
            let text = String::from_utf8_lossy(&self.body);
            let mut words = text.split_ascii_whitespace();
            let subject = words.next()?;
            return Some(subscribers(hub, &self.from, subject, words.next()).to_string().into());
        }
        let body = match self.body.iter().all(u8::is_ascii_whitespace) {
            true => Value::Null,
            false => match serde_json::from_slice::<Value>(&self.body) {
                Ok(body) => body,
                Err(error) => return Some(refusal(hub, 400, &error.to_string(), false).into()),
            },
        };
        match self.accepts().map(|accepts| options::check(accepts, &body)) {
            None | Some(Ok(())) => {}
            // Nobody is told of a request that says nothing (nats-server 2.15.1).
            Some(Err(_)) if self.is_silent() => return None,
            Some(Err(error)) => {
                return Some(refusal(hub, 400, &error.to_string(), false).into());
            }
        }
        // IDZ looks at a part of the name only (nats-server 2.15.1).
        let filters = match self.verb {
            Verb::Idz => json!({"server_name": body["server_name"]}),
            _ => body.clone(),
        };
        if self.is_ping && !is_meant(hub, &filters) {
            return None;
        }
        match self.verb {
            Verb::Statsz => Some(statsz::message(hub).to_string().into()),
            Verb::Idz => {
                let host = hub.ports().advertised(&hub.options()).0;
                let id = json!({"name": hub.id().name, "host": host, "id": hub.id().public_key});
                Some(id.to_string().into())
            }
            Verb::Endpoint(path) => {
                let answer = monitor::answer(hub, path, &Query::of_json(&body))?;
                Some(self.enveloped(hub, path == "/healthz", answer))
            }
            Verb::Profilez => {
                Some(self.enveloped(hub, false, Ok((StatusCode::OK, profile(hub, &body)))))
            }
            Verb::Account(of) => self.about_account(hub, of, body),
            Verb::Nsubs => {
                let (account, subject) = (body["acc"].as_str()?, body["subject"].as_str()?);
                Some(subscribers(hub, account, subject, None).to_string().into())
            }
            Verb::Reload => Some(done(hub, crate::reload::reload(hub)).into()),
            Verb::Kick | Verb::Ldm => Some(done(hub, self.one_client(hub, &body)).into()),
            Verb::Subscribers => None,
        }
    }

    /// What the body may hold; `None` where it does not matter.
    fn accepts(&self) -> Option<Accepts> {
        Some(match self.verb {
            Verb::Statsz => Accepts::Statsz,
            Verb::Endpoint(path) => Accepts::of_endpoint(path)?,
            Verb::Profilez => Accepts::Profilez,
            Verb::Reload => Accepts::Filters,
            Verb::Account(Of::Subsz) => Accepts::Subsz,
            Verb::Account(Of::Connz) => Accepts::Connz,
            Verb::Account(Of::Leafz) => Accepts::Leafz,
            Verb::Account(Of::Jsz) => Accepts::Jsz,
            Verb::Account(Of::Statz) => Accepts::AccountStatz,
            Verb::Account(Of::Info) => Accepts::AccountInfo,
            Verb::Account(Of::Conns) | Verb::Nsubs => Accepts::Names,
            Verb::Kick | Verb::Ldm => Accepts::Client,
            Verb::Idz | Verb::Subscribers => return None,
        })
    }

    /// Whether a body that does not fit gets no answer.
    fn is_silent(&self) -> bool {
        matches!(self.verb, Verb::Nsubs | Verb::Kick | Verb::Ldm | Verb::Account(Of::Conns))
    }

    fn about_account(&self, hub: &Arc<Hub>, of: Of, mut body: Value) -> Option<Reply> {
        if body.is_null() {
            body = Value::Object(Map::new());
        }
        let mut query = Query::of_json(&body);
        if let Some(about) = &self.about {
            query.set("acc", about);
            query.set("names", about);
        }
        let path = match of {
            Of::Subsz => {
                query.set("subs", "1");
                "/subsz"
            }
            // All accounts are asked, but only one of them could answer.
            Of::Connz if self.about.is_none() => {
                query.set("acc", "");
                "/connz"
            }
            Of::Connz => "/connz",
            Of::Leafz => "/leafz",
            Of::Statz => {
                if let Some(about) = &self.about {
                    hub.accounts().find(about)?;
                }
                "/accstatz"
            }
            Of::Conns => {
                let event = events::account_connections(hub, self.about.as_deref()?)?;
                return Some(event.to_string().into());
            }
            Of::Info => {
                let answer = monitor::answer(hub, "/accountz", &query)?;
                let detail =
                    answer.map(|(status, mut body)| (status, body["account_detail"].take()));
                return Some(self.enveloped(hub, false, detail));
            }
            Of::Jsz => {
                query.set("accounts", "1");
                if hub.jetstream().is_none() {
                    return Some(refusal(hub, 500, "jetstream not enabled", true).into());
                }
                let about = self.about.as_deref().unwrap_or_default();
                if !monitor::has_jetstream(hub, about) {
                    let text = format!("account {about:?} not jetstream enabled");
                    return Some(refusal(hub, 500, &text, true).into());
                }
                let answer = monitor::answer(hub, "/jsz", &query)?;
                let one = answer.map(|(status, mut body)| {
                    let detail = body.pointer_mut("/account_details/0");
                    (status, detail.map(Value::take).unwrap_or_default())
                });
                return Some(self.enveloped(hub, false, one));
            }
        };
        let answer = monitor::answer(hub, path, &query)?;
        Some(self.enveloped(hub, false, answer))
    }

    fn enveloped(&self, hub: &Hub, with_status: bool, answer: monitor::Answer) -> Reply {
        match answer {
            Ok((status, mut data)) => {
                if with_status {
                    data["status_code"] = status.as_u16().into();
                }
                report(json!({"server": ServerInfo::of(hub), "data": data}))
            }
            Err(error) => refusal(hub, 500, &error.to_string(), true).into(),
        }
    }

    /// Sends one client away, or asks it to go.
    fn one_client(&self, hub: &Hub, body: &Value) -> Result<(), String> {
        let info = body["cid"].as_u64().and_then(|cid| hub.connection(cid));
        match (self.verb, info) {
            (Verb::Kick, Some(info)) => info.client.close(ClosedReason::Kicked),
            (Verb::Kick, None) => return Err("no such client or leafnode id".into()),
            (_, Some(info)) => {
                let mut told = hub.post_connect_info(&info);
                told.ldm = true;
                let mut line = Vec::new();
                natterjack_proto::encode::info(&mut line, &told);
                hub.send(&info.client, line);
            }
            (_, None) => return Err("no such client id".into()),
        }
        Ok(())
    }
}

fn report(body: Value) -> Reply {
    Reply { text: body.to_string(), is_report: true }
}

fn done(hub: &Hub, outcome: Result<(), String>) -> String {
    match outcome {
        Ok(()) => json!({"server": ServerInfo::of(hub)}).to_string(),
        Err(error) => refusal(hub, 500, &error, false),
    }
}

fn refusal(hub: &Hub, code: u16, description: &str, with_data: bool) -> String {
    let error = json!({"code": code, "description": description});
    let server = ServerInfo::of(hub);
    match with_data {
        true => json!({"server": server, "data": null, "error": error}).to_string(),
        false => json!({"server": server, "error": error}).to_string(),
    }
}

/// Whether the filters of a question to all servers fit this one.
fn is_meant(hub: &Hub, body: &Value) -> bool {
    let options = hub.options();
    let wanted = |name: &str| body[name].as_str().filter(|wanted| !wanted.is_empty());
    let host = hub.ports().advertised(&options).0;
    let parts = [("server_name", hub.id().name.as_str()), ("host", &host), ("cluster", "")];
    let domain = options.jetstream.domain.as_deref().unwrap_or_default();
    let tags = body["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_exact = body["exact_match"] == true;
    let fits = |own: &str, wanted: &str| {
        if is_exact { own == wanted } else { own.contains(wanted) }
    };
    parts.iter().all(|(name, own)| wanted(name).is_none_or(|wanted| fits(own, wanted)))
        && wanted("domain").is_none_or(|wanted| domain == wanted)
        && tags
            .iter()
            .filter_map(Value::as_str)
            .all(|wanted| options.server_tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted)))
}

/// How many clients of an account a message would reach.
fn subscribers(hub: &Hub, account: &str, subject: &str, queue: Option<&str>) -> usize {
    let Some(account) = hub.accounts().find(account) else { return 0 };
    let mut matches = Matches::default();
    account.find(subject.as_bytes(), &mut matches);
    let clients = |members: &[Arc<Subscription>]| {
        members.iter().filter(|member| member.client().is_some()).count()
    };
    let queues = matches.queues.iter();
    match queue {
        Some(queue) => {
            let group = queues.filter(|(name, _)| name.as_ref() == queue.as_bytes());
            group.map(|(_, members)| clients(members)).sum()
        }
        None => {
            clients(&matches.plain) + queues.map(|(_, members)| clients(members)).sum::<usize>()
        }
    }
}
