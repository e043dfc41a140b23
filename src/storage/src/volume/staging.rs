//! Uploads under way in a store path that several storages share. Each process has a staging folder of its own there,
//! with the bytes that have no final name yet, and holds a lock in it as long as it lives. A folder whose lock is free
//! was left by a process that is gone, and whoever finds it settles it.
//!
//! A lock on a network file system is a strong hint, not a proof: servers that restart forget it. So its owner takes
//! it again every second and moves to another folder once it is lost; and whoever settles a place first makes sure
//! in the catalog that no row can come to stand for it any more. Every method blocks.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::fresh::patiently;
use super::journal::{
    self, Journal, make_folder, remove_if_there, rename_if_there, sync_folder, sync_if_there,
};
use crate::layout::{Place, TEMP_SUFFIX};

/// The folder of staging folders within a store path.
const FOLDER: &str = ".tnv-staging";
/// In a staging folder: locked by its owner.
const LOCK_FILE: &str = "lock";
/// In a staging folder: the folders that its files were renamed to.
const JOURNAL_FILE: &str = "folders";
/// Attempts to make a folder that others take for one that was left.
const ATTEMPTS: usize = 8;

/// The staging folder of this process.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    own: Mutex<Arc<Own>>,
}

#[derive(Debug)]
struct Own {
    folder: PathBuf,
    lock: File,
    journal: Journal,
}

impl Staging {
    /// Makes a folder for this process in the store path at `root`.
    pub(super) fn begin(root: &Path) -> io::Result<Staging> {
        let own = patiently(|| Own::begin(root))?;
        Ok(Staging { root: root.to_owned(), own: Mutex::new(Arc::new(own)) })
    }

    /// Takes the lock again, or another folder if it is lost: to others this process was dead for a moment.
    pub(super) fn renew(&self) -> io::Result<()> {
        let own = self.own();
        if own.is_held() {
            return Ok(());
        }
        let fresh = Arc::new(Own::begin(&self.root)?);
        *self.current() = fresh;
        tracing::warn!(folder = %own.folder.display(),
            "the lock on the uploads under way is lost, they may fail; going on in another folder");
        Ok(())
    }

    /// Prepares the place, and says where its bytes go until they have a row.
    pub(super) fn stage(&self, place: &Place) -> io::Result<PathBuf> {
        let own = self.own();
        patiently(|| own.journal.prepare(&self.root, place))?;
        Ok(own.folder.join(temp_name(place)))
    }

    /// Gives bytes their final name, in whichever folder they are. If somebody else has done it, that is fine.
    pub(super) fn publish(&self, place: &Place) -> io::Result<()> {
        let (own, target) = (self.own().folder.join(temp_name(place)), self.root.join(place.path()));
        if patiently(|| rename_if_there(&own, &target))? {
            return Ok(());
        }
        for temp in temps(&self.root, place)? {
            if rename_if_there(&temp, &target)? {
                return Ok(());
            }
        }
        if target.try_exists()? { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// The folders of processes that are gone, each locked by us while we have it.
    pub(super) fn abandoned(&self) -> io::Result<Vec<Abandoned>> {
        let own = self.own();
        let others = folders(&self.root)?.into_iter().filter(|folder| *folder != own.folder);
        others.filter_map(|folder| Abandoned::take(&self.root, folder).transpose()).collect()
    }

    fn own(&self) -> Arc<Own> {
        self.current().clone()
    }

    fn current(&self) -> MutexGuard<'_, Arc<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn begin(root: &Path) -> io::Result<Own> {
        let all = root.join(FOLDER);
        make_folder(&all, root)?;
        for _ in 0..ATTEMPTS {
            let folder = all.join(uuid::Uuid::new_v4().to_string());
            match Own::make(&all, folder) {
                // Before the lock is taken somebody may find the folder, and remove it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(own) if !own.is_held() => {}
                made => return made,
            }
        }
        Err(io::Error::other(format!("cannot keep a folder in {}", all.display())))
    }

    fn make(all: &Path, folder: PathBuf) -> io::Result<Own> {
        make_folder(&folder, all)?;
        let lock = OpenOptions::new().write(true).create_new(true).open(folder.join(LOCK_FILE))?;
        let own = Own { lock, journal: Journal::open(&folder.join(JOURNAL_FILE), true)?, folder };
        sync_folder(&own.folder)?;
        Ok(own)
    }

    /// Takes the lock, and whether it is ours and the folder still is there.
    fn is_held(&self) -> bool {
        lock(&self.lock).unwrap_or(false) && is_named(&self.lock, &self.folder.join(LOCK_FILE))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A child that is just being started has the descriptor as well.
        unlock(&self.lock);
    }
}

/// A staging folder whose process is gone.
#[derive(Debug)]
pub(crate) struct Abandoned {
    root: PathBuf,
    folder: PathBuf,
    /// Keeps its owner out, should it live after all; missing where somebody did not come to the end of settling.
    _lock: Option<File>,
}

impl Abandoned {
    /// `None`: its process lives.
    fn take(root: &Path, folder: PathBuf) -> io::Result<Option<Abandoned>> {
        let held = match File::options().write(true).open(folder.join(LOCK_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        let is_free = held.as_ref().map_or(Ok(true), lock)?;
        Ok(is_free.then(|| Abandoned { root: root.to_owned(), folder, _lock: held }))
    }

    /// The places whose bytes may not have a row.
    pub(super) fn places(&self) -> io::Result<Vec<Place>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut places = Vec::new();
        for entry in entries {
            places.extend(entry?.file_name().to_str().and_then(staged_place));
        }
        Ok(places)
    }

    /// Gives the bytes at this place their final name, durably.
    pub(super) fn keep(&self, place: &Place) -> io::Result<()> {
        // The owner may have done it just now.
        rename_if_there(&self.folder.join(temp_name(place)), &self.root.join(place.path()))?;
        sync_if_there(&self.root.join(place.folder()))
    }

    /// Removes the bytes at this place.
    pub(super) fn discard(&self, place: &Place) -> io::Result<()> {
        remove_if_there(&self.folder.join(temp_name(place))).map(drop)
    }

    /// Removes the folder, when what was renamed out of it is durable. `false`: more has come meanwhile, for the owner
    /// lives after all.
    pub(super) fn finish(&self) -> io::Result<bool> {
        if !self.places()?.is_empty() {
            return Ok(false);
        }
        let journal = self.folder.join(JOURNAL_FILE);
        for folder in journal::read(&journal)? {
            sync_if_there(&self.root.join(folder))?;
        }
        remove_if_there(&journal)?;
        remove_if_there(&self.folder.join(LOCK_FILE))?;
        match std::fs::remove_dir(&self.folder) {
            // Somebody else settled it as well.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            removed => removed.map(|()| true),
        }
    }
}

/// Where the bytes of this place may be while they have no final name.
pub(super) fn temps(root: &Path, place: &Place) -> io::Result<Vec<PathBuf>> {
    let name = temp_name(place);
    Ok(folders(root)?.into_iter().map(|folder| folder.join(&name)).collect())
}

/// Opens the folders that are left in a path which is shared no more. `None`: some process still has one.
pub(super) fn left_in(root: &Path) -> io::Result<Option<Vec<Abandoned>>> {
    folders(root)?.into_iter().map(|folder| Abandoned::take(root, folder)).collect()
}

/// All staging folders.
fn folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(root.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// `000/000/001/6B004B3C_002` waits under `000-000-001-6B004B3C_002.tmp`.
fn temp_name(place: &Place) -> String {
    format!("{}{TEMP_SUFFIX}", place.path().replace('/', "-"))
}

fn staged_place(name: &str) -> Option<Place> {
    let path = name.strip_suffix(TEMP_SUFFIX)?.replace('-', "/");
    Place::parse(&path)
}

/// Whether the lock could be taken, or is ours already.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        locked => Ok(locked.map(|()| true)?),
    }
}

/// Gives a lock back at once: on FUSE the closing of a file takes effect some time after it.
pub(super) fn unlock(file: &File) {
    // One that cannot be given back goes with the file.
    let _ = flock(file, FlockOperation::Unlock);
}

/// Whether the file still is the one under this name.
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    let found = file.metadata().and_then(|held| Ok((held, std::fs::metadata(path)?)));
    found.is_ok_and(|(held, found)| held.ino() == found.ino() && held.dev() == found.dev())
}

#[cfg(test)]
mod tests;
