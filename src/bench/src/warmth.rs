//! Memory that costs the same for everybody.
//!
//! A virtual machine gives memory that is free for a while back to its host. Whoever touches it next pays for getting
//! it again: seconds of CPU for each GiB, as much as all else that is measured here, and a disk seems ten times slower
//! behind it. A server that has run for a day has its memory full of cached files and pays nothing. So the free memory
//! is filled with the empty pages of a file that has none of its own on the disk; whatever needs memory takes
//! those, which the system has at hand.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;

use crate::memory;

/// What stays free: the system begins to look for memory before there is none left. In bytes.
const LEFT: u64 = 256 << 20;
/// Less than this is not worth a look, in bytes.
const WORTHWHILE: u64 = 64 << 20;
/// As long as some file systems let a file be, in bytes. It takes no room.
const LEN: u64 = 1 << 40;
/// What is read at once, in bytes.
const READ: usize = 1 << 20;

/// Fills free memory.
pub(crate) struct Warmth {
    file: File,
    /// How far it was read.
    read: u64,
}

impl Warmth {
    /// With an empty file that has no name, in a folder of the file system that is measured.
    ///
    /// # Errors
    /// If that cannot be had.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Warmth> {
        let file = tempfile::tempfile_in(folder).context("cannot make a file")?;
        file.set_len(LEN).context("cannot make a file of 1 TiB without contents")?;
        Ok(Warmth { file, read: 0 })
    }

    /// Fills what is free now. Blocks.
    ///
    /// # Errors
    /// If the system does not say how much is free, or the file cannot be read.
    pub(crate) fn fill(&mut self) -> anyhow::Result<()> {
        let free = memory::free()?.saturating_sub(LEFT);
        if free >= WORTHWHILE {
            self.touch(free).context("cannot fill the free memory")?;
        }
        Ok(())
    }

    fn touch(&mut self, bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        let end = self.read + bytes;
        while self.read < end {
            match (&self.file).read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.read += count as u64,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_on_where_it_stopped_and_takes_no_room() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let mut warmth = Warmth::of(folder.path()).unwrap();
        warmth.touch(3 << 20).unwrap();
        warmth.touch(1).unwrap();
        assert_eq!(warmth.read, 4 << 20);
        assert_eq!(warmth.file.metadata().unwrap().blocks(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
