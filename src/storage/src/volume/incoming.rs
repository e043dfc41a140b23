//! A file on its way in: bytes into a temporary name, and made durable.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tnv_common::disk::drop_aside;

use super::StorePath;
use super::appender::Appender;
use super::journal::remove_if_there;
use crate::buffer::{HUGE, LARGE};
use crate::layout::Place;

/// Files from this size on get their blocks in one piece, and learn early that the disk is full.
const PREALLOCATE_FROM: u64 = 1024 * 1024;

/// Bytes being written under a temporary name. Dropped before it is handed over, it removes them. Every method
/// blocks.
#[derive(Debug)]
pub struct Incoming {
    path: Arc<StorePath>,
    place: Place,
    size: u64,
    /// Whether it goes past the page cache.
    is_direct: bool,
    file: Option<Appender>,
    /// The temporary name, once it is there and as long as it is ours to remove.
    temp: Option<PathBuf>,
}

impl Incoming {
    /// A file of `size` bytes that is to lie at `place`. Nothing is written yet.
    pub fn new(path: Arc<StorePath>, place: Place, size: u64) -> Incoming {
        Incoming { is_direct: path.durability().is_direct(size), path, place, size, file: None, temp: None }
    }

    /// Its store path.
    pub fn path(&self) -> &Arc<StorePath> {
        &self.path
    }

    /// How many bytes it wants at a time.
    pub(crate) fn piece(&self) -> usize {
        if self.is_direct { HUGE } else { LARGE }
    }

    /// Appends bytes. The first ones make the file.
    ///
    /// # Errors
    /// I/O errors, a full disk among them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let (file, temp) = create(&self.path, &self.place)?;
                self.temp = Some(temp);
                preallocate(&file, self.size)?;
                self.file.insert(Appender::new(file, self.is_direct))
            }
        };
        file.write(bytes)
    }

    /// Makes bytes and name durable. After this only the row is missing.
    ///
    /// # Errors
    /// I/O errors, and bytes that do not add up to the size.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.write(&[])?;
        }
        if let (Some(file), Some(temp)) = (self.file.take(), self.temp.clone()) {
            if file.len() != self.size {
                let text = format!("{} of {} bytes were written", file.len(), self.size);
                return Err(io::Error::other(text));
            }
            self.path.durability().sync(&[Written { file: file.into_file(), temp }])?;
        }
        Ok(())
    }

    /// Removes what there is, here and now.
    pub(crate) fn remove(mut self) {
        if let Some(temp) = self.temp.take() {
            drop(Unfinished { _file: self.file.take().map(Appender::into_file), temp });
        }
    }

    /// Leaves the bytes where they are: a row may stand for them now. The next start settles what becomes of them.
    pub fn hand_over(mut self) -> (Arc<StorePath>, Place) {
        self.temp = None;
        (self.path.clone(), self.place.clone())
    }
}

/// A whole file under its temporary name, which nothing has made durable yet.
#[derive(Debug)]
pub(crate) struct Written {
    pub(super) file: File,
    pub(super) temp: PathBuf,
}

impl StorePath {
    /// Puts all bytes of a file under the temporary name of its place. Blocks.
    ///
    /// # Errors
    /// I/O errors, a full disk among them; then nothing is left.
    pub(crate) fn write(&self, place: &Place, bytes: &[u8]) -> io::Result<Written> {
        let (mut file, temp) = create(self, place)?;
        match file.write_all(bytes) {
            Ok(()) => Ok(Written { file, temp }),
            Err(error) => {
                drop(Unfinished { _file: Some(file), temp });
                Err(error)
            }
        }
    }
}

/// Makes the file under its temporary name. A place that is taken already is left alone, whoever has it.
fn create(path: &StorePath, place: &Place) -> io::Result<(File, PathBuf)> {
    let temp = path.stage(place)?;
    if path.root().join(place.path()).try_exists()? {
        let text = format!("{} exists already: its number was given twice", place.path());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    Ok((OpenOptions::new().write(true).create_new(true).open(&temp)?, temp))
}

fn preallocate(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    if size < PREALLOCATE_FROM {
        return Ok(());
    }
    match rustix::io::retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, size)) {
        // Not every file system can; the writes will do.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(temp) = self.temp.take() {
            drop_aside(Unfinished { _file: self.file.take().map(Appender::into_file), temp });
        }
    }
}

/// An upload that broke off.
struct Unfinished {
    _file: Option<File>,
    temp: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = remove_if_there(&self.temp) {
            tracing::warn!(path = %self.temp.display(), %error, "cannot remove an unfinished upload");
        }
    }
}
