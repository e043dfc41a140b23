//! Which folders of a store path may hold names that are not durable, or bytes without a row.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::layout::Place;

/// Lists, durably and before use, the folders that a process puts files into: a start looks into a few folders instead
/// of walking the whole store. Every method blocks.
#[derive(Debug)]
pub(super) struct Journal {
    is_synced: bool,
    /// Not held while anything is written: a new folder delays only those who need it.
    used: RwLock<HashSet<String>>,
    list: Mutex<List>,
}

#[derive(Debug)]
struct List {
    file: File,
    /// Folders above the used ones that are known to be durable.
    made: HashSet<String>,
}

impl Journal {
    /// Opens the list at `path`; what stands in it stays. Not synced it survives a crash of the process and no other.
    pub(super) fn open(path: &Path, is_synced: bool) -> io::Result<Journal> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let list = Mutex::new(List { file, made: HashSet::new() });
        Ok(Journal { is_synced, used: RwLock::default(), list })
    }

    /// Makes the place's folder below `root` and takes it into the list.
    pub(super) fn prepare(&self, root: &Path, place: &Place) -> io::Result<()> {
        if self.is_used(place.folder()) {
            return Ok(());
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_used(place.folder()) {
            return Ok(());
        }
        self.make_folders(&mut list, root, place.folder())?;
        // On a line of its own, even behind one that was cut short.
        list.file.write_all(format!("\n{}\n", place.folder()).as_bytes())?;
        if self.is_synced {
            list.file.sync_data()?;
        }
        self.used.write().unwrap_or_else(PoisonError::into_inner).insert(place.folder().to_owned());
        Ok(())
    }

    fn is_used(&self, folder: &str) -> bool {
        self.used.read().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    /// Makes `folder` below `root`, level by level, each one durable before something is put into it.
    fn make_folders(&self, list: &mut List, root: &Path, folder: &str) -> io::Result<()> {
        let levels = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
        let mut parent = root.to_owned();
        for end in levels {
            let (level, path) = (&folder[..end], root.join(&folder[..end]));
            if !list.made.contains(level) {
                if self.is_synced {
                    make_folder(&path, &parent)?
                } else {
                    create_folder(&path)?
                }
                list.made.insert(level.to_owned());
            }
            parent = path;
        }
        // It is used from now on, which is remembered elsewhere.
        list.made.remove(folder);
        Ok(())
    }

    /// Empties the list: all of it is settled, and nothing was put anywhere since.
    pub(super) fn clear(&self) -> io::Result<()> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.file.set_len(0)?;
        list.file.sync_all()
    }

    #[cfg(test)]
    pub(super) fn tear(&self, line: &str) {
        self.list.lock().unwrap().file.write_all(line.as_bytes()).unwrap();
    }
}

/// The folders in the list at `path`; one that is missing has none.
pub(super) fn read(path: &Path) -> io::Result<HashSet<String>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        text => text?,
    };
    let is_folder = |line: &&str| Place::parse(&format!("{line}/x")).is_some();
    Ok(text.lines().filter(is_folder).map(str::to_owned).collect())
}

/// Makes one folder in `parent`, durably. One that is there already is fine.
pub(super) fn make_folder(path: &Path, parent: &Path) -> io::Result<()> {
    create_folder(path)?;
    // One that was there may have been made by a process that did not come as far as this.
    sync_folder(parent)
}

fn create_folder(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The same for a folder that may not be there; then there is nothing to be made durable.
pub(super) fn sync_if_there(folder: &Path) -> io::Result<()> {
    if_there(sync_folder(folder)).map(drop)
}

/// Removes a file; `false`: it is gone already.
pub(super) fn remove_if_there(path: &Path) -> io::Result<bool> {
    if_there(std::fs::remove_file(path))
}

/// Renames a file; `false`: it is gone.
pub(super) fn rename_if_there(from: &Path, to: &Path) -> io::Result<bool> {
    if_there(std::fs::rename(from, to))
}

fn if_there(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        outcome => outcome.map(|()| true),
    }
}
