//! `allow_responses`: which reply subjects a connection may publish to, how often and until when.

use super::AllowResponses;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Replies remembered per connection. nats-server prunes above 4096 and keeps more if they are fresh;
/// here the oldest goes, so that a flood of requests cannot grow the memory of a responder.
const REPLIES_MAX: usize = 16_384;

/// Bytes of reply subjects remembered per connection.
const REPLY_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Granted {
    serial: u64,
    at_ns: u64,
    used: i64,
}

/// The reply subjects delivered to one connection. Times are nanoseconds of a monotonic clock.
#[derive(Debug)]
pub struct ReplyTracker {
    max: i64,
    expires_ns: Option<u64>,
    granted: HashMap<Arc<[u8]>, Granted>,
    /// In order of delivery; an entry whose serial is no longer the granted one is skipped.
    order: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
    serial: u64,
}

impl ReplyTracker {
    /// A tracker with these limits; zeros mean the defaults.
    pub fn new(limits: AllowResponses) -> Self {
        let limits = limits.or_defaults();
        let expires_ns =
            limits.expiry().map(|span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        ReplyTracker {
            max: limits.max,
            expires_ns,
            granted: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            serial: 0,
        }
    }

    /// A message with this reply subject was delivered at `now_ns`: grants answers to it. A grant that
    /// stands already starts anew. Above 16384 replies or 1 MB of them the oldest is forgotten.
    pub fn record(&mut self, reply: &[u8], now_ns: u64) {
        self.serial += 1;
        let granted = Granted { serial: self.serial, at_ns: now_ns, used: 0 };
        let key = match self.granted.get_key_value(reply) {
            Some((key, _)) => key.clone(),
            None => {
                self.bytes += reply.len();
                Arc::from(reply)
            }
        };
        self.granted.insert(key.clone(), granted);
        self.order.push_back((self.serial, key));
        self.prune(now_ns);
    }

    /// Whether a message may be published to `subject` at `now_ns`, and counts it.
    pub fn take(&mut self, subject: &[u8], now_ns: u64) -> bool {
        let Some(granted) = self.granted.get_mut(subject) else {
            return false;
        };
        granted.used = granted.used.saturating_add(1);
        let spent = self.max > 0 && granted.used > self.max;
        if spent || is_over(self.expires_ns, granted.at_ns, now_ns) {
            self.forget(subject);
            return false;
        }
        true
    }

    /// How many reply subjects are remembered.
    pub fn len(&self) -> usize {
        self.granted.len()
    }

    /// Whether no reply subject is remembered.
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    fn forget(&mut self, reply: &[u8]) {
        if self.granted.remove(reply).is_some() {
            self.bytes -= reply.len();
        }
    }

    /// Drops from the old end what expired, was spent, or is too much.
    fn prune(&mut self, now_ns: u64) {
        while let Some((serial, key)) = self.order.front() {
            let current = self.granted.get(key).filter(|granted| granted.serial == *serial);
            let keep = current.is_some_and(|granted| {
                self.granted.len() <= REPLIES_MAX
                    && self.bytes <= REPLY_BYTES_MAX
                    && !is_over(self.expires_ns, granted.at_ns, now_ns)
            });
            if keep {
                break;
            }
            let is_current = current.is_some();
            if let Some((_, key)) = self.order.pop_front()
                && is_current
            {
                self.forget(&key);
            }
        }
        // Renewed grants leave stale entries behind the front; bound those as well.
        if self.order.len() > 2 * self.granted.len() + 16 {
            let granted = &self.granted;
            self.order
                .retain(|(serial, key)| granted.get(key).is_some_and(|g| g.serial == *serial));
        }
    }
}

fn is_over(expires_ns: Option<u64>, at_ns: u64, now_ns: u64) -> bool {
    expires_ns.is_some_and(|expires| now_ns.saturating_sub(at_ns) > expires)
}
