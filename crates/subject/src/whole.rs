//! Locks over what must not be used half changed.

use std::sync::{LockResult, PoisonError};

/// The guard of a lock, unless its last holder panicked.
///
/// # Panics
/// It did. What the lock protects may be half changed, and the thread that found it so must not use it; the
/// server ends with the first panic (D-0028). A thread that is panicking already gets the guard: it only
/// cleans up.
#[inline]
pub fn whole<G>(locked: LockResult<G>) -> G {
    match locked {
        Ok(guard) => guard,
        Err(poisoned) => half_changed(poisoned),
    }
}

#[cold]
#[inline(never)]
fn half_changed<G>(poisoned: PoisonError<G>) -> G {
    if std::thread::panicking() {
        return poisoned.into_inner();
    }
    panic!("what another thread was changing when it panicked is not used");
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;

    use super::whole;

    /// Takes the lock while a panic goes by.
    struct Cleans<'a>(&'a Mutex<u8>);

    impl Drop for Cleans<'_> {
        fn drop(&mut self) {
            *whole(self.0.lock()) = 2;
        }
    }

    #[test]
    fn nobody_uses_what_a_panic_left_but_to_clean_up() {
        let lock = Mutex::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _cleans = Cleans(&lock);
            *whole(lock.lock()) = 1;
            let _guard = whole(lock.lock());
            panic!("thrown by a test");
        }));
        assert!(caught.is_err());
        let used = catch_unwind(AssertUnwindSafe(|| *whole(lock.lock())));
        assert!(used.is_err());
        assert_eq!(*lock.lock().unwrap_err().into_inner(), 2);
    }
}
