//! A timer that is set far more often than it goes off.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// As good as never.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A point in time that moves on with each step of a connection. The runtime's timer behind it is left where it is, and
/// looks when it goes off how far the point has moved on since.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// One that passes after this time, unless it is set.
    pub fn new(after: Duration) -> Deadline {
        let timer = Box::pin(sleep(after));
        Deadline { at: timer.deadline(), timer }
    }

    /// Has it pass after this time instead, counted from now.
    pub fn set(&mut self, after: Duration) {
        let now = Instant::now();
        self.at = now.checked_add(after).unwrap_or(now + FAR);
        if self.at < self.timer.deadline() {
            self.timer.as_mut().reset(self.at);
        }
    }

    /// Returns when it has passed.
    pub async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if Instant::now() >= self.at {
                return;
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_when_it_was_set_last() {
        let begun = Instant::now();
        let mut deadline = Deadline::new(Duration::from_secs(30));
        for (set, passed) in [(40, 40), (1, 41), (59, 100), (1, 101)] {
            deadline.set(Duration::from_secs(set));
            deadline.passed().await;
            assert_eq!(begun.elapsed().as_secs(), passed);
        }
        for set in [Duration::MAX, Duration::from_secs(100), Duration::from_secs(7)] {
            deadline.set(set);
        }
        deadline.passed().await;
        assert_eq!(begun.elapsed().as_secs(), 108);
    }
}
