//! Whether bytes that arrive are those of a package.

use bytes::{Buf, Bytes};

use crate::{Layout, Segment, Segments};

/// Holds the bytes of a whole package against its layout as they come by, and tells which part of it is not right as soon
/// as that is over: headers and directory must be the same bytes, and each member must have its CRC32. So the whole has
/// the length and the CRC32 of the layout.
#[derive(Debug, Clone)]
pub struct Verifier {
    layout: Layout,
    segments: Segments,
    part: Part,
    /// How many bytes have come.
    at: u64,
    failed: Option<Mismatch>,
}

#[derive(Debug, Clone)]
enum Part {
    Bytes(Bytes),
    Member { index: usize, left: u64, crc32: crc32fast::Hasher },
    Over,
}

/// Bytes that are not those of the package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// A header, `metadata.json` or the directory is other than it should be.
    #[error("the package differs from its manifest at byte {at}")]
    Bytes {
        /// The first byte that differs.
        at: u64,
    },
    /// A member has other bytes than its manifest says.
    #[error("{path:?} in the package has CRC32 {found:08x}, its manifest says {expected:08x}")]
    Member {
        /// Its index among the members.
        index: usize,
        /// Its path.
        path: String,
        /// What the manifest says.
        expected: u32,
        /// What its bytes have.
        found: u32,
    },
    /// There is more than the package has.
    #[error("there are bytes behind the {len} of the package")]
    TooLong {
        /// The length of the package.
        len: u64,
    },
    /// There is less than the package has.
    #[error("the package ends at byte {at} of {len}")]
    TooShort {
        /// Where it ends.
        at: u64,
        /// The length of the package.
        len: u64,
    },
}

impl Verifier {
    /// Begins at the first byte.
    pub fn new(layout: &Layout) -> Verifier {
        let mut segments = layout.segments(0..layout.len());
        Verifier { layout: layout.clone(), part: next_part(&mut segments), segments, at: 0, failed: None }
    }

    /// Takes the next bytes, of any length.
    ///
    /// # Errors
    /// [`Mismatch`] if they, with those before, cannot be of the package. It is then for good.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let result = match self.failed.take() {
            Some(mismatch) => Err(mismatch),
            None => self.take(bytes),
        };
        self.failed = result.clone().err();
        result
    }

    /// How many bytes have come and were not found wrong.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Whether all of the package has come, and nothing else.
    ///
    /// # Errors
    /// What [`update`](Self::update) said, or [`Mismatch::TooShort`].
    pub fn finish(self) -> Result<(), Mismatch> {
        let (at, len) = (self.at, self.layout.len());
        match self.failed {
            Some(mismatch) => Err(mismatch),
            None if at < len => Err(Mismatch::TooShort { at, len }),
            None => Ok(()),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Mismatch> {
        while !bytes.is_empty() {
            let taken = match &mut self.part {
                Part::Bytes(expected) => take_equal(expected, bytes, self.at)?,
                Part::Member { left, crc32, .. } => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    crc32.update(bytes.get(..taken).unwrap_or_default());
                    *left -= taken as u64;
                    taken
                }
                Part::Over => return Err(Mismatch::TooLong { len: self.layout.len() }),
            };
            self.end_part()?;
            self.at += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Goes on to the next part if this one is over and right.
    fn end_part(&mut self) -> Result<(), Mismatch> {
        match &self.part {
            Part::Bytes(expected) if expected.is_empty() => {}
            Part::Member { index, left: 0, crc32 } => self.check_member(*index, crc32.clone().finalize())?,
            _ => return Ok(()),
        }
        self.part = next_part(&mut self.segments);
        Ok(())
    }

    fn check_member(&self, index: usize, found: u32) -> Result<(), Mismatch> {
        match self.layout.manifest().members().get(index) {
            Some(member) if member.crc32 != found => {
                let path = member.path.as_str().to_owned();
                Err(Mismatch::Member { index, path, expected: member.crc32, found })
            }
            _ => Ok(()),
        }
    }
}

fn next_part(segments: &mut Segments) -> Part {
    match segments.next() {
        Some(Segment::Bytes(bytes)) => Part::Bytes(bytes),
        Some(Segment::Member { index, len, .. }) => {
            Part::Member { index, left: len, crc32: crc32fast::Hasher::new() }
        }
        None => Part::Over,
    }
}

/// Takes off `expected` what `bytes` begins with, and tells how much that is.
fn take_equal(expected: &mut Bytes, bytes: &[u8], at: u64) -> Result<usize, Mismatch> {
    let same = expected.iter().zip(bytes).take_while(|(one, other)| one == other).count();
    if same < expected.len().min(bytes.len()) {
        return Err(Mismatch::Bytes { at: at + same as u64 });
    }
    expected.advance(same);
    Ok(same)
}
