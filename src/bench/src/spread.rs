//! What rounds came to.

use serde::Serialize;

/// The middle of the figures of several rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one figure; without any all are NaN.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let (count, last) = (sorted.len(), sorted.len().saturating_sub(1));
        let median = (at(last / 2) + at(count / 2)) / 2.0;
        Spread { median, min: at(0), max: at(last) }
    }

    /// The figures of one side over those of another, round by round: what a machine does to both alike drops out.
    pub(crate) fn of_ratios(
        ours: impl IntoIterator<Item = f64>,
        theirs: impl IntoIterator<Item = f64>,
    ) -> Spread {
        Spread::of(ours.into_iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of([7.0]).median, 7.0);
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        assert_eq!(Spread::of_ratios([10.0, 1.0], [20.0, 2.0]), Spread { median: 0.5, min: 0.5, max: 0.5 });
    }
}
