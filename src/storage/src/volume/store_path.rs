//! One store path: its mark, its room, and the folders that this process has put files into.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use tnv_common::config::WrittenPath;

use super::VolumeError;
use super::mark::{Mark, MarkFile, Owner};
use crate::layout::{Place, TEMP_SUFFIX};

/// Lists the folders that may hold bytes without a row: those that a process has put files into since the list was
/// last settled. So a start looks into a few folders instead of walking the whole store.
const FOLDERS_FILE: &str = ".tnv-folders";

/// A store path whose mark has been read, but not judged yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    folder: WrittenPath,
    file: MarkFile,
    mark: Option<Mark>,
}

impl Prepared {
    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    pub(super) fn root(&self) -> &Path {
        &self.folder.resolved
    }

    /// Marks the path if it is new, and makes it ready for use.
    pub(super) fn settle(
        mut self,
        owner: &Owner,
        free_index: u32,
        reserved_space: u64,
    ) -> Result<StorePath, VolumeError> {
        let root = self.folder.resolved.clone();
        let unusable = |error: io::Error| unusable(&root, &error);
        let mark = match self.mark.take() {
            Some(mark) => mark,
            None => {
                let id_key = self.folder.written.clone();
                let mark = Mark { owner: owner.clone(), path: free_index, id_key };
                self.file.write(&root, &mark).map_err(unusable)?;
                tracing::info!(path = %root.display(), index = free_index, "a new store path");
                mark
            }
        };
        let folders =
            OpenOptions::new().append(true).create(true).open(root.join(FOLDERS_FILE)).map_err(unusable)?;
        sync_folder(&root).map_err(unusable)?;
        let path = StorePath {
            index: mark.path,
            id_key: if mark.id_key.is_empty() { self.folder.written.clone() } else { mark.id_key },
            written: self.folder.written,
            root: root.clone(),
            reserved_space,
            room: Mutex::default(),
            writable: AtomicBool::new(true),
            total: AtomicU64::new(0),
            folders: Mutex::new(Folders { journal: folders, used: HashSet::new() }),
            mark: self.file,
        };
        path.measure().map_err(unusable)?;
        Ok(path)
    }
}

/// A folder that takes files.
#[derive(Debug)]
pub struct StorePath {
    index: u32,
    id_key: String,
    written: String,
    root: PathBuf,
    reserved_space: u64,
    room: Mutex<Room>,
    writable: AtomicBool,
    total: AtomicU64,
    folders: Mutex<Folders>,
    mark: MarkFile,
}

/// Room as last measured, and what has been promised since.
#[derive(Debug, Default)]
struct Room {
    free: u64,
    /// Bytes of all uploads that run now.
    reserved: u64,
    /// Bytes promised since `free` was measured; never less than what is really missing from `free`.
    taken: u64,
}

#[derive(Debug)]
struct Folders {
    journal: File,
    used: HashSet<String>,
}

impl StorePath {
    pub(super) fn prepare(folder: &WrittenPath) -> Result<Prepared, VolumeError> {
        let root = &folder.resolved;
        std::fs::create_dir_all(root).map_err(|error| unusable(root, &error))?;
        let (file, mark) = MarkFile::open(root).map_err(|error| unusable(root, &error))?;
        Ok(Prepared { folder: folder.clone(), file, mark })
    }

    /// Its number among the storage's paths, as its mark says.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The id servers' key for it: the path as it was first written.
    pub fn id_key(&self) -> &str {
        &self.id_key
    }

    /// As written in the config: the beginning of its rows' `file_path`.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The size of its file system in bytes.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes that new files may still take, the reserved space left out. 0 while it cannot be written.
    pub fn free(&self) -> u64 {
        if !self.is_writable() {
            return 0;
        }
        let room = self.room();
        room.free.saturating_sub(room.taken).saturating_sub(self.reserved_space)
    }

    /// Whether the last attempt to write here succeeded.
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Leaves the path out until [`StorePath::refresh`] finds it writable again, if the error is the disk's fault.
    pub fn note_error(&self, error: &io::Error) {
        use io::ErrorKind::{AlreadyExists, InvalidData, QuotaExceeded, StorageFull};
        let is_full = matches!(error.kind(), StorageFull | QuotaExceeded);
        // A place that is taken, bytes that do not add up, or no more files that this process may open.
        let is_other = matches!(error.kind(), AlreadyExists | InvalidData)
            || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
        if !is_full && !is_other && self.writable.swap(false, Ordering::Relaxed) {
            tracing::error!(path = %self.root.display(), %error, "cannot write; leaving the store path out");
        }
    }

    /// Asks the system afresh. Blocks.
    pub(super) fn refresh(&self) {
        if let Err(error) = self.measure() {
            return self.note_error(&error);
        }
        if !self.is_writable() && self.probe().is_ok() {
            tracing::info!(path = %self.root.display(), "the store path can be written again");
            self.writable.store(true, Ordering::Relaxed);
        }
    }

    fn measure(&self) -> io::Result<()> {
        if !self.mark.is_in(&self.root)? {
            return Err(io::Error::other("its mark is gone: another folder is in its place"));
        }
        // What is promised while the system is being asked may or may not be in its answer: it counts as missing.
        let (reserved, taken) = {
            let room = self.room();
            (room.reserved, room.taken)
        };
        let stat = rustix::fs::statvfs(&self.root)?;
        self.total.store(stat.f_blocks.saturating_mul(stat.f_frsize), Ordering::Relaxed);
        let mut room = self.room();
        room.free = stat.f_bavail.saturating_mul(stat.f_frsize);
        room.taken = reserved + room.taken.saturating_sub(taken);
        Ok(())
    }

    /// Tries what an upload does first.
    fn probe(&self) -> io::Result<()> {
        let probe = self.root.join(".tnv-probe");
        File::create(&probe)?.write_all(b"?")?;
        std::fs::remove_file(probe)
    }

    fn room(&self) -> std::sync::MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the place's folder and remembers, durably, that it may hold bytes without a row. Blocks.
    pub(super) fn prepare_folder(&self, place: &Place) -> io::Result<()> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.used.contains(place.folder()) {
            return Ok(());
        }
        make_folders(&self.root, place.folder())?;
        // On a line of its own, even behind one that was cut short.
        folders.journal.write_all(format!("\n{}\n", place.folder()).as_bytes())?;
        folders.journal.sync_data()?;
        folders.used.insert(place.folder().to_owned());
        Ok(())
    }

    /// The folders that earlier processes may have left bytes without a row in. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn unsettled_folders(&self) -> io::Result<Vec<String>> {
        let text = std::fs::read_to_string(self.root.join(FOLDERS_FILE))?;
        let folders: HashSet<&str> =
            text.lines().filter(|line| Place::parse(&format!("{line}/x")).is_some()).collect();
        Ok(folders.into_iter().map(str::to_owned).collect())
    }

    /// The places in `folder` whose bytes may not have a row. Blocks.
    ///
    /// # Errors
    /// I/O errors; a folder that is gone has none.
    pub fn unsettled_places(&self, folder: &str) -> io::Result<Vec<Place>> {
        let entries = match std::fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut places = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let place = name.to_str().and_then(|name| name.strip_suffix(TEMP_SUFFIX));
            places.extend(place.and_then(|name| Place::parse(&format!("{folder}/{name}"))));
        }
        Ok(places)
    }

    /// Forgets the list of unsettled folders; called when all of them are settled, before any upload. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn forget_unsettled(&self) -> io::Result<()> {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.journal.set_len(0)?;
        folders.journal.sync_all()
    }

    /// Gives committed bytes their final name. Blocks.
    ///
    /// # Errors
    /// I/O errors; the bytes then stay readable under their first name.
    pub fn publish(&self, place: &Place) -> io::Result<()> {
        std::fs::rename(self.root.join(place.temp_path()), self.root.join(place.path()))
    }

    /// Opens a file for reading, under its final name or, while that is on its way, its first one. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn open_file(&self, place: &Place) -> io::Result<File> {
        let paths = [place.path(), place.temp_path(), place.path()];
        let mut missing = None;
        for path in paths {
            match File::open(self.root.join(path)) {
                // Not here: it is being renamed, or gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = Some(error),
                opened => return opened,
            }
        }
        Err(missing.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    /// Removes a file, under whichever name it has. One that is gone already is fine. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn remove(&self, place: &Place) -> io::Result<()> {
        // In the order of the rename, so that a file that is being renamed is met under one of its names.
        for path in [place.temp_path(), place.path()] {
            match std::fs::remove_file(self.root.join(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes renames and removals in a folder durable. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn sync_folder(&self, folder: &str) -> io::Result<()> {
        match File::open(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            folder => folder?.sync_all(),
        }
    }
}

/// Makes `folder` below `root`, level by level, each one durable before something is put into it.
fn make_folders(root: &Path, folder: &str) -> io::Result<()> {
    let mut path = root.to_owned();
    for level in folder.split('/') {
        let parent = path.clone();
        path.push(level);
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // One that was there may have been made by a process that did not come as far as this.
            _ => sync_folder(&parent)?,
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn unusable(path: &Path, error: &io::Error) -> VolumeError {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "it cannot be written; give this user the right to write there".to_owned()
        }
        io::ErrorKind::StorageFull => "the disk is full; make room or choose another folder".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        _ => error.to_string(),
    };
    VolumeError::Unusable { path: path.to_owned(), reason }
}

/// Room set aside for one upload; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    path: Arc<StorePath>,
    size: u64,
    kept: bool,
}

impl Reservation {
    /// Sets `size` bytes aside; `None` when there are not so many above the reserved space.
    pub fn take(path: &Arc<StorePath>, size: u64) -> Option<Reservation> {
        let mut room = path.room();
        let free = room.free.saturating_sub(room.taken).saturating_sub(path.reserved_space);
        if size > free {
            return None;
        }
        room.reserved += size;
        room.taken += size;
        drop(room);
        Some(Reservation { path: path.clone(), size, kept: false })
    }

    /// The store path it is in.
    pub fn path(&self) -> &Arc<StorePath> {
        &self.path
    }

    /// The bytes are on the disk and stay there.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut room = self.path.room();
        room.reserved = room.reserved.saturating_sub(self.size);
        if !self.kept {
            room.taken = room.taken.saturating_sub(self.size);
        }
    }
}

#[cfg(test)]
mod tests;
