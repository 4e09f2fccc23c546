//! How long a client may take to read what waits for it: `write_deadline` and `write_timeout`.

use std::sync::Weak;
use std::time::Duration;

use natterjack_config::options::WriteTimeout;
use natterjack_proto::error::ClosedReason;
use tokio::time::Instant;

use crate::hub::Hub;

/// What is asked of those who write to a client.
#[derive(Clone)]
pub(crate) struct Patience {
    /// For the log and the counters.
    pub(crate) hub: Weak<Hub>,
    pub(crate) deadline: Duration,
    pub(crate) policy: WriteTimeout,
}

/// What one who writes has to have written, and by when.
pub(crate) struct Pace {
    deadline: Duration,
    policy: WriteTimeout,
    /// When the socket took something last.
    moved_at: Instant,
    /// When this round began, with these bytes to write.
    began_at: Instant,
    left: usize,
    /// Whether the socket took some of them.
    is_moving: bool,
    is_slow: bool,
}

/// What is said of a client that gets too little done, and reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// For the first time.
    Slow,
    /// Again.
    StillSlow,
    /// No more.
    Recovered,
}

impl Pace {
    /// Begins when the socket is full, so it has just taken something.
    pub(crate) fn begin(patience: &Patience, waiting: usize, now: Instant) -> Self {
        Pace {
            deadline: patience.deadline,
            policy: patience.policy,
            moved_at: now,
            began_at: now,
            left: waiting,
            is_moving: true,
            is_slow: false,
        }
    }

    /// When it is [`Pace::late`] unless more was written by then.
    pub(crate) fn until(&self) -> Instant {
        let since = match self.policy {
            WriteTimeout::Default => self.moved_at,
            WriteTimeout::Close | WriteTimeout::Retry => self.began_at,
        };
        since + self.deadline
    }

    /// So much was written now, and so much waits yet.
    ///
    /// # Errors
    /// The client is too slow to stay.
    pub(crate) fn wrote(
        &mut self,
        written: usize,
        waiting: usize,
        now: Instant,
    ) -> Result<Option<Notice>, ClosedReason> {
        let is_late = now >= self.until();
        self.left = self.left.saturating_sub(written);
        if written > 0 {
            self.moved_at = now;
            self.is_moving = true;
        }
        if self.left == 0 {
            self.next_round(now, waiting);
            Ok(std::mem::take(&mut self.is_slow).then_some(Notice::Recovered))
        } else if is_late {
            self.late(waiting, now)
        } else {
            Ok(None)
        }
    }

    /// The deadline is over.
    ///
    /// # Errors
    /// The client is too slow to stay.
    pub(crate) fn late(
        &mut self,
        waiting: usize,
        now: Instant,
    ) -> Result<Option<Notice>, ClosedReason> {
        match self.policy {
            WriteTimeout::Retry if self.is_moving => {
                self.next_round(now, waiting);
                self.is_moving = false;
                let was_slow = std::mem::replace(&mut self.is_slow, true);
                Ok(Some(if was_slow { Notice::StillSlow } else { Notice::Slow }))
            }
            // It has just taken something.
            WriteTimeout::Default if now < self.until() => Ok(None),
            _ => Err(ClosedReason::SlowConsumerWriteDeadline),
        }
    }

    fn next_round(&mut self, now: Instant, waiting: usize) {
        self.left = waiting;
        self.began_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    /// What is said when every four seconds so much is written of a thousand bytes.
    fn watch(policy: WriteTimeout, written: &[usize]) -> Vec<Result<Notice, ClosedReason>> {
        let patience = Patience { hub: Weak::new(), deadline: DEADLINE, policy };
        let mut now = Instant::now();
        let mut pace = Pace::begin(&patience, 1000, now);
        let (mut waiting, mut said) = (1000, Vec::new());
        for count in written {
            now += Duration::from_secs(4);
            waiting -= count;
            let outcome = match *count {
                // It is noticed when the time is over.
                0 if now >= pace.until() => pace.late(waiting, pace.until()),
                count => pace.wrote(count, waiting, now),
            };
            said.extend(outcome.transpose());
            if said.last().is_some_and(Result::is_err) {
                break;
            }
        }
        said
    }

    const LATE: Result<Notice, ClosedReason> = Err(ClosedReason::SlowConsumerWriteDeadline);

    #[test]
    fn who_reads_on_stays_unless_all_is_wanted_in_time() {
        let slowly = [100; 10];
        assert_eq!(watch(WriteTimeout::Default, &slowly), []);
        assert_eq!(watch(WriteTimeout::Close, &slowly), [LATE]);
        let noticed = [Notice::Slow, Notice::StillSlow, Notice::StillSlow, Notice::Recovered];
        assert_eq!(watch(WriteTimeout::Retry, &slowly), noticed.map(Ok));
        for policy in [WriteTimeout::Default, WriteTimeout::Close, WriteTimeout::Retry] {
            assert_eq!(watch(policy, &[500, 500]), [], "{policy:?}");
        }
    }

    #[test]
    fn who_takes_nothing_goes() {
        for policy in [WriteTimeout::Default, WriteTimeout::Close] {
            assert_eq!(watch(policy, &[0; 8]), [LATE], "{policy:?}");
            assert_eq!(watch(policy, &[1, 0, 0, 0]), [LATE], "{policy:?}");
        }
        // What was taken before counts once.
        for written in [&[0; 8][..], &[1, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(watch(WriteTimeout::Retry, written), [Ok(Notice::Slow), LATE]);
        }
        assert_eq!(
            watch(WriteTimeout::Retry, &[0, 0, 0, 500, 500]),
            [Ok(Notice::Slow), Ok(Notice::Recovered)]
        );
    }
}
