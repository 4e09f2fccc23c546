//! One look-up for all who want the same account at the same time: after a restart that is all of its users.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tokio::sync::OnceCell;

type Outcome = Arc<OnceCell<bool>>;

/// Look-ups that are under way, by account. No more than there are logins that wait for one.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Box<str>, Outcome>>);

impl Flights {
    /// What `look_up` says, or what somebody else's says that is under way. Where who began it goes, the
    /// next one goes on.
    pub(super) async fn join(&self, id: &str, look_up: impl Future<Output = bool>) -> bool {
        let outcome = self.lock().entry(id.into()).or_default().clone();
        let seat = Seat { flights: self, id, outcome };
        *seat.outcome.get_or_init(|| look_up).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits.
struct Seat<'a> {
    flights: &'a Flights,
    id: &'a str,
    outcome: Outcome,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let is_mine = flights.get(self.id).is_some_and(|it| Arc::ptr_eq(it, &self.outcome));
        // Besides this one only the map has it: clones are made under its lock.
        let is_last = Arc::strong_count(&self.outcome) == 2;
        // What is known by now is asked anew by who comes next.
        if is_mine && (is_last || self.outcome.initialized()) {
            flights.remove(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn those_who_want_the_same_share_one_look_up() {
        let (flights, landed, asked) = (Flights::default(), Notify::new(), AtomicUsize::new(0));
        let look_up = |answer| {
            let (asked, landed) = (&asked, &landed);
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                landed.notified().await;
                answer
            }
        };
        let land = async { landed.notify_one() };
        let first = flights.join("A", look_up(true));
        let (first, second, other, ()) = tokio::join!(
            first,
            flights.join("A", look_up(false)),
            flights.join("B", ready(false)),
            land
        );
        assert_eq!((first, second, other, asked.load(Ordering::Relaxed)), (true, true, false, 1));
        // It is over: the next one asks anew.
        assert!(flights.lock().is_empty());
        assert!(!flights.join("A", ready(false)).await);
    }

    #[tokio::test]
    async fn who_goes_leaves_it_to_the_next() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.join("A", pending()));
        let mut second = Box::pin(flights.join("A", ready(true)));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(second.await);
        drop(Box::pin(flights.join("A", pending())));
        assert!(flights.lock().is_empty());
        let mut alone = Box::pin(flights.join("A", pending()));
        assert!(futures_util::poll!(alone.as_mut()).is_pending());
        drop(alone);
        assert!(flights.lock().is_empty());
    }
}
