//! An open file that is to be sent.

use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use super::{Disk, drop_aside};

/// Between two bytes that are looked at to tell whether what lies between them is in memory. Files come into memory and
/// leave it in larger pieces, mostly.
const SAMPLE: u64 = 64 * 1024;
/// What the system reads in advance when it is told to, at least, whatever the disk.
const ADVANCE: u64 = 128 * 1024;
const PAGE: u64 = 4096;
/// The blocks of a file up to this length are freed in no time, should it have been deleted meanwhile.
const SOON_FREED: u64 = 64 * 1024;

/// Which bytes a file has: another stamp means that it was written to, or is another file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    /// When it was last written to: seconds and nanoseconds since 1970.
    modified: (i64, i64),
}

/// An open file of a known length.
#[derive(Debug)]
pub struct DiskFile {
    /// Until the drop.
    file: Option<File>,
    len: u64,
    disk: Disk,
}

impl DiskFile {
    /// A file of `len` bytes on this disk.
    pub fn new(file: File, len: u64, disk: Disk) -> DiskFile {
        DiskFile { file: Some(file), len, disk }
    }

    /// Its length in bytes, as it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it had no bytes then.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Which bytes it has now.
    ///
    /// # Errors
    /// I/O errors.
    pub fn stamp(&self) -> io::Result<Stamp> {
        let metadata = self.file().metadata()?;
        Ok(Stamp { inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }

    /// Where it lies.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether these bytes are in memory, as far as samples show.
    pub fn is_cached(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        while at < range.end {
            if !self.read_cached(&mut [0], at) {
                return false;
            }
            at += SAMPLE;
        }
        range.is_empty() || self.read_cached(&mut [0], range.end - 1)
    }

    /// Fills the buffer with what stands at `offset`, if all of it is in memory and the disk tells so.
    pub fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        let len = buffer.len();
        self.disk.tells_what_is_cached()
            && preadv2(self.file(), &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) == Ok(len)
    }

    /// Brings `wanted` into memory, and has the disk go on from there to `ahead`.
    ///
    /// # Errors
    /// I/O errors; [`ErrorKind::UnexpectedEof`] where the file ends before.
    pub async fn warm(self: &Arc<Self>, wanted: Range<u64>, ahead: u64) -> io::Result<()> {
        let file = self.clone();
        self.disk.wait_for(move || file.warm_blocking(&wanted, ahead)).await
    }

    /// Has the disk read in advance, unless it is busy with what somebody waits for.
    pub fn read_ahead(self: &Arc<Self>, range: Range<u64>) {
        if let Ok(reader) = self.disk.readers().clone().try_acquire_owned() {
            let file = self.clone();
            drop(self.disk.work_with(reader, move || file.advise(&range)));
        }
    }

    /// As [`DiskFile::warm`], for those who may wait.
    ///
    /// # Errors
    /// The same.
    pub fn warm_blocking(&self, wanted: &Range<u64>, ahead: u64) -> io::Result<()> {
        self.advise(&(wanted.start..ahead.max(wanted.end)));
        let mut at = wanted.start;
        while at < wanted.end {
            self.read_blocking(&mut [0], at)?;
            at = (at / PAGE + 1) * PAGE;
        }
        Ok(())
    }

    /// The system takes no more than its own read-ahead at a time, and leaves out the rest.
    fn advise(&self, range: &Range<u64>) {
        let mut at = range.start;
        while let Some(len) = NonZero::new(range.end.saturating_sub(at).min(ADVANCE)) {
            // Only advice: whoever reads finds out what is wrong.
            let _ = fadvise(self.file(), at, Some(len), Advice::WillNeed);
            at += len.get();
        }
    }

    /// Fills the first `len` bytes of the buffer, wherever theirs are. Returns the buffer, and whether they were not in
    /// memory.
    ///
    /// # Errors
    /// As [`DiskFile::warm`].
    pub async fn read<B>(self: &Arc<Self>, mut buffer: B, len: usize, offset: u64) -> io::Result<(B, bool)>
    where
        B: AsMut<[u8]> + Send + 'static,
    {
        let file = self.clone();
        let read = move || {
            let bytes = &mut buffer.as_mut()[..len];
            let cached = file.read_cached(bytes, offset);
            let outcome = if cached { Ok(()) } else { file.read_blocking(bytes, offset) };
            outcome.map(|()| (buffer, !cached))
        };
        self.disk.wait_for(read).await
    }

    /// Fills the buffer with what stands at `offset`. What had to come from the disk leaves memory again, where others may
    /// want the room. Blocks.
    ///
    /// # Errors
    /// As [`DiskFile::warm`].
    pub fn read_aside(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_cached(buffer, offset) {
            return Ok(());
        }
        self.read_blocking(buffer, offset)?;
        // Only advice.
        let _ = fadvise(self.file(), offset, NonZero::new(buffer.len() as u64), Advice::DontNeed);
        Ok(())
    }

    fn read_blocking(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file().read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.ended(),
            _ => error,
        })
    }

    /// The error of a file that has become shorter since it was opened.
    pub fn ended(&self) -> io::Error {
        let found = self.file().metadata().map_or(0, |metadata| metadata.len());
        let text = format!("the file has {found} bytes left of {}", self.len);
        io::Error::new(ErrorKind::UnexpectedEof, text)
    }

    /// The file, for those who may wait for its disk.
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("only the drop takes it")
    }
}

impl AsFd for DiskFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

impl Drop for DiskFile {
    /// The last one to close a deleted file frees its blocks, and a network file system may hang in any close.
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let is_deleted = || rustix::fs::fstat(&file).map_or(true, |stat| stat.st_nlink == 0);
        if !self.disk.tells_what_is_cached() || (self.len > SOON_FREED && is_deleted()) {
            drop_aside(file);
        }
    }
}
