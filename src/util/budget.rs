//! A bound on what is in use at the same time: bytes, pixels, searches, or anything that counts.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A clonable handle on so many units; clones share them.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Mutex<u64>,
    returned: Condvar,
    whole: u64,
}

/// Units taken from a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    units: u64,
}

impl Budget {
    #[must_use]
    pub fn new(whole: u64) -> Self {
        Self(Arc::new(Inner {
            free: Mutex::new(whole),
            returned: Condvar::new(),
            whole,
        }))
    }

    /// Blocks the thread until there is room. A share is never larger than the whole, so that it
    /// comes.
    #[must_use]
    pub fn wait(&self, units: u64) -> Share {
        let units = units.min(self.0.whole);
        let mut free = self
            .0
            .returned
            .wait_while(self.free(), |free| *free < units)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= units;
        drop(free);
        Share {
            budget: self.clone(),
            units,
        }
    }

    /// Takes the units at once, or none.
    #[must_use]
    pub fn take(&self, units: u64) -> Option<Share> {
        let mut share = self.nothing();
        share.grow(units).then_some(share)
    }

    /// A share of nothing, to be grown.
    #[must_use]
    pub fn nothing(&self) -> Share {
        Share {
            budget: self.clone(),
            units: 0,
        }
    }

    /// How many units are in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.whole - *self.free()
    }

    fn free(&self) -> MutexGuard<'_, u64> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes more, or says at once that there is no room: whoever waited for room while holding
    /// some could wait for ever.
    #[must_use]
    pub fn grow(&mut self, units: u64) -> bool {
        let mut free = self.budget.free();
        if *free < units {
            return false;
        }
        *free -= units;
        self.units += units;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.budget.free() += self.units;
        self.budget.0.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_taken_together_stays_below_the_whole() {
        let budget = Budget::new(100);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (budget, now, most) = (&budget, &now, &most);
                scope.spawn(move || {
                    for round in 0..50 {
                        let units = (thread * 13 + round * 7) % 60;
                        let _share = budget.wait(units);
                        let sum = now.fetch_add(units, Ordering::SeqCst) + units;
                        most.fetch_max(sum, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(units, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn more_than_the_whole_waits_for_the_whole() {
        let budget = Budget::new(10);
        assert_eq!(budget.wait(11).units, 10);
    }

    #[test]
    fn without_room_nothing_is_taken() {
        let budget = Budget::new(10);
        let mut first = budget.take(6).expect("room");
        assert!(budget.take(5).is_none());
        assert!(!first.grow(5) && first.grow(4));
        assert_eq!(budget.used(), 10);
        drop(first);
        assert_eq!(budget.used(), 0);
    }
}
