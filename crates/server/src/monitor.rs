//! The monitoring port: nats-server's endpoints over HTTP, with its field names.
//!
//! Requests of the system account are answered by the same functions. `/routez`, `/gatewayz`, `/leafz`,
//! `/ipqueuesz` and `/raftz` have the empty forms that a single node shows. `/metrics` is ours: the same
//! numbers as Prometheus's exporter shows them. Another path answers 404.

mod accounts;
mod connz;
mod healthz;
mod jsz;
mod metrics;
mod query;
mod subsz;
mod varz;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::hub::Hub;
use crate::process;
use crate::server_info::rfc3339;
pub(crate) use accounts::stat as account_stat;
pub(crate) use jsz::{is_used as has_jetstream, summary as jetstream_summary};
use query::BadQuery;
pub(crate) use query::Query;

/// Connections served at a time: monitoring must not take the server's memory.
const CONNECTIONS: usize = 64;
/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What an endpoint answers.
pub(crate) type Answer = Result<(StatusCode, Value), BadQuery>;

/// Accepts until `stop` turns true.
pub(crate) async fn serve(
    hub: Arc<Hub>,
    listener: TcpListener,
    is_secure: bool,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (service_hub, secure_hub, mut stop) = (hub.clone(), hub.clone(), stop.clone());
        hub.runtime().spawn(async move {
            let service = service_fn(move |request| {
                let hub = service_hub.clone();
                async move { Ok::<_, Infallible>(respond(&hub, &request)) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            // What goes wrong with one client of the port concerns nobody else.
            let serve = async {
                if !is_secure {
                    drop(http.serve_connection(TokioIo::new(socket), service).await);
                } else if let Some(socket) = secured(&secure_hub, socket).await {
                    drop(http.serve_connection(TokioIo::new(socket), service).await);
                }
            };
            tokio::select! {
                () = serve => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
}

/// TLS with the certificates of the `tls` block, in the time that it allows. Nobody need show one here.
async fn secured(
    hub: &Arc<Hub>,
    socket: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let tls = hub.transports().client.clone()?;
    let acceptor = tokio_rustls::TlsAcceptor::from(tls.monitoring.clone());
    tokio::time::timeout(tls.timeout(), acceptor.accept(socket)).await.ok()?.ok()
}

fn respond(hub: &Arc<Hub>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let options = hub.options();
    let base = options.http_base_path.trim_end_matches('/');
    let path = request.uri().path();
    let Some(path) =
        path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    else {
        return not_found();
    };
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let path = path.trim_end_matches('/');
    let name = path.strip_prefix('/').unwrap_or_default();
    // First, so that `/varz` counts itself. What else is asked for nats-server 2.15.1 does not count.
    match name {
        "" => hub.count_request("/"),
        "subscriptionsz" => hub.count_request("/subsz"),
        name if LISTED.contains(&name) => hub.count_request(path),
        _ => {}
    }
    match path {
        "" => return index(base),
        "/stacksz" => return response(StatusCode::OK, "application/json", stacks(hub)),
        "/debug/vars" => return json_response(StatusCode::OK, variables().to_string()),
        "/metrics" => {
            return response(StatusCode::OK, metrics::CONTENT_TYPE, metrics::metrics(hub));
        }
        "/raftz" => return text_response(StatusCode::NOT_FOUND, "No Raft nodes registered"),
        _ => {}
    }
    let Some(answer) = answer(hub, path, &query) else { return not_found() };
    match answer {
        // Healthz and the empty form of ipqueuesz are written without blanks.
        Ok((status, body)) if path == "/healthz" => json_response(status, body.to_string()),
        Ok((status, body)) => {
            json_response(status, serde_json::to_string_pretty(&body).unwrap_or_default())
        }
        Err(error) => text_response(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// What an endpoint answers, over HTTP or to a request of the system account; `None` if it is unknown.
pub(crate) fn answer(hub: &Hub, path: &str, query: &Query) -> Option<Answer> {
    let empty = |body, with_name| Ok((StatusCode::OK, envelope(hub, body, with_name)));
    Some(match path {
        "/varz" => Ok((StatusCode::OK, varz::varz(hub))),
        "/connz" => connz::connz(hub, query),
        "/subsz" | "/subscriptionsz" => subsz::subsz(hub, query),
        "/accountz" => accounts::accountz(hub, query),
        "/accstatz" => accounts::accstatz(hub, query),
        "/jsz" => jsz::jsz(hub, query),
        "/healthz" => healthz::healthz(hub, query),
        "/routez" => empty(json!({"num_routes": 0, "routes": []}), true),
        "/gatewayz" => empty(json!({"outbound_gateways": {}, "inbound_gateways": {}}), false),
        "/leafz" => empty(json!({"leafnodes": 0, "leafs": []}), false),
        // There are no such queues: a connection decides by itself.
        "/ipqueuesz" => Ok((StatusCode::OK, json!({}))),
        "/debug/vars" => Ok((StatusCode::OK, variables())),
        // There are no such groups: one node has nobody to agree with.
        "/raftz" => Ok((StatusCode::OK, Value::Null)),
        _ => return None,
    })
}

/// What a JWT says. It was read before, so there is something to show.
fn decoded(token: &str) -> Value {
    let claims =
        token.split('.').nth(1).and_then(|part| BASE64URL_NOPAD.decode(part.as_bytes()).ok());
    claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default()
}

/// The beginning that most answers share.
fn envelope(hub: &Hub, body: Value, with_name: bool) -> Value {
    let mut members = serde_json::Map::new();
    members.insert("server_id".into(), hub.id().public_key.clone().into());
    if with_name {
        members.insert("server_name".into(), hub.id().name.clone().into());
    }
    members.insert("now".into(), rfc3339(hub.clock().unix_ns()).into());
    if let Value::Object(body) = body {
        members.extend(body);
    }
    Value::Object(members)
}

/// What runs, as text; nobody parses it.
pub(crate) fn stacks(hub: &Hub) -> String {
    let metrics = hub.runtime().metrics();
    let (workers, tasks) = (metrics.num_workers(), metrics.num_alive_tasks());
    let threads = process::threads().join("\n");
    format!("{workers} workers, {tasks} tasks\n{threads}\n")
}

/// The process in Go's `expvar` form, as far as it has a meaning here.
fn variables() -> Value {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    json!({"cmdline": arguments, "memstats": {"Sys": process::resident_bytes()}})
}

/// What the index lists.
const LISTED: [&str; 10] = [
    "varz", "connz", "subsz", "accountz", "accstatz", "jsz", "healthz", "routez", "gatewayz",
    "leafz",
];

fn index(base: &str) -> Response<Full<Bytes>> {
    let links: String =
        LISTED.iter().map(|name| format!("<a href=\"{base}/{name}\">{name}</a><br>\n")).collect();
    let page =
        format!("<!DOCTYPE html>\n<html lang=\"en\"><title>natterjack</title>\n{links}</html>\n");
    response(StatusCode::OK, "text/html; charset=utf-8", page)
}

fn not_found() -> Response<Full<Bytes>> {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn text_response(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.to_owned())
}

fn json_response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    // As Go encodes JSON: safe to embed in a page.
    let body = body.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    response(status, "application/json", body)
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if kind == "application/json" {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, header::HeaderValue::from_static("*"));
    }
    response
}

/// A span as monitoring shows it: `1y2d3h4m5s`, cut to seconds.
fn uptime(span_ns: i64) -> String {
    let mut seconds = span_ns.max(0) / 1_000_000_000;
    let mut text = String::new();
    for (unit, length) in [("y", 31_536_000), ("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= length || !text.is_empty() {
            text.push_str(&format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    text.push_str(&format!("{seconds}s"));
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans_are_shown_as_the_reference_does() {
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (61, "1m1s"), (3_600, "1h0m0s"), (90_061, "1d1h1m1s")]
        {
            assert_eq!(super::uptime(seconds * 1_000_000_000), expected);
        }
    }
}
