//! Which server to try next, and when; or to stop. A state machine without clock or sockets.
//!
//! Each server has its own count of attempts and its own earliest next time, so that a pool of three
//! is tried three times at once after a loss, and only then waits. The server that was just lost is
//! tried last, unless it is the only one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::options::{Reconnect, ServerOrder};

/// Refusals of the login by one server that end a connection (spec/ux.md A.3; nats.go does so).
const MAX_REFUSALS: u32 = 2;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Try the server at this place of the pool, not before the instant.
    Try { index: usize, at: Instant },
    /// Stop at this instant: the policy allows no further attempt.
    GiveUp { at: Instant },
    /// Stop: the same server refused the login twice.
    AuthFailed,
}

#[derive(Debug, Default)]
struct Standing {
    attempts: u32,
    refusals: u32,
    not_before: Option<Instant>,
    rank: u64,
}

#[derive(Debug)]
pub(crate) struct Policy {
    rule: Reconnect,
    backoff: Backoff,
    order: ServerOrder,
    servers: HashMap<String, Standing>,
    /// When the outage began; `None` while connected.
    since: Option<Instant>,
    /// The server that was lost.
    lost: Option<String>,
    refused: bool,
}

impl Policy {
    pub(crate) fn new(rule: Reconnect, backoff: Backoff, order: ServerOrder) -> Self {
        Self {
            rule,
            backoff,
            order,
            servers: HashMap::new(),
            since: None,
            lost: None,
            refused: false,
        }
    }

    /// Another rule from now on; the first connection has one of its own.
    pub(crate) fn set_rule(&mut self, rule: Reconnect) {
        self.rule = rule;
    }

    /// An outage begins.
    pub(crate) fn lost(&mut self, server: Option<String>, now: Instant) {
        self.servers.clear();
        self.refused = false;
        self.since = Some(now);
        self.lost = server;
    }

    /// The outage is over.
    pub(crate) fn connected(&mut self) {
        self.servers.clear();
        self.refused = false;
        self.since = None;
    }

    /// An attempt failed; `refused` if the server denied the login. `random` is in 0.0 to 1.0.
    pub(crate) fn failed(&mut self, server: &str, refused: bool, now: Instant, random: f64) {
        let standing = self.servers.entry(server.to_owned()).or_default();
        let wait = self.backoff.wait(standing.attempts, random);
        standing.attempts += 1;
        standing.not_before = Some(now + wait);
        if refused {
            standing.refusals += 1;
            self.refused |= standing.refusals >= MAX_REFUSALS;
        }
    }

    /// What to do, given the pool as it is now. `random` gives ranks to servers not seen before.
    pub(crate) fn next(
        &mut self,
        pool: &[String],
        now: Instant,
        mut random: impl FnMut() -> u64,
    ) -> Step {
        if self.refused {
            return Step::AuthFailed;
        }
        let since = *self.since.get_or_insert(now);
        if self.rule == Reconnect::Never {
            return Step::GiveUp { at: now };
        }
        let mut best: Option<(Instant, u32, bool, u64, usize)> = None;
        for (index, server) in pool.iter().enumerate() {
            let shuffled = self.order == ServerOrder::Shuffled;
            let standing = self.servers.entry(server.clone()).or_insert_with(|| Standing {
                rank: if shuffled { random() } else { 0 },
                ..Standing::default()
            });
            if matches!(self.rule, Reconnect::Attempts(limit) if standing.attempts >= limit) {
                continue;
            }
            let at = standing.not_before.unwrap_or(now).max(now);
            let was_lost = self.lost.as_ref() == Some(server);
            let key = (at, standing.attempts, was_lost, standing.rank, index);
            if best.is_none_or(|found| key < found) {
                best = Some(key);
            }
        }
        let deadline = match self.rule {
            Reconnect::For(span) => Some(since + span),
            _ => None,
        };
        match (best, deadline) {
            (None, _) => Step::GiveUp { at: now },
            (Some((at, ..)), Some(deadline)) if at > deadline || now >= deadline => {
                Step::GiveUp { at: deadline.max(now) }
            }
            (Some((at, .., index)), _) => Step::Try { index, at },
        }
    }

    /// How long the outage has lasted.
    pub(crate) fn outage(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn policy(rule: Reconnect) -> Policy {
        Policy::new(rule, Backoff::exponential(SEC, SEC * 4).jitter(0.0), ServerOrder::AsGiven)
    }

    fn pool(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The servers that are tried and the seconds at which, for `steps` failures in a row.
    fn run(policy: &mut Policy, pool: &[String], steps: usize) -> Vec<(String, u64)> {
        let start = Instant::now();
        policy.lost(Some(pool[0].clone()), start);
        let (mut now, mut seen) = (start, Vec::new());
        for _ in 0..steps {
            match policy.next(pool, now, || 0) {
                Step::Try { index, at } => {
                    now = at;
                    seen.push((pool[index].clone(), (now - start).as_secs()));
                    policy.failed(&pool[index], false, now, 0.0);
                }
                Step::GiveUp { at } => {
                    seen.push(("give up".into(), (at - start).as_secs()));
                    break;
                }
                Step::AuthFailed => panic!("no refusal was reported"),
            }
        }
        seen
    }

    fn list(items: &[(&str, u64)]) -> Vec<(String, u64)> {
        items.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect()
    }

    #[test]
    fn every_server_is_tried_at_once_and_then_on_its_own_backoff() {
        let seen = run(&mut policy(Reconnect::Forever), &pool(&["a", "b"]), 8);
        let want = [("b", 0), ("a", 0), ("b", 1), ("a", 1), ("b", 3), ("a", 3), ("b", 7), ("a", 7)];
        assert_eq!(seen, list(&want));
    }

    // Shows U-005.
    #[test]
    fn attempts_are_counted_per_server() {
        let seen = run(&mut policy(Reconnect::Attempts(1)), &pool(&["a", "b", "c"]), 9);
        assert_eq!(seen, list(&[("b", 0), ("c", 0), ("a", 0), ("give up", 0)]));
    }

    #[test]
    fn never_means_never() {
        let seen = run(&mut policy(Reconnect::Never), &pool(&["a"]), 9);
        assert_eq!(seen, list(&[("give up", 0)]));
    }

    #[test]
    fn a_time_limit_ends_at_the_limit() {
        let seen = run(&mut policy(Reconnect::For(SEC * 5)), &pool(&["a"]), 9);
        assert_eq!(seen, list(&[("a", 0), ("a", 1), ("a", 3), ("give up", 5)]));
    }

    // Shows U-006.
    #[test]
    fn success_resets_the_waits() {
        let mut policy = policy(Reconnect::Forever);
        let pool = pool(&["a"]);
        run(&mut policy, &pool, 5);
        policy.connected();
        assert_eq!(run(&mut policy, &pool, 2), list(&[("a", 0), ("a", 1)]));
    }

    // Shows U-011.
    #[test]
    fn the_second_refusal_by_one_server_ends_it() {
        let mut policy = policy(Reconnect::Forever);
        let (pool, now) = (pool(&["a", "b"]), Instant::now());
        policy.lost(None, now);
        policy.failed("a", true, now, 0.0);
        policy.failed("b", true, now, 0.0);
        assert!(matches!(policy.next(&pool, now, || 0), Step::Try { .. }));
        policy.failed("a", true, now, 0.0);
        assert_eq!(policy.next(&pool, now, || 0), Step::AuthFailed);
    }
}
