//! Direct Get: answers are the messages themselves (ADR-31).

use std::sync::Arc;

use super::ApiRequest;
use crate::engine::JetStream;
use crate::host::{Host, Outgoing};
use crate::json;
use crate::stream::{GetRequest, StreamCell};
use crate::time::Now;

impl JetStream {
    /// Who answers for a stream: itself, or else a mirror that may and has caught up. A mirror never
    /// answers where the origin can, so that who writes reads what they wrote.
    fn direct_stream(&self, account: &str, name: &str) -> Option<Arc<StreamCell>> {
        let own = self.stream(account, name);
        if let Some(own) = own.filter(|own| own.lock().config.allow_direct) {
            return Some(own);
        }
        let mirrors = self.account(account)?.sourcing_streams();
        mirrors.into_iter().find(|mirror| mirror.lock().answers_for(name))
    }

    /// False where nobody serves the stream: a requester hears 503.
    pub(super) fn direct_get(
        &self,
        host: &mut dyn Host,
        now: Now,
        request: &ApiRequest<'_>,
        stream: &str,
        subject: Option<&str>,
    ) -> bool {
        let Some(cell) = self.direct_stream(request.account, stream) else { return false };
        let mut stream = cell.lock();
        let Some(reply) = request.reply() else { return true };
        if let Some(subject) = subject
            && request.headers.is_empty()
            && request.payload.is_empty()
        {
            // The usual form says nothing but the subject.
            if !stream.direct_last(host, reply, subject.as_bytes()) {
                stream.settle(host, now);
            }
            return true;
        }
        let status = if request.level_too_high() {
            Err("412 Required Api Level")
        } else {
            parse(request.payload, subject)
        };
        match status {
            Ok(direct) => {
                // One that was answered leaves nothing to settle.
                if !stream.direct(host, reply, direct) {
                    stream.settle(host, now);
                }
            }
            Err(status) => {
                let headers = format!("NATS/1.0 {status}\r\n\r\n");
                host.deliver(&Outgoing {
                    account: request.account,
                    route: reply,
                    subject: reply,
                    reply: None,
                    headers: headers.as_bytes(),
                    payload: &[],
                });
            }
        }
        true
    }
}

fn parse(body: &[u8], subject: Option<&str>) -> Result<crate::stream::DirectRequest, &'static str> {
    if let Some(subject) = subject.filter(|_| body.is_empty()) {
        return Ok(GetRequest::last_direct(subject.as_bytes(), false));
    }
    let asked: GetRequest = json::decode(body, false).map_err(|_| "408 Malformed Request")?;
    match subject {
        None => asked.direct(),
        Some(subject) => {
            // Beside the subject only `no_hdr` may be said.
            let rest = GetRequest { no_hdr: false, ..asked.clone() };
            if rest != GetRequest::default() {
                return Err("408 Bad Request");
            }
            Ok(GetRequest::last_direct(subject.as_bytes(), asked.no_hdr))
        }
    }
}
