//! Sets of byte ranges. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A set of bytes as ranges: sorted, none empty, none touching the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(crate) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// How many bytes are in it.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().cloned()
    }

    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|known| known.end < range.start);
        let last = self.0.partition_point(|known| known.start <= range.end);
        let touched = &self.0[first..last];
        let start = touched.first().map_or(range.start, |known| known.start.min(range.start));
        let end = touched.last().map_or(range.end, |known| known.end.max(range.end));
        self.0.splice(first..last, std::iter::once(start..end));
    }

    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|known| known.end <= range.start);
        let last = self.0.partition_point(|known| known.start < range.end);
        let touched = &self.0[first..last.max(first)];
        let before = touched.first().map(|known| known.start..range.start.max(known.start));
        let behind = touched.last().map(|known| range.end.min(known.end)..known.end);
        let rest: Vec<Range<u64>> =
            before.into_iter().chain(behind).filter(|part| !part.is_empty()).collect();
        self.0.splice(first..last.max(first), rest);
    }

    /// Whether all of these bytes are in it.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.reach(range.start) >= range.end
    }

    /// The first byte from `at` on that is not in it.
    pub(crate) fn reach(&self, at: u64) -> u64 {
        let index = self.0.partition_point(|known| known.end <= at);
        self.0.get(index).filter(|known| known.start <= at).map_or(at, |known| known.end)
    }

    /// The first gap within these bytes.
    pub(crate) fn gap(&self, within: Range<u64>) -> Option<Range<u64>> {
        let start = self.reach(within.start);
        let index = self.0.partition_point(|known| known.start <= start);
        let end = self.0.get(index).map_or(within.end, |known| known.start.min(within.end));
        (start < end).then_some(start..end)
    }
}

impl From<Vec<(u64, u64)>> for Ranges {
    fn from(pairs: Vec<(u64, u64)>) -> Ranges {
        let mut ranges = Ranges::default();
        pairs.into_iter().for_each(|(start, end)| ranges.insert(start..end));
        ranges
    }
}

impl From<Ranges> for Vec<(u64, u64)> {
    fn from(ranges: Ranges) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 40;

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..SIZE as u64, 0..SIZE as u64).prop_map(|(a, b)| a.min(b)..a.max(b))
    }

    proptest! {
        #[test]
        fn it_is_what_a_set_of_bytes_would_be(steps in prop::collection::vec((any::<bool>(), range()), 0..20), asked in range()) {
            let (mut ranges, mut model) = (Ranges::default(), [false; SIZE]);
            for (insert, range) in steps {
                for at in range.clone() {
                    model[at as usize] = insert;
                }
                if insert { ranges.insert(range) } else { ranges.remove(range) }
                let known: Vec<_> = ranges.iter().collect();
                prop_assert!(known.windows(2).all(|pair| pair[0].end < pair[1].start), "{:?}", known);
                prop_assert!(known.iter().all(|range| !range.is_empty()));
            }
            prop_assert_eq!(ranges.total() as usize, model.iter().filter(|is| **is).count());
            let bytes = || asked.clone().map(|at| model[at as usize]);
            prop_assert_eq!(ranges.covers(&asked), bytes().all(|is| is));
            let first = asked.clone().find(|at| !model[*at as usize]);
            let gap = ranges.gap(asked.clone());
            prop_assert_eq!(gap.as_ref().map(|gap| gap.start), first);
            if let Some(gap) = gap {
                prop_assert!(gap.clone().all(|at| !model[at as usize]));
                prop_assert!(gap.end == asked.end || model[gap.end as usize]);
            }
            let text = serde_json::to_string(&ranges).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ranges>(&text).unwrap(), ranges);
        }
    }
}
