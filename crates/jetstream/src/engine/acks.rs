//! `$JS.ACK.>`, `$JS.FC.>`: what clients of consumers send back.

use std::sync::Arc;

use super::JetStream;
use crate::ack_subject;
use crate::host::Host;
use crate::stream::StreamCell;
use crate::time::Now;

impl JetStream {
    /// Takes a publish on `$JS.ACK.>` or `$JS.FC.>`, with all that follows from it. False: nobody
    /// is there, and a sender with a reply subject hears 503.
    pub fn ack(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &str,
        subject: &[u8],
        reply: Option<&[u8]>,
        payload: &[u8],
    ) -> bool {
        match self.take_ack(host, now, None, (account, subject), reply, (&[], payload)) {
            Some(stream) => {
                stream.settle(host, now);
                true
            }
            None => false,
        }
    }

    /// As [`ack`](Self::ack), but leaves [`StreamCell::settle`] of the stream that took it to the
    /// caller: once for all acks of a read buffer. `last` took the ack before this one. Headers count
    /// in answers to flow control.
    pub fn take_ack(
        &self,
        host: &mut dyn Host,
        now: Now,
        last: Option<Arc<StreamCell>>,
        (account, subject): (&str, &[u8]),
        reply: Option<&[u8]>,
        (headers, payload): (&[u8], &[u8]),
    ) -> Option<Arc<StreamCell>> {
        if let Some(rest) = subject.strip_prefix(b"$JS.FC.") {
            let mut tokens = std::str::from_utf8(rest).ok()?.splitn(3, '.');
            let (stream, consumer, token) = (tokens.next()?, tokens.next()?, tokens.next()?);
            let cell = self.stream(account, stream)?;
            let taken = cell.lock().flow_reply(host, now, consumer, token.as_bytes(), headers);
            return taken.then_some(cell);
        }
        let ack = ack_subject::parse(subject)?;
        if !ack.is_for(account, self.shared.options.domain.as_deref()) {
            return None;
        }
        let consumer = std::str::from_utf8(ack.consumer).ok()?;
        let reply = reply.filter(|reply| !reply.is_empty());
        // One that was deleted since takes nothing; another may have its name.
        if let Some(cell) = last
            && cell.scope().stream.as_bytes() == ack.stream
            && *cell.scope().account == *account
            && cell.lock().ack(host, now, consumer, &ack.token, payload, reply)
        {
            return Some(cell);
        }
        let cell = self.stream(account, std::str::from_utf8(ack.stream).ok()?)?;
        let taken = cell.lock().ack(host, now, consumer, &ack.token, payload, reply);
        taken.then_some(cell)
    }
}
