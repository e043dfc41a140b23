//! A verifier lets a package through and nothing else.

use proptest::prelude::*;
use proptest::sample::Index;
use tnv_package::{Mismatch, Verifier};

use crate::made::{Package, package};

fn verify(package: &Package, bytes: &[u8], piece: usize) -> Result<(), Mismatch> {
    let mut verifier = Verifier::new(&package.layout);
    for piece in bytes.chunks(piece) {
        if let Err(mismatch) = verifier.update(piece) {
            assert_eq!(verifier.update(b""), Err(mismatch.clone()), "it is for good");
            assert_eq!(verifier.finish(), Err(mismatch.clone()));
            return Err(mismatch);
        }
    }
    assert_eq!(verifier.position(), bytes.len() as u64);
    verifier.finish()
}

proptest! {
    #[test]
    fn the_package_passes_in_pieces_of_any_size(package in package(), piece in 1_usize..400) {
        prop_assert_eq!(verify(&package, &package.whole(), piece), Ok(()));
    }

    #[test]
    fn one_other_bit_does_not(package in package(), at in any::<Index>(), bit in 0..8, piece in 1_usize..400) {
        let mut whole = package.whole();
        whole[at.index(package.layout.len() as usize)] ^= 1_u8 << bit;
        prop_assert!(verify(&package, &whole, piece).is_err());
    }

    #[test]
    fn less_or_more_does_not(package in package(), len in any::<Index>(), more in 1_usize..9, piece in 1_usize..400) {
        let (mut whole, len) = (package.whole(), len.index(package.layout.len() as usize));
        let short = Mismatch::TooShort { at: len as u64, len: whole.len() as u64 };
        prop_assert_eq!(verify(&package, &whole[..len], piece), Err(short));
        let long = Mismatch::TooLong { len: whole.len() as u64 };
        whole.extend(vec![0; more]);
        prop_assert_eq!(verify(&package, &whole, piece), Err(long));
    }
}

#[test]
fn a_mismatch_says_where() {
    let package = Package::new(&[("a", b"hello"), ("会", b"hello")]);
    let mut whole = package.whole();
    let at = package.layout.member_range(1).unwrap().start;
    whole[at as usize] = b'j';
    let mismatch = verify(&package, &whole, 7).unwrap_err();
    let found = format!("{:08x}", crc32fast::hash(b"jello"));
    let expected = format!("\"会\" in the package has CRC32 {found}, its manifest says 3610a686");
    assert_eq!(mismatch.to_string(), expected);
    whole[at as usize - 1] ^= 1;
    assert_eq!(verify(&package, &whole, whole.len()), Err(Mismatch::Bytes { at: at - 1 }));
}
