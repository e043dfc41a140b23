//! Histograms of latencies, in nanoseconds, and how they pass between processes.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

/// Latencies between these are told apart by three digits.
const SHORTEST: u64 = 1_000;
const LONGEST: u64 = 120_000_000_000;

/// No latencies.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(SHORTEST, LONGEST, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are in order"))
}

/// Adds one; what lies outside the bounds counts as the bound.
pub(crate) fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
}

/// The latency that this share of them stays below, in milliseconds.
pub(crate) fn quantile_ms(latencies: &Histogram<u64>, share: f64) -> f64 {
    latencies.value_at_quantile(share) as f64 / 1e6
}

/// Each latency that occurs, and how often.
pub(super) fn counts(latencies: &Histogram<u64>) -> Vec<(u64, u64)> {
    latencies.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
}

/// Adds what [`counts`] told of another one.
///
/// # Errors
/// If a latency is none that it could have told.
pub(super) fn add_counts(latencies: &mut Histogram<u64>, counts: &[(u64, u64)]) -> anyhow::Result<()> {
    for (latency, count) in counts {
        latencies.record_n(*latency, *count).with_context(|| format!("a latency of {latency} ns"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(nanoseconds: &[u64]) -> Histogram<u64> {
        let mut latencies = latencies();
        nanoseconds.iter().for_each(|latency| record(&mut latencies, Duration::from_nanos(*latency)));
        latencies
    }

    proptest! {
        #[test]
        fn what_processes_tell_adds_up_to_what_one_would_have_seen(
            one in prop::collection::vec(0..200_000_000_000u64, 0..50),
            other in prop::collection::vec(0..200_000_000_000u64, 0..50),
        ) {
            let mut merged = latencies();
            add_counts(&mut merged, &counts(&of(&one))).unwrap();
            add_counts(&mut merged, &counts(&of(&other))).unwrap();
            prop_assert_eq!(merged, of(&[one, other].concat()));
        }
    }

    #[test]
    fn counts_of_others_that_make_no_sense_are_refused() {
        assert!(add_counts(&mut latencies(), &[(u64::MAX, 1)]).is_err());
    }
}
