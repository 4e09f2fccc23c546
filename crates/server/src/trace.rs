//! Protocol traces (`-V`): `<<- [PUB foo 5]`, as nats-server writes them.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use natterjack_core::batch::Tracer;
use natterjack_core::client::Client;
use natterjack_proto::connect::redact;
use natterjack_proto::parser::Op;

use crate::connection_info::ConnectionInfo;
use crate::hub::Hub;
use crate::log::Level;

/// Writes what a client sent.
pub(crate) fn inbound(hub: &Hub, info: &ConnectionInfo, op: &Op<'_>) {
    let prefix = info.prefix();
    let line =
        |text: String| hub.log().write(Level::Trace, format_args!("{prefix} - <<- [{text}]"));
    match op {
        Op::Connect(json) => line(format!("CONNECT {}", text(&redact(json)))),
        Op::Pub(publish) => {
            let reply = publish.reply.map(|reply| format!(" {}", text(reply))).unwrap_or_default();
            let subject = text(publish.subject);
            if publish.is_hpub {
                let (head, total) =
                    (publish.headers.len(), publish.headers.len() + publish.payload.len());
                line(format!("HPUB {subject}{reply} {head} {total}"));
            } else {
                line(format!("PUB {subject}{reply} {}", publish.payload.len()));
            }
            payload(hub, &prefix, publish.headers, publish.payload);
        }
        Op::Sub { subject, queue, sid } => {
            let queue = queue.map(|queue| format!(" {}", text(queue))).unwrap_or_default();
            line(format!("SUB {}{queue} {}", text(subject), text(sid)));
        }
        Op::Unsub { sid, max } => {
            let max = max.map(|max| format!(" {max}")).unwrap_or_default();
            line(format!("UNSUB {}{max}", text(sid)));
        }
        Op::Ping => line("PING".into()),
        Op::Pong => line("PONG".into()),
        Op::Info(_) => line("INFO".into()),
        Op::Ok => line("+OK".into()),
        Op::Err(message) => line(format!("-ERR {}", text(message))),
    }
}

/// A whole message, or with `trace_headers` its headers; of one that is long the beginning.
fn payload(hub: &Hub, prefix: &str, headers: &[u8], payload: &[u8]) {
    let options = hub.options();
    let message = match options.trace_headers {
        true => Cow::Borrowed(headers.strip_suffix(b"\r\n\r\n").unwrap_or(headers)),
        false if headers.is_empty() => Cow::Borrowed(payload),
        false => Cow::Owned([headers, payload].concat()),
    };
    if message.is_empty() {
        return;
    }
    let limit = usize::try_from(options.max_traced_msg_len).unwrap_or(usize::MAX);
    let shown = if limit > 0 && message.len() > limit {
        format!("{}...", text(&message[..limit]))
    } else {
        text(&message).into_owned()
    };
    hub.log().write(Level::Trace, format_args!("{prefix} - <<- MSG_PAYLOAD: [{shown:?}]"));
}

/// What a batch calls for the bytes that leave for a client.
pub(crate) fn tracer(hub: &Weak<Hub>) -> Tracer {
    let hub = hub.clone();
    Arc::new(move |client, bytes| {
        if let Some(hub) = hub.upgrade() {
            outbound(&hub, client, bytes);
        }
    })
}

/// Writes what a client is sent: the lines, without payloads.
pub(crate) fn outbound(hub: &Hub, client: &Client, bytes: &[u8]) {
    let Some(info) = hub.connection(client.cid) else { return };
    let prefix = info.prefix();
    for line in lines(bytes) {
        hub.log().write(Level::Trace, format_args!("{prefix} - ->> [{}]", text(line)));
    }
}

/// The control lines of an encoded stretch: after a message its payload is passed over.
fn lines(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let line = &bytes[..end];
        let mut skip = end + 2;
        if line.starts_with(b"MSG ") || line.starts_with(b"HMSG ") {
            let size = line
                .rsplit(|byte| *byte == b' ')
                .next()
                .and_then(|size| std::str::from_utf8(size).ok()?.parse::<usize>().ok());
            skip += size.unwrap_or(0) + 2;
        }
        // The reference shows `+OK` as `OK`.
        lines.push(line.strip_prefix(b"+").unwrap_or(line));
        bytes = bytes.get(skip..).unwrap_or_default();
    }
    lines
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn payloads_are_passed_over_even_if_they_look_like_lines() {
        let bytes = b"PONG\r\nMSG foo 1 8\r\nPING\r\nab\r\n+OK\r\n";
        let lines: Vec<_> = super::lines(bytes).into_iter().map(super::text).collect();
        assert_eq!(lines, ["PONG", "MSG foo 1 8", "OK"]);
    }
}
