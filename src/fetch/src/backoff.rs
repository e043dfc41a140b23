//! How long a source that failed is left alone. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// The pause after so many failures in a row, at least one: doubled each time, and shortened by up to a half, so that
/// clients that failed together do not come back together. `jitter` is from 0 to 1.
pub(crate) fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(12)).min(LONGEST);
    doubled.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

/// The pause where the server has said how long: no shorter, and no longer than `cap`, for a server may say years.
pub(crate) fn asked_pause(own: Duration, asked: Option<Duration>, cap: Duration) -> Duration {
    asked.map_or(own, |asked| asked.min(cap).max(own))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(pause(1, 0.0), FIRST);
        assert_eq!(pause(2, 0.0), FIRST * 2);
        assert_eq!(pause(3, 1.0), FIRST * 2);
        assert_eq!(pause(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn the_server_is_listened_to_within_reason() {
        let seconds = Duration::from_secs;
        assert_eq!(asked_pause(FIRST, None, seconds(60)), FIRST);
        assert_eq!(asked_pause(FIRST, Some(seconds(7)), seconds(60)), seconds(7));
        assert_eq!(asked_pause(FIRST, Some(seconds(7_000)), seconds(60)), seconds(60));
        assert_eq!(asked_pause(FIRST, Some(seconds(0)), seconds(60)), FIRST);
    }

    proptest! {
        #[test]
        fn a_pause_is_within_its_bounds(failures: u32, jitter in -1.0..2.0) {
            prop_assert!((FIRST / 2..=LONGEST).contains(&pause(failures, jitter)));
        }
    }
}
