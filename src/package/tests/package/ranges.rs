//! Any range of a package is made of what it should be.

use proptest::prelude::*;
use proptest::sample::Index;
use tnv_package::{Layout, Manifest, Segment};

use crate::made::{Package, meeting, member, member_of_zeros, package};

proptest! {
    #[test]
    fn length_and_crc32_are_known_before(package in package()) {
        let whole = package.whole();
        prop_assert_eq!(whole.len() as u64, package.layout.len());
        prop_assert_eq!(crc32fast::hash(&whole), package.layout.crc32());
    }

    #[test]
    fn ranges_beside_each_other_are_the_whole(package in package(), cuts in prop::collection::vec(any::<Index>(), 0..8)) {
        let len = package.layout.len();
        let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut.index(len as usize) as u64).chain([0, len]).collect();
        cuts.sort_unstable();
        let joined: Vec<u8> = cuts.windows(2).flat_map(|pair| package.read(pair[0]..pair[1])).collect();
        prop_assert_eq!(joined, package.whole());
    }

    #[test]
    fn a_range_is_a_slice(package in package(), from in any::<Index>(), to in any::<Index>()) {
        let whole = package.whole();
        let (from, to) = (from.index(whole.len()), to.index(whole.len() + 1));
        let expected = whole.get(from..to).unwrap_or_default();
        prop_assert_eq!(package.read(from as u64..to as u64), expected);
    }

    #[test]
    fn every_member_is_where_it_is_said_to_be(package in package()) {
        let whole = package.whole();
        for (index, file) in package.files.iter().enumerate() {
            let range = package.layout.member_range(index).unwrap();
            prop_assert_eq!(&whole[range.start as usize..range.end as usize], file);
        }
        prop_assert_eq!(package.layout.member_range(package.files.len()), None);
    }
}

#[test]
fn every_single_byte_can_be_asked_for() {
    let package = Package::new(&[("空.txt", b""), ("a/b.txt", b"hello"), ("c", b"x")]);
    let whole = package.whole();
    for (at, byte) in whole.iter().enumerate() {
        assert_eq!(package.read(at as u64..at as u64 + 1), [*byte]);
    }
}

#[test]
fn what_lies_behind_the_end_is_left_out() {
    let package = Package::new(&[("a", b"hello")]);
    let len = package.layout.len();
    assert_eq!(package.read(0..u64::MAX), package.whole());
    assert_eq!(package.read(len - 1..len + 100).len(), 1);
    for empty in [len..len + 1, len..len, 5..5, u64::MAX..u64::MAX] {
        assert_eq!(package.layout.segments(empty).next(), None);
    }
    let (from, to) = (7, 3);
    assert_eq!(package.layout.segments(from..to).next(), None);
}

#[test]
fn members_are_never_copied_and_the_directory_comes_in_pieces() {
    let members = (0..70_000).map(|n| member_of_zeros(&n.to_string(), &format!("会议/{n}.txt"), n % 3));
    let layout = Layout::of(&Manifest::new(meeting(), members.collect()).unwrap());
    let pieces = layout.segments(layout.metadata().len() as u64 + 43..layout.len());
    let largest = pieces.map(|piece| match piece {
        Segment::Bytes(bytes) => bytes.len(),
        Segment::Member { .. } => 0,
    });
    assert!(largest.max().unwrap() < (64 << 10) + 128);
}

#[test]
fn the_metadata_is_not_copied() {
    let manifest = Manifest::new(meeting(), vec![member("1", "a", b"x")]).unwrap();
    let layout = Layout::of(&manifest);
    let Some(Segment::Bytes(piece)) = layout.segments(43..layout.len()).next() else { panic!("no bytes") };
    assert_eq!((piece.as_ptr(), piece.len()), (layout.metadata().as_ptr(), layout.metadata().len()));
}
