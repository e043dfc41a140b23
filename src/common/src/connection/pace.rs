//! How slow a client may be.

use std::time::Duration;

use crate::limits::Limits;

/// Holds a transfer to its minimum rate: `min_progress` bytes per `progress_timeout`. Only the time spent waiting for
/// the other end counts, and it adds up over the reads or writes of a body, however small they are.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    min_progress: u64,
    moved: u64,
    left: Duration,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Pace {
        let window = limits.progress_timeout;
        Pace { window, min_progress: limits.min_progress, moved: 0, left: window }
    }

    /// How long the next bytes may take to move.
    pub(super) fn left(&self) -> Duration {
        self.left
    }

    /// Bytes have moved after waiting for the other end for so long.
    pub(super) fn moved(&mut self, bytes: usize, waited: Duration) {
        self.moved += bytes as u64;
        self.left = self.left.saturating_sub(waited);
        if self.moved >= self.min_progress {
            self.moved = 0;
            self.left = self.window;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_add_up_until_enough_has_moved() {
        let second = Duration::from_secs(1);
        let limits = Limits { progress_timeout: 10 * second, min_progress: 100, ..Limits::default() };
        let mut pace = Pace::new(&limits);
        for left in (1..10).rev() {
            pace.moved(10, second);
            assert_eq!(pace.left(), left * second);
        }
        pace.moved(10, second);
        assert_eq!(pace.left(), 10 * second);
        pace.moved(99, 20 * second);
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
