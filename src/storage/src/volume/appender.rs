//! The bytes of a new file, one piece after the other, past the page cache where that is cheaper: the disk then takes them
//! from where the network put them, without a copy, and what others read stays in memory.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::buffer::{ALIGNMENT, LARGE};

/// Pieces from this size on are worth a trip to the disk of their own, in bytes.
const PIECE: usize = LARGE;

/// A file that is written from its beginning. Every method blocks.
#[derive(Debug)]
pub(super) struct Appender {
    file: File,
    offset: u64,
    /// Whether pieces may go past the page cache.
    may_bypass: bool,
    /// Whether they do at the moment.
    is_bypassing: bool,
}

impl Appender {
    /// An empty file; with `may_bypass`, large pieces go past the page cache if its file system lets them.
    pub(super) fn new(file: File, may_bypass: bool) -> Appender {
        Appender { file, offset: 0, may_bypass, is_bypassing: false }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// I/O errors; then nobody knows how many of them were written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while self.may_bypass && rest.len() >= PIECE && self.is_aligned(rest) {
            let whole = rest.len() - rest.len() % ALIGNMENT;
            match self.bypass(&rest[..whole]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // This file system cannot, or wants it otherwise.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => self.may_bypass = false,
                Err(error) => return Err(error),
            }
        }
        if !rest.is_empty() {
            self.set_bypassing(false)?;
            self.file.write_all(rest)?;
            self.offset += rest.len() as u64;
        }
        Ok(())
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> u64 {
        self.offset
    }

    /// The file, with all that was appended.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Whether a disk can take these bytes from where they are to where they go.
    fn is_aligned(&self, bytes: &[u8]) -> bool {
        self.offset.is_multiple_of(ALIGNMENT as u64) && bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
    }

    fn bypass(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.set_bypassing(true)?;
        self.file.write(bytes)
    }

    fn set_bypassing(&mut self, on: bool) -> io::Result<()> {
        if self.is_bypassing != on {
            let mut flags = fcntl_getfl(&self.file)?;
            flags.set(OFlags::DIRECT, on);
            fcntl_setfl(&self.file, flags)?;
            self.is_bypassing = on;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Budget, Buffer};

    /// Pieces of these lengths, as buffers of a transfer hold them.
    fn append(appender: &mut Appender, lens: &[usize]) -> Vec<u8> {
        let budget = Budget::new(64 << 20);
        let mut whole = Vec::new();
        for (n, len) in lens.iter().enumerate() {
            let mut buffer = Buffer::small(0);
            buffer.grow(&budget, *len as u64, *len);
            for (at, byte) in buffer.bytes().iter_mut().enumerate() {
                *byte = (at * 31 + n * 7) as u8;
            }
            whole.extend_from_slice(buffer.filled(*len));
            appender.write(buffer.filled(*len)).unwrap();
        }
        assert_eq!(appender.len(), whole.len() as u64);
        whole
    }

    #[test]
    fn pieces_of_all_lengths_arrive_on_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        for may_bypass in [false, true] {
            let lens = [16 << 10, 1 << 20, LARGE, LARGE + ALIGNMENT, LARGE + 1, LARGE, 4095, 1 << 20];
            let path = folder.path().join(format!("file-{may_bypass}"));
            let mut appender = Appender::new(File::create(&path).unwrap(), may_bypass);
            let whole = append(&mut appender, &lens);
            appender.into_file().sync_all().unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "bypassing: {may_bypass}");
        }
    }

    #[test]
    fn a_file_system_that_cannot_is_written_to_as_ever() {
        // Pipes know packets under that flag, and other files nothing at all.
        let mut appender = Appender::new(File::create("/dev/null").unwrap(), true);
        append(&mut appender, &[1 << 20, LARGE, 5]);
    }
}
