//! Where each member of a new package comes from. Pure.
//!
//! Members are told by their contents: one that was renamed, or stands there twice, is not fetched again.

use std::collections::HashMap;

/// What a member's bytes are.
pub(crate) type Contents = (u64, blake3::Hash);

/// A place where members may be had without the hub.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// What is there, and where it begins.
    pub(crate) members: Vec<(Contents, u64)>,
}

/// Where a member's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// They are there.
    Kept,
    /// From a source, of which they are a part that begins there.
    Copied { source: usize, at: u64 },
    /// From the hub.
    Fetched,
    /// From another member of the same package, once that has them.
    Like(usize),
}

/// Plans a package with these members, some of which are `kept`. Of several sources the first one that has a member is
/// taken.
pub(crate) fn plan(wanted: &[Contents], kept: impl Fn(usize) -> bool, sources: &[Source]) -> Vec<Origin> {
    let mut held: HashMap<Contents, (usize, u64)> = HashMap::new();
    for (number, source) in sources.iter().enumerate() {
        for (contents, at) in &source.members {
            held.entry(*contents).or_insert((number, *at));
        }
    }
    // A member that is there already is better to copy from than any source.
    let mut first: HashMap<Contents, usize> =
        wanted.iter().enumerate().filter(|(index, _)| kept(*index)).map(|(index, of)| (*of, index)).collect();
    let origin = |(index, contents): (usize, &Contents)| {
        if kept(index) || contents.0 == 0 {
            return Origin::Kept;
        }
        if let Some(like) = first.get(contents) {
            return Origin::Like(*like);
        }
        first.insert(*contents, index);
        match held.get(contents) {
            Some((source, at)) => Origin::Copied { source: *source, at: *at },
            None => Origin::Fetched,
        }
    };
    wanted.iter().enumerate().map(origin).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contents(len: u64, seed: u8) -> Contents {
        (len, blake3::hash(&[seed]))
    }

    #[test]
    fn only_what_is_nowhere_is_fetched() {
        let [a, b, c, d, empty] =
            [(5, 1), (5, 2), (7, 3), (9, 4), (0, 0)].map(|(len, seed)| contents(len, seed));
        let old = Source { members: vec![(a, 100), (c, 200)] };
        let older = Source { members: vec![(c, 10), (d, 20)] };
        let planned = plan(&[a, b, c, d, empty, b, a], |index| index == 6, &[old, older]);
        assert_eq!(
            planned,
            [
                Origin::Like(6),
                Origin::Fetched,
                Origin::Copied { source: 0, at: 200 },
                Origin::Copied { source: 1, at: 20 },
                Origin::Kept,
                Origin::Like(1),
                Origin::Kept,
            ]
        );
    }

    #[test]
    fn the_same_length_is_not_the_same_contents() {
        let old = Source { members: vec![(contents(5, 1), 0), (contents(6, 2), 0)] };
        assert_eq!(plan(&[contents(5, 2)], |_| false, &[old]), [Origin::Fetched]);
    }

    proptest! {
        #[test]
        fn every_member_gets_its_own_contents(
            wanted in prop::collection::vec((0u64..4, 0u8..6), 0..40),
            held in prop::collection::vec(prop::collection::vec((0u64..4, 0u8..6), 0..10), 0..3),
            kept in prop::collection::vec(any::<bool>(), 40),
        ) {
            let wanted: Vec<Contents> = wanted.into_iter().map(|(len, seed)| contents(len, seed)).collect();
            let sources: Vec<Source> = held
                .into_iter()
                .map(|members| Source {
                    members: members
                        .into_iter()
                        .enumerate()
                        .map(|(at, (len, seed))| (contents(len, seed), at as u64))
                        .collect(),
                })
                .collect();
            let planned = plan(&wanted, |index| kept[index], &sources);
            let mut fetched = Vec::new();
            for (index, origin) in planned.iter().enumerate() {
                match *origin {
                    Origin::Kept => prop_assert!(kept[index] || wanted[index].0 == 0),
                    Origin::Copied { source, at } => {
                        prop_assert_eq!(sources[source].members[at as usize].0, wanted[index]);
                    }
                    Origin::Like(other) => {
                        prop_assert_eq!(wanted[other], wanted[index]);
                        prop_assert!(!matches!(planned[other], Origin::Like(_)));
                    }
                    Origin::Fetched => {
                        let held = sources.iter().flat_map(|source| &source.members);
                        prop_assert!(held.into_iter().all(|(contents, _)| *contents != wanted[index]));
                        prop_assert!(!fetched.contains(&wanted[index]));
                        fetched.push(wanted[index]);
                    }
                }
            }
        }
    }
}
