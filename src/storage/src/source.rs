//! An open file that is to be sent: what of it can be had at once, and what only its disk has.
//!
//! Nothing that may wait for a disk is done on the reactor. Where the file system tells what is in memory
//! ([`StorePath::tells_what_is_cached`]), files are opened and read there as far as they are. For the rest there are the
//! methods that say that they block; those who call them hold one of the store path's readers.

use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{Advice, CWD, Mode, OFlags, ResolveFlags, fadvise, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use crate::aside::drop_aside;
use crate::buffer::Buffer;
use crate::layout::Place;
use crate::metrics::StorageMetrics;
use crate::upload::lost;
use crate::volume::StorePath;

/// Between two bytes that are looked at to tell whether what lies between them is in memory. Files come into memory and
/// leave it in larger pieces, mostly.
const SAMPLE: u64 = 64 * 1024;
/// What the system reads in advance when it is told to, at least, whatever the disk.
const ADVANCE: u64 = 128 * 1024;
const PAGE: u64 = 4096;
/// The blocks of a file up to this length are freed in no time, should it have been deleted meanwhile.
const SOON_FREED: u64 = 64 * 1024;

/// An open file of a known length.
#[derive(Debug)]
pub(crate) struct Source {
    /// Until the drop.
    file: Option<File>,
    path: Arc<StorePath>,
    len: u64,
}

impl Source {
    /// Opens the file, if that takes no disk and finds what is expected. `None`: ask [`Source::open`].
    pub(crate) fn open_cached(path: &Arc<StorePath>, place: &Place, len: u64) -> Option<Source> {
        if !path.tells_what_is_cached() {
            return None;
        }
        let name = path.root().join(place.path());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = File::from(openat2(CWD, &name, flags, Mode::empty(), ResolveFlags::CACHED).ok()?);
        let source = Source { file: Some(file), path: path.clone(), len };
        let found = rustix::fs::fstat(source.file()).ok()?.st_size;
        (u64::try_from(found) == Ok(len)).then_some(source)
    }

    /// Opens the file and brings `wanted` into memory.
    ///
    /// # Errors
    /// I/O errors; [`ErrorKind::InvalidData`] where the file is not `len` bytes long.
    pub(crate) async fn open(
        path: Arc<StorePath>,
        place: Place,
        len: u64,
        wanted: Range<u64>,
    ) -> io::Result<Source> {
        let reader = reader(&path).await?;
        let open = move || {
            let source = Source::open_blocking(path, &place, len)?;
            if source.tells_what_is_cached() {
                source.warm_blocking(&wanted, wanted.end)?;
            }
            drop(reader);
            Ok(source)
        };
        spawn_blocking(open).await.map_err(lost)?
    }

    fn open_blocking(path: Arc<StorePath>, place: &Place, len: u64) -> io::Result<Source> {
        let source = Source { file: Some(path.open_file(place)?), path, len };
        let mut found = source.file().metadata()?.len();
        if found != len {
            // What is known here may be of a time when another storage was writing it.
            found = source.path.len_of(source.file())?;
        }
        if found != len {
            let text = format!("the file has {found} bytes, the catalog says {len}");
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        Ok(source)
    }

    /// Whether [`Source::is_cached`] and [`Source::read_cached`] can tell.
    pub(crate) fn tells_what_is_cached(&self) -> bool {
        self.path.tells_what_is_cached()
    }

    /// Whether these bytes are in memory, as far as samples show.
    pub(crate) fn is_cached(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        while at < range.end {
            if !self.read_cached(&mut [0], at) {
                return false;
            }
            at += SAMPLE;
        }
        range.is_empty() || self.read_cached(&mut [0], range.end - 1)
    }

    /// Fills the buffer with what stands at `offset`, if all of it is in memory.
    pub(crate) fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        let len = buffer.len();
        let read = preadv2(self.file(), &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT);
        read == Ok(len)
    }

    /// Brings `wanted` into memory, and has the disk go on from there to `ahead`.
    ///
    /// # Errors
    /// I/O errors; [`ErrorKind::UnexpectedEof`] where the file ends before.
    pub(crate) async fn warm(self: &Arc<Self>, wanted: Range<u64>, ahead: u64) -> io::Result<()> {
        let (source, reader) = (self.clone(), reader(&self.path).await?);
        let warm = move || {
            let outcome = source.warm_blocking(&wanted, ahead);
            drop((source, reader));
            outcome
        };
        spawn_blocking(warm).await.map_err(lost)?
    }

    /// Has the disk read in advance, unless it is busy with what somebody waits for.
    pub(crate) fn read_ahead(self: &Arc<Self>, range: Range<u64>) {
        if let Ok(reader) = self.path.readers().clone().try_acquire_owned() {
            let source = self.clone();
            spawn_blocking(move || {
                source.advise(&range);
                drop((source, reader));
            });
        }
    }

    fn warm_blocking(&self, wanted: &Range<u64>, ahead: u64) -> io::Result<()> {
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
    /// As [`Source::warm`].
    pub(crate) async fn read(
        self: &Arc<Self>,
        mut buffer: Buffer,
        len: usize,
        offset: u64,
    ) -> io::Result<(Buffer, bool)> {
        let (source, reader) = (self.clone(), reader(&self.path).await?);
        let read = move || {
            let bytes = &mut buffer.bytes()[..len];
            let cached = source.tells_what_is_cached() && source.read_cached(bytes, offset);
            let outcome = if cached { Ok(()) } else { source.read_blocking(bytes, offset) };
            drop((source, reader));
            outcome.map(|()| (buffer, !cached))
        };
        spawn_blocking(read).await.map_err(lost)?
    }

    fn read_blocking(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file().read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.ended(),
            _ => error,
        })
    }

    /// The error of a file that has become shorter since it was opened.
    pub(crate) fn ended(&self) -> io::Error {
        let found = self.file().metadata().map_or(0, |metadata| metadata.len());
        let text = format!("the file has {found} bytes left of {}", self.len);
        io::Error::new(ErrorKind::UnexpectedEof, text)
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("only the drop takes it")
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

impl Drop for Source {
    /// The last one to close a deleted file frees its blocks, and a network file system may hang in any close.
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let is_deleted = || rustix::fs::fstat(&file).map_or(true, |stat| stat.st_nlink == 0);
        if !self.path.tells_what_is_cached() || (self.len > SOON_FREED && is_deleted()) {
            drop_aside(file);
        }
    }
}

/// Waits for its turn at the store path's disk.
async fn reader(path: &StorePath) -> io::Result<OwnedSemaphorePermit> {
    let reader = path.readers().clone().acquire_owned().await.map_err(io::Error::other)?;
    StorageMetrics::global().disk_waits.inc();
    Ok(reader)
}

/// Whether an error of reading says that the bytes are not, or no longer, those that were stored.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        || Errno::from_io_error(error) == Some(Errno::IO)
}
