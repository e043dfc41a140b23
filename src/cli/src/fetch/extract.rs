//! Unpacks a zip package from strangers: into a folder of its own, whole or not at all. What may be unpacked, and under
//! which names, says `tnv_package::archive`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::read::DeflateDecoder;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tnv_package::archive::{ArchiveError, Content, End, Entry, Limits, Plan};

use crate::error::{Error, reason};

const BUFFER: usize = 256 * 1024;

/// Sees to it that there is a place for a new folder.
///
/// # Errors
/// A local error if something has that name, or its parent does not exist.
pub(super) fn check(folder: &Path) -> Result<(), Error> {
    if folder.symlink_metadata().is_ok() {
        return Err(exists(folder));
    }
    let parent = parent(folder);
    match parent.is_dir() {
        true => Ok(()),
        false => Err(Error::local(format!("there is no folder {}", parent.display()))),
    }
}

/// Unpacks `package` into the new folder `folder` and tells how many files it had. Blocks; ends early when `stopped`.
///
/// # Errors
/// If the package is damaged, or anything in it is not to be trusted, or the folder exists: nothing is left then.
pub(super) fn extract(package: &Path, folder: &Path, stopped: &dyn Fn() -> bool) -> Result<u64, Error> {
    check(folder)?;
    let package = File::open(package).map_err(|error| Error::local(reason(&error)))?;
    let plan = survey(&package)?;
    let temp =
        tempfile::Builder::new().prefix(".tnv-extract-").tempdir_in(parent(folder)).map_err(|error| {
            Error::local(format!("cannot write beside {}: {}", folder.display(), reason(&error)))
        })?;
    let mut count = 0;
    for entry in plan.entries() {
        if stopped() {
            return Err(Error::local("stopped before it was done"));
        }
        count += u64::from(write_entry(&package, entry, temp.path())?);
    }
    publish(temp, folder)?;
    Ok(count)
}

/// Looks at everything before anything is written.
fn survey(package: &File) -> Result<Plan, Error> {
    let len = package.metadata().map_err(|error| Error::local(reason(&error)))?.len();
    let limits = Limits::default();
    let tail = read(package, len.saturating_sub(End::TAIL_LEN)..len)?;
    let end = End::find(&tail, len).map_err(|error| refused(&error))?;
    end.check(&limits).map_err(|error| refused(&error))?;
    Plan::new(&read(package, end.directory())?, &end, &limits).map_err(|error| refused(&error))
}

/// A part of the package that is small enough to be in memory.
fn read(package: &File, part: Range<u64>) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(part.end - part.start).unwrap_or(usize::MAX)];
    package.read_exact_at(&mut bytes, part.start).map_err(|error| Error::local(reason(&error)))?;
    Ok(bytes)
}

/// Writes an entry below `root`; whether it was a file.
fn write_entry(package: &File, entry: &Entry, root: &Path) -> Result<bool, Error> {
    let path = root.join(entry.path.as_str());
    let failed = |error: io::Error| Error::local(format!("{}: {}", entry.path, reason(&error)));
    if entry.content == Content::Folder {
        fs::create_dir_all(&path).map_err(failed)?;
        return Ok(false);
    }
    fs::create_dir_all(parent(&path)).map_err(failed)?;
    let header = entry.header_offset..entry.header_offset.saturating_add(entry.header_len() as u64);
    let data = entry.data(&read(package, header)?).map_err(|error| refused(&error))?;
    let packed = Part { package, rest: data };
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    match entry.content {
        Content::Deflated => copy(&mut DeflateDecoder::new(packed), entry, &mut file)?,
        _ => copy(&mut { packed }, entry, &mut file)?,
    }
    file.sync_all().map_err(failed)?;
    Ok(true)
}

/// Copies what an entry holds, which may be other than its directory says.
fn copy(source: &mut dyn Read, entry: &Entry, file: &mut File) -> Result<(), Error> {
    let damaged = |why: &str| Error::damaged(format!("{}: {why}", entry.path));
    let (mut left, mut crc32, mut buffer) = (entry.size, crc32fast::Hasher::new(), vec![0; BUFFER]);
    loop {
        let read = source.read(&mut buffer).map_err(|error| damaged(&error.to_string()))?;
        if read == 0 {
            break;
        }
        left = left.checked_sub(read as u64).ok_or_else(|| damaged("it is longer than it says"))?;
        crc32.update(&buffer[..read]);
        file.write_all(&buffer[..read])
            .map_err(|error| Error::local(format!("{}: {}", entry.path, reason(&error))))?;
    }
    if left > 0 {
        return Err(damaged("it is shorter than it says"));
    }
    if crc32.finalize() == entry.crc32 { Ok(()) } else { Err(damaged("its checksum is another one")) }
}

/// What is left of a part of the package.
struct Part<'a> {
    package: &'a File,
    rest: Range<u64>,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let read = self.package.read_at(&mut buffer[..room], self.rest.start)?;
        self.rest.start += read as u64;
        Ok(read)
    }
}

/// Gives the folder its name, unless something has it by now.
fn publish(temp: tempfile::TempDir, folder: &Path) -> Result<(), Error> {
    let failed =
        |error: io::Error| Error::local(format!("cannot write {}: {}", folder.display(), reason(&error)));
    // Temporary folders are for their owner alone; this one is as others are.
    let mode = fs::metadata(parent(folder)).map_err(failed)?.permissions();
    fs::set_permissions(temp.path(), mode).map_err(failed)?;
    match renameat_with(CWD, temp.path(), CWD, folder, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(exists(folder)),
        // A file system that cannot; a folder with something in it is never replaced.
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(temp.path(), folder).map_err(failed)?,
        Err(error) => return Err(failed(error.into())),
    }
    // Nothing is there any more to be removed.
    let _ = temp.keep();
    // Folders that cannot be synced are left to the system.
    let _ = File::open(parent(folder)).and_then(|parent| parent.sync_all());
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn exists(folder: &Path) -> Error {
    Error::local(format!("{} exists already; --extract needs a new folder", folder.display()))
}

fn refused(error: &ArchiveError) -> Error {
    Error::damaged(format!("the package is damaged, or not to be trusted: {error}"))
}

#[cfg(test)]
mod tests;
