//! What files hold: the same bytes in every process, made anew wherever they are needed.

use std::ops::Range;
use std::sync::LazyLock;

use anyhow::bail;

/// The bytes repeat after so many. It is a prime, so that no block of a usual size comes twice in a file at places that
/// could be mistaken for each other.
const PERIOD: usize = 1_048_573;

/// One period, and as much again, so that every piece of up to a period lies in one slice.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // SplitMix64: neither a text nor a film, so nobody looks into it for long.
    let word = |n: u64| {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    let period: Vec<u8> = (1..).flat_map(word).take(PERIOD).collect();
    period.repeat(2)
});

/// The bytes of a file from `offset` on: as many as lie in one slice, at most `at_most` and at least one.
pub(crate) fn piece(offset: u64, at_most: u64) -> &'static [u8] {
    let begin = (offset % PERIOD as u64) as usize;
    let length = at_most.min(PERIOD as u64) as usize;
    &BYTES[begin..begin + length]
}

/// The whole of a small file.
pub(crate) fn whole(size: usize) -> Vec<u8> {
    pieces(size as u64).flatten().copied().collect()
}

/// The whole of any file, in pieces of up to a megabyte.
pub(crate) fn pieces(size: u64) -> impl Iterator<Item = &'static [u8]> {
    pieces_of(0..size)
}

/// What such files hold at `range`, in pieces of up to a megabyte.
pub(crate) fn pieces_of(range: Range<u64>) -> impl Iterator<Item = &'static [u8]> {
    let mut offset = range.start;
    std::iter::from_fn(move || {
        let next = (offset < range.end).then(|| piece(offset, range.end - offset))?;
        offset += next.len() as u64;
        Some(next)
    })
}

/// Whether these are the bytes of a file from `offset` on.
///
/// # Errors
/// If not.
pub(crate) fn check(offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let expected = piece(offset + done as u64, (bytes.len() - done) as u64);
        if bytes[done..done + expected.len()] != *expected {
            bail!("wrong bytes behind offset {}", offset + done as u64);
        }
        done += expected.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole() {
        let size = 2 * PERIOD + 12_345;
        let all = whole(size);
        assert_eq!(all.len(), size);
        assert_eq!(piece(PERIOD as u64 - 3, 10), &all[PERIOD - 3..PERIOD + 7]);
        check(0, &all).unwrap();
        check(777, &all[777..]).unwrap();
        assert_eq!(pieces_of(777..size as u64).collect::<Vec<_>>().concat(), all[777..]);
    }

    #[test]
    fn a_byte_that_differs_or_moved_is_seen() {
        let mut all = whole(70_000);
        assert!(check(1, &all).is_err());
        all[69_999] ^= 1;
        assert!(check(0, &all).is_err());
    }
}
