//! The Range header: which bytes of a file of known size are wanted (RFC 9110, section 14). Pure.

use std::fmt;

/// Bytes `start ..= end` of a file: never empty, never outside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// All bytes of a file; `None` where it has none.
    pub fn whole(size: u64) -> Option<ByteRange> {
        size.checked_sub(1).map(|end| ByteRange { start: 0, end })
    }

    /// `len` bytes from `start` on; `None` if there are none, or more than a file can have.
    pub fn new(start: u64, len: u64) -> Option<ByteRange> {
        Some(ByteRange { start, end: start.checked_add(len.checked_sub(1)?)? })
    }

    /// The first byte's offset.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes it has, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        self.end - self.start + 1
    }

    /// The same without its first bytes; `None` if nothing is left.
    pub fn behind(&self, skipped: u64) -> Option<ByteRange> {
        let start = self.start.checked_add(skipped).filter(|start| *start <= self.end)?;
        Some(ByteRange { start, end: self.end })
    }
}

/// As in Content-Range: `0-499`.
impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// What a Range header asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The whole file, as without a Range header: it is not understood, or asks for too many pieces.
    Whole,
    /// These ranges: at least one, no two of them overlapping or adjacent, in the order they were asked for.
    Ranges(Vec<ByteRange>),
    /// Nothing of what is asked for exists (416).
    Unsatisfiable,
}

/// One element of the header, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

/// Applies a Range header to a file of `size` bytes. A header that is not valid in every part is ignored, as
/// are units other than bytes. More than `max_ranges` ranges, counted after merging, give the whole file.
pub fn select(header: &[u8], size: u64, max_ranges: usize) -> Selection {
    let Some(specs) = parse(header) else { return Selection::Whole };
    let ranges = merge(specs.into_iter().filter_map(|spec| resolve(spec, size)).collect());
    if ranges.is_empty() {
        Selection::Unsatisfiable
    } else if ranges.len() > max_ranges {
        Selection::Whole
    } else {
        Selection::Ranges(ranges)
    }
}

fn parse(header: &[u8]) -> Option<Vec<Spec>> {
    let header = std::str::from_utf8(header).ok()?;
    let (unit, set) = header.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Empty list elements are legal, an empty list is not.
    let specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty());
    let specs = specs.map(parse_spec).collect::<Option<Vec<Spec>>>()?;
    (!specs.is_empty()).then_some(specs)
}

fn parse_spec(spec: &str) -> Option<Spec> {
    match spec.split_once('-')? {
        ("", suffix) => Some(Spec::Suffix(number(suffix)?)),
        (first, "") => Some(Spec::From { first: number(first)?, last: None }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From { first, last: Some(last) })
        }
    }
}

/// Digits as a number; one beyond 64 bits becomes the largest there is, for no file is longer.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// What a spec means for a file of this size; `None` if it has no such bytes.
fn resolve(spec: Spec, size: u64) -> Option<ByteRange> {
    let end = size.checked_sub(1)?;
    match spec {
        Spec::Suffix(0) => None,
        Spec::Suffix(len) => Some(ByteRange { start: size.saturating_sub(len), end }),
        Spec::From { first, last } => {
            (first <= end).then(|| ByteRange { start: first, end: last.map_or(end, |last| last.min(end)) })
        }
    }
}

/// Joins overlapping and adjacent ranges. A joined range stands where its earliest part stood.
fn merge(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut sorted: Vec<(usize, ByteRange)> = ranges.into_iter().enumerate().collect();
    sorted.sort_unstable_by_key(|(_, range)| range.start);
    let mut merged: Vec<(usize, ByteRange)> = Vec::with_capacity(sorted.len());
    for (place, range) in sorted {
        match merged.last_mut() {
            // No overflow: `end` lies inside a file.
            Some((earliest, last)) if range.start <= last.end + 1 => {
                last.end = last.end.max(range.end);
                *earliest = place.min(*earliest);
            }
            _ => merged.push((place, range)),
        }
    }
    merged.sort_unstable_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(header: &str, size: u64) -> Option<Vec<(u64, u64)>> {
        match select(header.as_bytes(), size, 8) {
            Selection::Ranges(ranges) => Some(ranges.iter().map(|range| (range.start, range.end)).collect()),
            Selection::Unsatisfiable => Some(Vec::new()),
            Selection::Whole => None,
        }
    }

    #[track_caller]
    fn check(header: &str, size: u64, wanted: &[(u64, u64)]) {
        assert_eq!(ranges(header, size).as_deref(), Some(wanted), "{header} of {size}");
    }

    #[test]
    fn one_range_is_clamped_to_the_file() {
        check("bytes=0-1", 100, &[(0, 1)]);
        check("bytes=0-", 100, &[(0, 99)]);
        check("bytes=99-", 100, &[(99, 99)]);
        check("bytes=0-9999999999", 100, &[(0, 99)]);
        check("bytes=-5", 100, &[(95, 99)]);
        check("bytes=-500", 100, &[(0, 99)]);
        check("Bytes=7-7", 100, &[(7, 7)]);
    }

    #[test]
    fn nothing_that_exists_is_unsatisfiable() {
        for (header, size) in
            [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-1", 0)]
        {
            check(header, size, &[]);
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_clamped() {
        check("bytes=1-99999999999999999999999", 100, &[(1, 99)]);
        check("bytes=-99999999999999999999999", 100, &[(0, 99)]);
        check("bytes=99999999999999999999999-", 100, &[]);
        check("bytes=18446744073709551615-", u64::MAX, &[]);
        check("bytes=0-18446744073709551615,3-", u64::MAX, &[(0, u64::MAX - 1)]);
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for header in [
            "bytes=5-2",
            "bytes=abc",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes",
            "bytes 0-1",
            "bytes=0-1;",
            "bytes=+0-1",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "bytes=0-1,x",
            "bytes=0--1",
            "pages=1-2",
            "",
            "=0-1",
            "bytes=0-1-2",
        ] {
            assert_eq!(ranges(header, 100), None, "{header}");
        }
        assert_eq!(select(b"bytes=0-\xff", 100, 8), Selection::Whole);
    }

    #[test]
    fn several_ranges_are_merged_and_keep_their_order() {
        check("bytes=0-1,5-6", 100, &[(0, 1), (5, 6)]);
        check("bytes=50-59, 0-9", 100, &[(50, 59), (0, 9)]);
        check("bytes=0-5,3-10", 100, &[(0, 10)]);
        check("bytes=0-4,5-9", 100, &[(0, 9)]);
        check("bytes=90-,10-19,-15,20-29", 100, &[(85, 99), (10, 29)]);
        check("bytes=,0-0,\t,2-2,", 100, &[(0, 0), (2, 2)]);
        check("bytes=20-29,0-9,5-25", 100, &[(0, 29)]);
    }

    #[test]
    fn unsatisfiable_ones_of_several_are_left_out() {
        check("bytes=0-1,200-300", 100, &[(0, 1)]);
        check("bytes=200-300,-0", 100, &[]);
    }

    #[test]
    fn too_many_ranges_give_the_whole_file() {
        let header: Vec<String> = (0..9).map(|n| format!("{}-{}", n * 10, n * 10)).collect();
        assert_eq!(select(format!("bytes={}", header.join(",")).as_bytes(), 100, 8), Selection::Whole);
        assert_eq!(
            ranges(&format!("bytes={}", header[..8].join(",")), 100).map(|ranges| ranges.len()),
            Some(8)
        );
        assert_eq!(select(b"bytes=0-0,2-2", 100, 1), Selection::Whole);
        assert_eq!(select(b"bytes=0-0,1-1", 100, 1), select(b"bytes=0-1", 100, 1));
    }

    /// The set of bytes that a spec wants, worked out one byte at a time.
    fn wants(spec: Spec, size: u64, byte: u64) -> bool {
        match spec {
            Spec::From { first, last } => byte >= first && last.is_none_or(|last| byte <= last),
            Spec::Suffix(len) => byte >= size.saturating_sub(len),
        }
    }

    fn any_spec() -> impl Strategy<Value = (String, Spec)> {
        prop_oneof![
            (0..40u64).prop_map(|first| (format!("{first}-"), Spec::From { first, last: None })),
            (0..40u64, 0..40u64).prop_map(|(first, more)| {
                (format!("{first}-{}", first + more), Spec::From { first, last: Some(first + more) })
            }),
            (0..40u64).prop_map(|len| (format!("-{len}"), Spec::Suffix(len))),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_give_ranges_inside_the_file(
            header in prop::collection::vec(any::<u8>(), 0..60),
            size: u64,
        ) {
            if let Selection::Ranges(ranges) = select(&header, size, 8) {
                prop_assert!(!ranges.is_empty());
                prop_assert!(ranges.iter().all(|range| range.start <= range.end && range.end < size));
            }
        }

        #[test]
        fn exactly_the_bytes_asked_for(specs in prop::collection::vec(any_spec(), 1..6), size in 0..50u64) {
            let texts: Vec<&str> = specs.iter().map(|(text, _)| text.as_str()).collect();
            let selected = ranges(&format!("bytes={}", texts.join(",")), size);
            prop_assert!(selected.is_some());
            let selected = selected.unwrap_or_default();
            for byte in 0..size {
                let wanted = specs.iter().any(|(_, spec)| wants(*spec, size, byte));
                let times = selected.iter().filter(|(start, end)| (start..=end).contains(&&byte)).count();
                prop_assert_eq!(times, usize::from(wanted), "byte {} of {:?}", byte, selected);
            }
            for (start, _) in &selected {
                prop_assert!(selected.iter().all(|(_, end)| end + 1 != *start), "adjacent: {:?}", selected);
            }
        }
    }
}
