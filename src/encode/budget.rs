//! Bounds what is decoded at the same time, by pixels and not by files: while it is decoded, a
//! photo takes up to about 16 bytes a pixel (a progressive CMYK JPEG's coefficients and rows;
//! usually 3 to 6).

use std::sync::{Condvar, Mutex, PoisonError};

/// A semaphore that counts pixels.
pub struct PixelBudget {
    free: Mutex<u64>,
    returned: Condvar,
    whole: u64,
}

/// Gives its pixels back when dropped.
pub struct PixelShare<'a> {
    budget: &'a PixelBudget,
    pixels: u64,
}

impl PixelBudget {
    pub fn new(whole: u64) -> Self {
        Self {
            free: Mutex::new(whole),
            returned: Condvar::new(),
            whole,
        }
    }

    /// Blocks until there is room; a share is never larger than the whole, so that it comes.
    pub fn take(&self, pixels: u64) -> PixelShare<'_> {
        let pixels = pixels.min(self.whole);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .returned
            .wait_while(free, |free| *free < pixels)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= pixels;
        PixelShare {
            budget: self,
            pixels,
        }
    }
}

impl Drop for PixelShare<'_> {
    fn drop(&mut self) {
        *self
            .budget
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += self.pixels;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn pixels_in_flight_stay_below_the_budget() {
        let (budget, flying, most) = (PixelBudget::new(100), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (budget, flying, most) = (&budget, &flying, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let pixels = (thread * 37 + round * 11) % 120;
                        let _share = budget.take(pixels);
                        let now =
                            flying.fetch_add(pixels.min(100), Ordering::SeqCst) + pixels.min(100);
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        flying.fetch_sub(pixels.min(100), Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 100);
        assert_eq!(*budget.free.lock().expect("whole"), 100);
    }
}
