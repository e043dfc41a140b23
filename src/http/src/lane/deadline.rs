//! A timer that is set far more often than it goes off.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A point in time that moves on with each step of a connection. The runtime's timer behind it is left where it is, and
/// looks when it goes off how far the point has moved on since.
pub(super) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(super) fn new(after: Duration) -> Deadline {
        let timer = Box::pin(sleep(after));
        Deadline { at: timer.deadline(), timer }
    }

    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Returns when it has passed.
    pub(super) async fn passed(&mut self) {
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
        for (set, passed) in [(40, 40), (41, 41), (100, 100), (101, 101)] {
            deadline.set(begun + Duration::from_secs(set));
            deadline.passed().await;
            assert_eq!(begun.elapsed().as_secs(), passed);
        }
        deadline.set(Instant::now() + Duration::from_secs(100));
        deadline.set(Instant::now() + Duration::from_secs(7));
        deadline.passed().await;
        assert_eq!(begun.elapsed().as_secs(), 108);
    }
}
