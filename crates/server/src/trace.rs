//! Protocol traces (`-V`): `<<- [PUB foo 5]`, as nats-server writes them.

use std::borrow::Cow;

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
            let limit = usize::try_from(hub.options().max_traced_msg_len).unwrap_or(0);
            let shown = if limit > 0 && publish.payload.len() > limit {
                format!("{}...", text(&publish.payload[..limit]))
            } else {
                text(publish.payload).into_owned()
            };
            hub.log().write(Level::Trace, format_args!("{prefix} - <<- MSG_PAYLOAD: [{shown:?}]"));
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

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
