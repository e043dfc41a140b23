//! Keeps the other storages of a shared volume out of an upload in parts.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tnv_proto::FileKey;

use super::journal::{make_folder, remove_if_there};
use super::parts::{FOLDER, stem};
use super::staging::{is_named, lock, unlock};
use super::{StorePath, Volume};

/// Ends the names of locks.
pub(super) const SUFFIX: &str = ".lock";

/// Attempts to lock a file that others remove meanwhile.
const ATTEMPTS: usize = 16;

/// A locked file for the upload in every store path that is shared; in others there is nobody to keep out. They are
/// removed when this is dropped. Every method blocks, and dropping it too.
#[derive(Debug)]
pub(crate) struct PartsLock {
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
}

impl PartsLock {
    /// `None`: another storage has it. An error comes with the path whose fault it is.
    pub(crate) fn take<'a>(
        volume: &'a Volume,
        key: &FileKey,
    ) -> Result<Option<PartsLock>, (&'a StorePath, io::Error)> {
        let mut lock = PartsLock { held: Vec::new() };
        // In each of them: until the upload is found, nobody knows where it is, and to BEGIN one is to choose.
        for path in volume.paths().iter().filter(|path| path.is_shared()) {
            match take(path.root(), &stem(key)) {
                Ok(Some(held)) => lock.held.push(held),
                Ok(None) => return Ok(None),
                Err(error) => return Err((path, error)),
            }
        }
        Ok(Some(lock))
    }

    /// Whether it holds anything.
    pub(crate) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }
}

fn take(root: &Path, stem: &str) -> io::Result<Option<Held>> {
    let folder = root.join(FOLDER);
    let path = folder.join(format!("{stem}{SUFFIX}"));
    for _ in 0..ATTEMPTS {
        let file = match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&folder, root)?;
                continue;
            }
            opened => opened?,
        };
        if !lock(&file)? {
            return Ok(None);
        }
        // Whoever had it may have removed it between our opening and locking it.
        if is_named(&file, &path) {
            return Ok(Some(Held { file, path }));
        }
    }
    Ok(None)
}

/// Removes a lock that nobody holds, left by a process that is gone.
pub(super) fn remove_stale(path: PathBuf) -> io::Result<()> {
    let file = File::options().write(true).open(&path)?;
    if lock(&file)? && is_named(&file, &path) {
        drop(Held { file, path });
    }
    Ok(())
}

impl Drop for Held {
    fn drop(&mut self) {
        // While it is still locked: nobody can hold another one of this name meanwhile.
        if let Err(error) = remove_if_there(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a lock");
        }
        unlock(&self.file);
    }
}
