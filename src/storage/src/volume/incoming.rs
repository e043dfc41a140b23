//! A file on its way in: bytes into a temporary name, checksums in passing, and made durable.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tnv_common::disk::drop_aside;
use tnv_proto::Checksum;

use super::StorePath;
use super::journal::remove_if_there;
use crate::content_type::sniff;
use crate::layout::Place;

/// Files from this size on get their blocks in one piece, and learn early that the disk is full.
const PREALLOCATE_FROM: u64 = 1024 * 1024;

/// What is known of a file that has come in whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The CRC32 (IEEE) of its bytes.
    pub crc32: u32,
    /// The BLAKE3 of its bytes.
    pub blake3: Checksum,
    /// What its first bytes say it is.
    pub content_type: &'static str,
}

/// Bytes being written under a temporary name. Dropped before it is handed over, it removes them. Every method
/// blocks.
#[derive(Debug)]
pub struct Incoming {
    path: Arc<StorePath>,
    place: Place,
    size: u64,
    written: u64,
    file: Option<File>,
    blake3: blake3::Hasher,
    crc32: crc32fast::Hasher,
    content_type: &'static str,
    received: Option<Received>,
    /// The temporary name, once it is there and as long as it is ours to remove.
    temp: Option<PathBuf>,
}

impl Incoming {
    /// A file of `size` bytes that is to lie at `place`. Nothing is written yet.
    pub fn new(path: Arc<StorePath>, place: Place, size: u64) -> Incoming {
        Incoming {
            path,
            place,
            size,
            written: 0,
            file: None,
            blake3: blake3::Hasher::new(),
            crc32: crc32fast::Hasher::new(),
            content_type: sniff(&[]),
            received: None,
            temp: None,
        }
    }

    /// Its store path.
    pub fn path(&self) -> &Arc<StorePath> {
        &self.path
    }

    /// Appends bytes. The first ones make the file and tell its content type.
    ///
    /// # Errors
    /// I/O errors, a full disk among them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                self.content_type = sniff(bytes);
                let (file, temp) = create(&self.path, &self.place)?;
                self.temp = Some(temp);
                preallocate(&file, self.size)?;
                self.file.insert(file)
            }
        };
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        self.blake3.update(bytes);
        self.crc32.update(bytes);
        Ok(())
    }

    /// Makes bytes and name durable. After this only the row is missing.
    ///
    /// # Errors
    /// I/O errors, and bytes that do not add up to the size.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.write(&[])?;
        }
        if self.written != self.size {
            return Err(io::Error::other(format!("{} of {} bytes were written", self.written, self.size)));
        }
        if let (Some(file), Some(temp)) = (self.file.take(), self.temp.clone()) {
            self.path.durability().sync(&[Written { file, temp }])?;
        }
        self.received = Some(Received {
            crc32: self.crc32.clone().finalize(),
            blake3: Checksum(*self.blake3.finalize().as_bytes()),
            content_type: self.content_type,
        });
        Ok(())
    }

    /// What came; `None` before it is finished.
    pub fn received(&self) -> Option<&Received> {
        self.received.as_ref()
    }

    /// Removes what there is, here and now.
    pub(crate) fn remove(mut self) {
        if let Some(temp) = self.temp.take() {
            drop(Unfinished { _file: self.file.take(), temp });
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
            drop_aside(Unfinished { _file: self.file.take(), temp });
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
