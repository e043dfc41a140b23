//! Which blocks of stored files have been held against their checksums. A block that was right stays right in this process
//! until its file is touched; what is forgotten is read once more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tnv_common::disk::{DiskFile, Stamp};

use crate::catalog::Location;
use crate::layout::Place;
use crate::rows::Entry;
use crate::sums::{BLOCK, Sums};
use crate::volume::StorePath;

/// Which reads of a block are held against its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyReads {
    /// The first one since the process started or the file was touched.
    First,
    /// All.
    Always,
    /// None.
    Never,
}

/// Memory for what is known of files that were read lately, in bytes: 4 bytes for each block.
const MEMORY: u64 = 16 << 20;
/// What is known of a file beside its blocks, in bytes.
const ENTRY: usize = 200;

/// What is known of the files that were read lately.
pub(crate) struct Verified {
    reads: VerifyReads,
    files: moka::sync::Cache<(u32, Place), Arc<Known>>,
}

/// What is known of an open file.
#[derive(Debug)]
pub(crate) struct Known {
    stamp: Stamp,
    size: u64,
    sums: Box<[u32]>,
    /// A bit for each block that was right.
    right: Box<[AtomicU64]>,
}

/// What the blocks of a file are held against before they are sent.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    known: Arc<Known>,
    always: bool,
}

impl Verified {
    pub(crate) fn new(reads: VerifyReads) -> Verified {
        let weigh = |_: &(u32, Place), known: &Arc<Known>| u32::try_from(known.weight()).unwrap_or(u32::MAX);
        Verified { reads, files: moka::sync::Cache::builder().max_capacity(MEMORY).weigher(weigh).build() }
    }

    /// What this file's blocks are to be held against. `None`: nothing, for it is not wanted or not known; in the latter
    /// case `is_missing` is set.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) async fn check(
        &self,
        path: &Arc<StorePath>,
        entry: &Entry,
        source: &DiskFile,
    ) -> io::Result<Lookup> {
        let (Location::Here { .. }, Some(place)) = (&entry.location, entry.place()) else {
            return Ok(Lookup::NotWanted);
        };
        // A shared volume repairs what it holds, and its hosts may see it a moment late.
        if self.reads == VerifyReads::Never
            || path.is_shared()
            || !entry.checksum().is_known()
            || entry.size == 0
        {
            return Ok(Lookup::NotWanted);
        }
        let (stamp, always) = (source.stamp()?, self.reads == VerifyReads::Always);
        let key = (path.index(), place.clone());
        if let Some(known) =
            self.files.get(&key).filter(|known| known.stamp == stamp && known.size == entry.size)
        {
            return Ok(Lookup::Found(Check { known, always }));
        }
        let sums: Box<[u32]> = if entry.size <= BLOCK {
            Box::new([entry.crc32])
        } else {
            let (path, place, size, blake3) = (path.clone(), place.clone(), entry.size, entry.checksum());
            let disk = path.disk().clone();
            match disk.wait_for(move || path.read_sums(&place, size, &blake3)).await? {
                Some(sums) => sums.as_slice().into(),
                None => return Ok(Lookup::Missing),
            }
        };
        Ok(Lookup::Found(self.note(key, stamp, entry.size, sums)))
    }

    /// The same with sums that were made just now.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn learn(
        &self,
        path: &StorePath,
        entry: &Entry,
        source: &DiskFile,
        sums: &Sums,
    ) -> io::Result<Option<Check>> {
        let Some(place) = entry.place() else { return Ok(None) };
        let key = (path.index(), place.clone());
        Ok(Some(self.note(key, source.stamp()?, entry.size, sums.as_slice().into())))
    }

    fn note(&self, key: (u32, Place), stamp: Stamp, size: u64, sums: Box<[u32]>) -> Check {
        let known = Arc::new(Known::new(stamp, size, sums));
        self.files.insert(key, known.clone());
        Check { known, always: self.reads == VerifyReads::Always }
    }
}

/// What came of looking for a file's sums.
#[derive(Debug)]
pub(crate) enum Lookup {
    Found(Check),
    /// There are none, and they should be made.
    Missing,
    /// Nothing is to be verified.
    NotWanted,
}

impl Known {
    fn new(stamp: Stamp, size: u64, sums: Box<[u32]>) -> Known {
        let right = (0..sums.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Known { stamp, size, sums, right }
    }

    fn weight(&self) -> usize {
        ENTRY + self.sums.len() * 4 + self.right.len() * 8
    }
}

impl Check {
    /// The blocks that these bytes lie in, those left out that are known to be right.
    pub(crate) fn open_blocks(&self, range: &std::ops::Range<u64>) -> impl Iterator<Item = usize> + use<> {
        let first = usize::try_from(range.start / BLOCK).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end.div_ceil(BLOCK)).unwrap_or(usize::MAX);
        let end = if range.is_empty() { first } else { end.min(self.known.sums.len()) };
        let (known, always) = (self.known.clone(), self.always);
        (first..end).filter(move |block| always || !known.is_right(*block))
    }

    /// Where a block's bytes are.
    pub(crate) fn bytes_of(&self, block: usize) -> std::ops::Range<u64> {
        let start = block as u64 * BLOCK;
        start..self.known.size.min(start + BLOCK)
    }

    /// Notes that a block is right.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is not, with this CRC32.
    pub(crate) fn compare(&self, block: usize, crc32: u32) -> io::Result<()> {
        let expected = self.known.sums[block];
        if crc32 != expected {
            let text = format!("block {block} has CRC32 {crc32:08x}, not {expected:08x}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.known.right[block / 64].fetch_or(1 << (block % 64), Ordering::Relaxed);
        Ok(())
    }
}

impl Known {
    fn is_right(&self, block: usize) -> bool {
        self.right[block / 64].load(Ordering::Relaxed) & (1 << (block % 64)) != 0
    }
}

/// The sums of a file that is read from its first byte to its last, and whether it is the file. Blocks.
///
/// # Errors
/// I/O errors; [`io::ErrorKind::InvalidData`] if it is not the file with this BLAKE3.
pub(crate) fn take_sums(path: &StorePath, entry: &Entry, place: &Place) -> io::Result<Sums> {
    use std::io::Read;
    let mut file = path.open_file(place)?;
    let (mut digest, mut buffer) = (crate::digest::Digest::default(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            got => digest.update(&buffer[..got]),
        }
    }
    let received = digest.finish();
    if received.blake3 != entry.checksum() {
        let text =
            format!("the bytes have BLAKE3 {}, the catalog says {}", received.blake3, entry.checksum());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(received.sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_was_right_is_not_looked_at_again_unless_all_are() {
        let size = 130 * BLOCK + 5;
        let sums: Box<[u32]> = (0..131).collect();
        let known = Arc::new(Known::new(Stamp::default(), size, sums));
        let first = Check { known: known.clone(), always: false };
        let blocks = |check: &Check, range| check.open_blocks(&range).collect::<Vec<_>>();
        assert_eq!(blocks(&first, 5..5), [0_usize; 0]);
        assert_eq!(blocks(&first, BLOCK - 1..BLOCK + 1), [0, 1]);
        assert_eq!(blocks(&first, BLOCK..2 * BLOCK), [1]);
        assert_eq!(blocks(&first, 129 * BLOCK..size), [129, 130]);
        assert_eq!(first.bytes_of(130), 130 * BLOCK..size);
        first.compare(129, 129).unwrap();
        assert_eq!(first.compare(130, 7).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(blocks(&first, 129 * BLOCK..size), [130]);
        assert_eq!(blocks(&Check { known, always: true }, 129 * BLOCK..size), [129, 130]);
    }
}
