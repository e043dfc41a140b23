//! A budget of bytes per second.

use std::time::Duration;

use tokio::time::Instant;

/// What was not used for so long may be used at once.
const BURST: Duration = Duration::from_secs(1);
/// How much is taken at a time: so much of a second's, but not less nor more than so many bytes.
const SHARES_PER_SECOND: u64 = 8;
const SMALLEST_SHARE: u64 = 4 * 1024;
const LARGEST_SHARE: u64 = 256 * 1024;

/// A token bucket, kept as the moment when all that was taken is paid for.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes per second, at least 1.
    rate: u64,
    /// `None` until something is taken.
    paid_at: Option<Instant>,
}

impl Budget {
    pub(super) fn new(rate: u64) -> Budget {
        Budget { rate: rate.max(1), paid_at: None }
    }

    /// Takes bytes. Returns when they may move.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Instant {
        let full = now.checked_sub(BURST).unwrap_or(now);
        let turn = self.paid_at.map_or(full, |paid_at| paid_at.max(full));
        self.paid_at = Some(turn + self.time(bytes));
        turn
    }

    /// Puts back what was taken.
    pub(super) fn give_back(&mut self, bytes: usize) {
        let time = self.time(bytes);
        self.paid_at = self.paid_at.and_then(|paid_at| paid_at.checked_sub(time));
    }

    /// How much is best taken at a time.
    pub(super) fn share(&self) -> usize {
        // At most `LARGEST_SHARE`.
        (self.rate / SHARES_PER_SECOND).clamp(SMALLEST_SHARE, LARGEST_SHARE) as usize
    }

    /// Whether nothing of it is in use.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.paid_at.is_none_or(|paid_at| paid_at + BURST <= now)
    }

    /// What these bytes take at this rate.
    fn time(&self, bytes: usize) -> Duration {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
