//! What has come of a file, piece by piece. Pure.
//!
//! A piece is what is verified as one where its hash is known, and else only the unit that work is divided by. Bytes are
//! *received* when a source has given them, *written* when they are in the file, and *good* when they are written and
//! nothing is to be verified any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tnv_metalink::{Hash, Pieces};

use crate::ranges::Ranges;
use crate::roster::SourceId;

/// The smallest piece of a file without piece hashes, in bytes, and how many pieces such a file has at most.
const PIECE: u64 = 1024 * 1024;
const MAX_PIECES: u64 = 16 * 1024;

/// The pieces of a file of known size.
#[derive(Debug)]
pub(crate) struct PieceMap {
    size: u64,
    length: u64,
    hashes: Option<Pieces>,
    received: Ranges,
    written: Ranges,
    good: Ranges,
    /// Who gave bytes of a piece that is to be verified.
    givers: BTreeMap<u64, BTreeSet<SourceId>>,
    /// Pieces that were bad and of several sources: now one source must give all of it, so that it is known whose they are.
    alone: BTreeSet<u64>,
}

/// What a verified piece tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// It must come again. The one source that gave it, if it was one.
    Bad(Option<SourceId>),
}

/// A piece that has come in full and is to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) index: u64,
    pub(crate) range: Range<u64>,
    pub(crate) hash: Hash,
}

impl PieceMap {
    /// Nothing has come yet. Hashes that do not fit the size are of no use and left out.
    pub(crate) fn new(size: u64, hashes: Option<Pieces>) -> PieceMap {
        let hashes = hashes.filter(|hashes| hashes.fits(size));
        let spread = size.div_ceil(MAX_PIECES).next_power_of_two().max(PIECE);
        let length = hashes.as_ref().map_or(spread, Pieces::length);
        PieceMap {
            size,
            length,
            hashes,
            received: Ranges::default(),
            written: Ranges::default(),
            good: Ranges::default(),
            givers: BTreeMap::new(),
            alone: BTreeSet::new(),
        }
    }

    /// Takes in what an earlier process has written, and tells which pieces of it are to be verified.
    pub(crate) fn restore(&mut self, written: &Ranges) -> Vec<Check> {
        for range in written.iter().filter(|range| range.end <= self.size) {
            self.received.insert(range.clone());
            self.written.insert(range);
        }
        if self.hashes.is_none() {
            self.good = self.written.clone();
            return Vec::new();
        }
        // Of a piece that is not whole only the beginning counts, where the next bytes go.
        for index in 0..self.size.div_ceil(self.length) {
            let piece = self.piece(index);
            let reach = self.received.reach(piece.start).min(piece.end);
            self.received.remove(reach..piece.end);
            self.written.remove(reach..piece.end);
            if reach > piece.start {
                self.givers.entry(index).or_default().insert(SourceId::EARLIER);
            }
        }
        (0..self.size.div_ceil(self.length)).filter_map(|index| self.check(index)).collect()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The length of a piece in bytes; the last one may be shorter.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn has_hashes(&self) -> bool {
        self.hashes.is_some()
    }

    /// How many bytes have come and were not found bad.
    pub(crate) fn come(&self) -> u64 {
        self.received.total()
    }

    /// What is in the file, verified or not.
    pub(crate) fn written(&self) -> &Ranges {
        &self.written
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.good.total() == self.size
    }

    /// The first bytes from `from` on that nobody has given.
    pub(crate) fn gap(&self, from: u64) -> Option<Range<u64>> {
        self.received.gap(from..self.size)
    }

    /// The first beginning of a piece at or behind this byte.
    pub(crate) fn boundary(&self, at: u64) -> u64 {
        at.div_ceil(self.length).saturating_mul(self.length).min(self.size)
    }

    /// Where `source` must begin to give the bytes from `at` on: at the beginning of the piece where it must give all of
    /// it. What others gave of that piece is forgotten.
    pub(crate) fn begin(&mut self, source: SourceId, at: u64) -> u64 {
        let index = at / self.length;
        let mine = || [source].into();
        if !self.alone.contains(&index) || self.givers.get(&index).is_none_or(|givers| *givers == mine()) {
            return at;
        }
        let piece = self.piece(index);
        self.forget(piece.clone());
        piece.start
    }

    /// Takes bytes of `source` that nobody has given before, and tells which pieces are whole now and to be verified.
    pub(crate) fn receive(&mut self, source: SourceId, range: Range<u64>) -> Vec<Check> {
        self.received.insert(range.clone());
        if self.hashes.is_none() || range.is_empty() {
            return Vec::new();
        }
        let pieces = range.start / self.length..=(range.end - 1) / self.length;
        for index in pieces.clone() {
            self.givers.entry(index).or_default().insert(source);
        }
        pieces.filter_map(|index| self.check(index)).collect()
    }

    /// Notes that received bytes are in the file. Those that were withdrawn meanwhile do not count.
    pub(crate) fn write(&mut self, range: Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let reach = self.received.reach(at).min(range.end);
            if self.hashes.is_none() {
                self.good.insert(at..reach);
            }
            self.written.insert(at..reach);
            at = self.received.gap(reach..range.end).map_or(range.end, |gap| gap.end);
        }
    }

    /// Notes what the verification of a piece has found.
    pub(crate) fn verify(&mut self, index: u64, matches: bool) -> Verdict {
        let piece = self.piece(index);
        let givers = self.givers.remove(&index).unwrap_or_default();
        if matches {
            self.good.insert(piece);
            self.alone.remove(&index);
            return Verdict::Good;
        }
        self.forget(piece);
        let mut givers = givers.into_iter();
        match (givers.next(), givers.next()) {
            (Some(only), None) if only != SourceId::EARLIER => Verdict::Bad(Some(only)),
            _ => {
                self.alone.insert(index);
                Verdict::Bad(None)
            }
        }
    }

    /// These bytes must come again, as far as no hash has proved them.
    pub(crate) fn withdraw(&mut self, range: Range<u64>) {
        if self.hashes.is_none() {
            return self.forget(range);
        }
        let mut at = range.start;
        while at < range.end {
            let piece = self.piece(at / self.length);
            // A piece that is whole is verified in any case. What is left of another one must be its beginning.
            if !self.received.covers(&piece) {
                self.forget(at..piece.end);
            }
            at = piece.end;
        }
    }

    /// Everything must come again.
    pub(crate) fn clear(&mut self) {
        self.forget(0..self.size);
        self.givers.clear();
    }

    fn forget(&mut self, range: Range<u64>) {
        self.received.remove(range.clone());
        self.written.remove(range.clone());
        self.good.remove(range.clone());
        if !range.is_empty() {
            let whole = |index: &u64| range.start <= self.piece(*index).start;
            let gone: Vec<u64> = self
                .givers
                .range(range.start / self.length..=(range.end - 1) / self.length)
                .map(|(index, _)| *index)
                .filter(whole)
                .collect();
            gone.iter().for_each(|index| drop(self.givers.remove(index)));
        }
    }

    fn check(&self, index: u64) -> Option<Check> {
        let range = self.piece(index);
        let hash = self.hashes.as_ref()?.get(index)?;
        (self.received.covers(&range) && !self.good.covers(&range)).then_some(Check { index, range, hash })
    }

    fn piece(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.length).min(self.size);
        start..start.saturating_add(self.length).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tnv_metalink::Algorithm;

    use super::*;

    const A: SourceId = SourceId(0);
    const B: SourceId = SourceId(1);

    fn hashed(size: u64, length: u64) -> PieceMap {
        let mut pieces = Pieces::new(Algorithm::Md5, length);
        for index in 0..size.div_ceil(length) {
            pieces.push(&Hash::new(Algorithm::Md5, [index as u8; 16]).unwrap());
        }
        PieceMap::new(size, Some(pieces))
    }

    fn indexes(checks: &[Check]) -> Vec<u64> {
        checks.iter().map(|check| check.index).collect()
    }

    #[test]
    fn a_bad_piece_of_one_source_is_its_own() {
        let mut map = hashed(25, 10);
        assert_eq!(indexes(&map.receive(A, 0..12)), [0]);
        map.write(0..12);
        assert_eq!(map.verify(0, false), Verdict::Bad(Some(A)));
        assert_eq!(map.gap(0), Some(0..10));
        assert_eq!(map.gap(10), Some(12..25));
        assert_eq!(indexes(&map.receive(B, 0..10)), [0]);
        assert_eq!(map.verify(0, true), Verdict::Good);
        assert_eq!(indexes(&map.receive(B, 12..25)), [1, 2]);
        assert_eq!(map.verify(2, true), Verdict::Good);
        assert!(!map.is_complete());
    }

    #[test]
    fn a_bad_piece_of_two_comes_again_from_one() {
        let mut map = hashed(20, 10);
        map.receive(A, 0..4);
        assert_eq!(map.begin(B, 4), 4);
        assert_eq!(indexes(&map.receive(B, 4..10)), [0]);
        assert_eq!(map.verify(0, false), Verdict::Bad(None));
        // A begins, stops in the middle, and B may not go on there.
        assert_eq!(map.begin(A, 0), 0);
        map.receive(A, 0..6);
        assert_eq!(map.begin(A, 6), 6);
        assert_eq!(map.begin(B, 6), 0);
        assert_eq!(map.gap(0), Some(0..20));
        assert_eq!(indexes(&map.receive(B, 0..10)), [0]);
        assert_eq!(map.verify(0, false), Verdict::Bad(Some(B)));
    }

    #[test]
    fn what_was_there_before_is_verified_again_and_nobodys_fault() {
        let mut map = hashed(30, 10);
        let written = Ranges::from(vec![(0, 14), (17, 20), (20, 30)]);
        assert_eq!(indexes(&map.restore(&written)), [0, 2]);
        assert_eq!(map.verify(0, false), Verdict::Bad(None));
        assert_eq!(map.verify(2, true), Verdict::Good);
        assert_eq!(map.gap(10), Some(14..20));
        let mut plain = PieceMap::new(30, None);
        assert_eq!(plain.restore(&written), []);
        assert_eq!((plain.come(), plain.gap(0)), (27, Some(14..17)));
        plain.receive(A, 14..17);
        plain.write(14..17);
        assert!(plain.is_complete());
        plain.withdraw(14..16);
        assert_eq!(plain.gap(0), Some(14..16));
    }

    #[test]
    fn proved_bytes_are_not_withdrawn() {
        let mut map = hashed(30, 10);
        map.receive(A, 0..17);
        map.verify(0, true);
        map.withdraw(0..17);
        assert_eq!(map.gap(0), Some(10..30));
        map.receive(B, 10..15);
        map.receive(A, 15..20);
        assert_eq!(map.verify(1, false), Verdict::Bad(None));
        map.clear();
        assert_eq!((map.come(), map.gap(0)), (0, Some(0..30)));
    }

    #[test]
    fn an_empty_file_is_complete() {
        assert!(PieceMap::new(0, None).is_complete());
        assert_eq!(PieceMap::new(0, None).gap(0), None);
        assert_eq!(PieceMap::new(1 << 50, None).length(), 1 << 36);
    }

    proptest! {
        /// Whatever sources give, in whatever order, with some of it bad: the map ends complete, and every piece that
        /// counts as good was verified behind its last byte.
        #[test]
        fn it_ends_whole(
            size in 1_u64..100,
            length in 1_u64..20,
            steps in prop::collection::vec((0_usize..3, 1_u64..15, any::<bool>()), 0..80),
        ) {
            let mut map = hashed(size, length);
            let honest = (0..200).map(|_| (2, 9, true));
            for (source, count, matches) in steps.into_iter().chain(honest) {
                let Some(gap) = map.gap(0) else { break };
                let start = map.begin(SourceId(source), gap.start);
                prop_assert!(start <= gap.start);
                let gap = map.gap(start).unwrap();
                let range = gap.start..gap.end.min(gap.start + count);
                let checks = map.receive(SourceId(source), range.clone());
                map.write(range);
                for check in checks {
                    map.verify(check.index, matches);
                }
            }
            prop_assert!(map.is_complete());
            prop_assert_eq!(map.come(), size);
            prop_assert_eq!(map.written().total(), size);
        }
    }
}
