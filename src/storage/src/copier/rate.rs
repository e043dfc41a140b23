//! How fast copies may come.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::pump::Supply;

/// How much time that was not made use of counts later: sleeps end late, by a millisecond and more.
const CREDIT: Duration = Duration::from_millis(50);

/// Bytes in a second that all copies may take together, as long as it is on.
#[derive(Debug)]
pub(crate) struct Rate {
    /// 0: as many as they like.
    per_second: u64,
    is_on: AtomicBool,
    /// When all that has come is paid for.
    paid: Mutex<Instant>,
}

impl Rate {
    pub(crate) fn new(per_second: u64) -> Rate {
        Rate { per_second, is_on: AtomicBool::new(false), paid: Mutex::new(Instant::now()) }
    }

    /// Turns it on or off.
    pub(crate) fn turn(&self, on: bool) {
        self.is_on.store(on, Ordering::Relaxed);
    }

    /// Waits until these bytes, which have come, are paid for.
    pub(crate) async fn pay(&self, bytes: usize) {
        if self.per_second == 0 || !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        let now = Instant::now();
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            *paid = (*paid).max(now.checked_sub(CREDIT).unwrap_or(now)) + cost;
            *paid
        };
        if until > now {
            sleep_until(until).await;
        }
    }
}

/// A supply that is held to a rate.
pub(super) struct Paced<'a, S> {
    pub(super) supply: &'a mut S,
    pub(super) rate: &'a Rate,
}

impl<S: Supply + Send> Supply for Paced<'_, S> {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.supply.read_some(buffer).await?;
        self.rate.pay(got).await;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Endless;

    impl Supply for Endless {
        async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
    }

    async fn read(rate: &Rate, len: usize, times: usize) {
        let mut buffer = vec![0; len];
        for _ in 0..times {
            Paced { supply: &mut Endless, rate }.read_some(&mut buffer).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_at_once_get_the_rate_together() {
        let rate = Rate::new(40_000);
        rate.turn(true);
        let begun = Instant::now();
        tokio::join!(read(&rate, 500, 40), read(&rate, 500, 40));
        // A second, less what may be caught up with.
        let took = begun.elapsed();
        assert!((Duration::from_millis(950)..=Duration::from_millis(1_001)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_that_take_less_than_a_timer_can_tell_get_the_whole_rate() {
        let rate = Rate::new(100_000_000);
        rate.turn(true);
        let begun = Instant::now();
        read(&rate, 16_384, 6_104).await;
        let took = begun.elapsed();
        assert!((Duration::from_millis(950)..=Duration::from_millis(1_001)).contains(&took), "{took:?}");
    }
}
