//! Which folders of a store path may hold names that are not durable, or bytes without a row.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::layout::Place;

/// Lists, durably and before use, the folders that a process puts files into: a start looks into a few folders instead
/// of walking the whole store. Every method blocks.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    used: HashSet<String>,
}

impl Journal {
    /// Opens the list at `path`; what stands in it stays.
    pub(super) fn open(path: &Path) -> io::Result<Journal> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Journal { file, used: HashSet::new() })
    }

    /// Makes the place's folder below `root` and takes it into the list.
    pub(super) fn prepare(&mut self, root: &Path, place: &Place) -> io::Result<()> {
        if self.used.contains(place.folder()) {
            return Ok(());
        }
        make_folders(root, place.folder())?;
        // On a line of its own, even behind one that was cut short.
        self.file.write_all(format!("\n{}\n", place.folder()).as_bytes())?;
        self.file.sync_data()?;
        self.used.insert(place.folder().to_owned());
        Ok(())
    }

    /// Empties the list: all of it is settled, and nothing was put anywhere since.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.sync_all()
    }

    #[cfg(test)]
    pub(super) fn tear(&mut self, line: &str) {
        self.file.write_all(line.as_bytes()).unwrap();
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

/// Makes `folder` below `root`, level by level, each one durable before something is put into it.
fn make_folders(root: &Path, folder: &str) -> io::Result<()> {
    let mut path = root.to_owned();
    for level in folder.split('/') {
        let parent = path.clone();
        path.push(level);
        make_folder(&path, &parent)?;
    }
    Ok(())
}

/// Makes one folder in `parent`, durably. One that is there already is fine.
pub(super) fn make_folder(path: &Path, parent: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // One that was there may have been made by a process that did not come as far as this.
        _ => sync_folder(parent),
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
