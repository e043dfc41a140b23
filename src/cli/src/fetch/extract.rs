//! Unpacks a zip package from strangers: into a folder of its own, whole or not at all.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Error, reason};

/// Members of a package, bytes of all of them, and folders within folders, at most.
const MAX_MEMBERS: usize = 100_000;
const MAX_BYTES: u64 = 1 << 40;
const MAX_DEPTH: usize = 64;

/// The longest name of a file or folder, in bytes.
const MAX_NAME: usize = 255;

/// How often larger than the package its members may be: what is more is made to fill disks.
const MAX_RATIO: u64 = 1000;

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
    let file = File::open(package).map_err(|error| Error::local(reason(&error)))?;
    let size = file.metadata().map_err(|error| Error::local(reason(&error)))?.len();
    let mut archive = ZipArchive::new(file).map_err(|error| damaged(&error))?;
    let members = survey(&mut archive, size)?;
    let temp =
        tempfile::Builder::new().prefix(".tnv-extract-").tempdir_in(parent(folder)).map_err(|error| {
            Error::local(format!("cannot write beside {}: {}", folder.display(), reason(&error)))
        })?;
    let mut count = 0;
    for member in &members {
        if stopped() {
            return Err(Error::local("stopped before it was done"));
        }
        count += u64::from(write_member(&mut archive, member, temp.path())?);
    }
    publish(temp, folder)?;
    Ok(count)
}

/// A member that may be unpacked.
struct Member {
    index: usize,
    path: PathBuf,
    is_folder: bool,
    size: u64,
}

/// Looks at everything before anything is written.
fn survey(archive: &mut ZipArchive<File>, package: u64) -> Result<Vec<Member>, Error> {
    if archive.len() > MAX_MEMBERS {
        return Err(untrusted(format!("it has {} members, more than {MAX_MEMBERS}", archive.len())));
    }
    let (mut members, mut seen, mut total) = (Vec::new(), HashSet::new(), 0_u64);
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| damaged(&error))?;
        let name = std::str::from_utf8(entry.name_raw()).map_err(|_| untrusted("a name is not UTF-8"))?;
        let path = safe_path(name)?;
        let kind = entry.unix_mode().map_or(0, |mode| mode & 0o170_000);
        if entry.is_symlink() || !matches!(kind, 0 | 0o100_000 | 0o040_000) {
            return Err(untrusted(format!("{name:?} is neither file nor folder")));
        }
        if entry.encrypted() {
            return Err(untrusted(format!("{name:?} is encrypted")));
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(untrusted(format!("{name:?} is compressed in a way that is not known here")));
        }
        total = total.saturating_add(entry.size());
        if total > MAX_BYTES || total / MAX_RATIO > package {
            return Err(untrusted(format!("its members have more than {total} bytes")));
        }
        if !seen.insert(path.clone()) {
            return Err(untrusted(format!("{name:?} is there twice")));
        }
        members.push(Member { index, path, is_folder: name.ends_with('/'), size: entry.size() });
    }
    Ok(members)
}

/// A path within the folder, or a reason why it is none.
fn safe_path(name: &str) -> Result<PathBuf, Error> {
    let refuse = |why: &str| Err(untrusted(format!("the name {name:?} {why}")));
    let trimmed = name.strip_suffix('/').unwrap_or(name);
    if trimmed.contains(|c: char| c.is_control() || c == '\\') {
        return refuse("has characters that no name has");
    }
    let parts: Vec<&str> = trimmed.split('/').collect();
    if parts.len() > MAX_DEPTH {
        return refuse("lies too deep");
    }
    for part in &parts {
        match *part {
            "" => return refuse("is absolute or has an empty part"),
            "." | ".." => return refuse("leads elsewhere"),
            part if part.len() > MAX_NAME => return refuse("is too long"),
            // A drive, elsewhere.
            part if part.as_bytes().get(1) == Some(&b':') => return refuse("leads elsewhere"),
            _ => {}
        }
    }
    Ok(parts.iter().collect())
}

/// Writes a member below `root`; whether it was a file.
fn write_member(archive: &mut ZipArchive<File>, member: &Member, root: &Path) -> Result<bool, Error> {
    let path = root.join(&member.path);
    let failed = |error: io::Error| Error::local(format!("{}: {}", member.path.display(), reason(&error)));
    if member.is_folder {
        fs::create_dir_all(&path).map_err(failed)?;
        return Ok(false);
    }
    fs::create_dir_all(parent(&path)).map_err(failed)?;
    let mut entry = archive.by_index(member.index).map_err(|error| damaged(&error))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    let (mut left, mut buffer) = (member.size, vec![0; BUFFER]);
    loop {
        // Its checksum is compared when its end is read.
        let read = entry
            .read(&mut buffer)
            .map_err(|error| Error::damaged(format!("{}: {error}", member.path.display())))?;
        if read == 0 {
            break;
        }
        left = left.checked_sub(read as u64).ok_or_else(|| untrusted("a member is longer than it says"))?;
        file.write_all(&buffer[..read]).map_err(failed)?;
    }
    if left > 0 {
        return Err(untrusted("a member is shorter than it says"));
    }
    file.sync_all().map_err(failed)?;
    Ok(true)
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

fn damaged(error: &zip::result::ZipError) -> Error {
    Error::damaged(format!("it is no zip package, or damaged: {error}"))
}

fn untrusted(why: impl Into<String>) -> Error {
    Error::damaged(format!("the package is not to be trusted: {}", why.into()))
}

#[cfg(test)]
mod tests;
