//! How often and how soon something is tried again.

use std::time::Duration;

use tnv_client::ClientError;
use tnv_proto::ErrorCode;
use tokio::time::sleep;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Counts failures in a row.
pub(crate) struct Retry {
    limit: u32,
    failures: u32,
}

impl Retry {
    /// Allows `limit` failures in a row.
    pub(crate) fn up_to(limit: u32) -> Retry {
        Retry { limit, failures: 0 }
    }

    /// Notes that it went on: the next failure is the first again.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Waits a while before the next try, longer each time. `false` at once if there were too many failures.
    pub(crate) async fn pause(&mut self) -> bool {
        if self.failures >= self.limit {
            return false;
        }
        sleep(self.next_pause()).await;
        self.failures += 1;
        true
    }

    fn next_pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE)
    }
}

/// Whether the same request may succeed a little later.
pub(crate) fn may_pass(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. })
        || matches!(error.code(), Some(ErrorCode::UNAVAILABLE | ErrorCode::BUSY | ErrorCode::LOCKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_an_end_to_it() {
        let mut retry = Retry::up_to(1);
        assert!(retry.pause().await);
        assert!(!retry.pause().await);
        retry.succeeded();
        assert!(retry.pause().await);
        assert!(!Retry::up_to(0).pause().await);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pause = |failures| Retry { limit: u32::MAX, failures }.next_pause();
        assert_eq!(pause(0), FIRST_PAUSE);
        assert_eq!(pause(1), FIRST_PAUSE * 2);
        assert_eq!(pause(30), LONGEST_PAUSE);
    }
}
