//! The names that the bytes of a file have in a store path: a temporary one until their row is committed, then their
//! final one. And what processes that are gone have left under temporary names. Everything here blocks.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::StorePath;
use super::fresh;
use super::journal::{self, remove_if_there, rename_if_there, sync_if_there};
use super::staging::{self, Abandoned};
use super::store_path::{FOLDERS_FILE, Temps};
use crate::layout::{Place, TEMP_SUFFIX};

impl StorePath {
    /// Prepares a place for a new file: makes its folder and remembers, durably, that there may be bytes without a row.
    /// Returns the temporary name.
    pub(super) fn stage(&self, place: &Place) -> io::Result<PathBuf> {
        match &self.temps {
            Temps::InPlace(journal) => {
                journal.prepare(self.root(), place)?;
                Ok(self.root().join(place.temp_path()))
            }
            Temps::Staged(staging) => staging.stage(place),
        }
    }

    /// Gives committed bytes their final name.
    ///
    /// # Errors
    /// I/O errors; the bytes then stay readable under their first name.
    pub fn publish(&self, place: &Place) -> io::Result<()> {
        match &self.temps {
            Temps::InPlace(_) => {
                std::fs::rename(self.root().join(place.temp_path()), self.root().join(place.path()))
            }
            Temps::Staged(staging) => staging.publish(place),
        }
    }

    /// Opens a file for reading, under its final name or, while that is on its way, its first one.
    ///
    /// # Errors
    /// I/O errors.
    pub fn open_file(&self, place: &Place) -> io::Result<File> {
        let target = self.root().join(place.path());
        if let Some(file) = open_if_there(&target)? {
            return Ok(file);
        }
        // Not here: it is being renamed, or gone.
        for temp in self.temps_of(place)? {
            if let Some(file) = open_if_there(&temp)? {
                return Ok(file);
            }
        }
        let missing = match File::open(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => error,
            opened => return opened,
        };
        self.check_mark()?;
        Err(missing)
    }

    /// How long an open file is. In a shared path the servers of the volume are asked if need be.
    ///
    /// # Errors
    /// I/O errors.
    pub fn len_of(&self, file: &File) -> io::Result<u64> {
        if self.is_shared() { fresh::len(file) } else { Ok(file.metadata()?.len()) }
    }

    /// Removes a file, under whichever name it has. One that is gone already is fine.
    ///
    /// # Errors
    /// I/O errors.
    pub fn remove(&self, place: &Place) -> io::Result<()> {
        let target = self.root().join(place.path());
        // Most have their final name, and no other: no need to look at every storage's folder.
        if self.is_shared() && remove_if_there(&target)? {
            return Ok(());
        }
        // In the order of the rename, so that a file that is being renamed is met under one of its names.
        for temp in self.temps_of(place)? {
            remove_if_there(&temp)?;
        }
        remove_if_there(&target)?;
        self.forget_sums(place)
    }

    /// Makes renames and removals in a folder durable.
    ///
    /// # Errors
    /// I/O errors.
    pub fn sync_folder(&self, folder: &str) -> io::Result<()> {
        sync_if_there(&self.root().join(folder))
    }

    /// The temporary names that the bytes of this place may have.
    fn temps_of(&self, place: &Place) -> io::Result<Vec<PathBuf>> {
        match &self.temps {
            Temps::InPlace(_) => Ok(vec![self.root().join(place.temp_path())]),
            Temps::Staged(_) => staging::temps(self.root(), place),
        }
    }

    /// What processes that are gone have left. In an exclusive path it must be settled before the first upload.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn remains(self: &Arc<Self>) -> io::Result<Vec<Remains>> {
        let abandoned = match &self.temps {
            Temps::InPlace(_) => staging::left_in(self.root())?.unwrap_or_default(),
            Temps::Staged(staging) => staging.abandoned()?,
        };
        let mut remains: Vec<_> =
            abandoned.into_iter().map(|folder| Remains::Staged(self.clone(), folder)).collect();
        if self.root().join(FOLDERS_FILE).try_exists()? {
            remains.push(Remains::InPlace(self.clone()));
        }
        Ok(remains)
    }
}

/// Bytes under temporary names whose process is gone.
#[derive(Debug)]
pub(crate) enum Remains {
    /// Of the process that had the whole path.
    InPlace(Arc<StorePath>),
    /// Of one that shared it.
    Staged(Arc<StorePath>, Abandoned),
}

impl Remains {
    pub(crate) fn path(&self) -> &Arc<StorePath> {
        match self {
            Remains::InPlace(path) | Remains::Staged(path, _) => path,
        }
    }

    /// The places whose bytes may not have a row.
    pub(crate) fn places(&self) -> io::Result<Vec<Place>> {
        match self {
            Remains::InPlace(path) => {
                let mut places = Vec::new();
                for folder in journal::read(&path.root().join(FOLDERS_FILE))? {
                    places.extend(temps_in(path, &folder)?);
                }
                Ok(places)
            }
            Remains::Staged(_, folder) => folder.places(),
        }
    }

    /// Gives the bytes at this place their final name.
    pub(crate) fn keep(&self, place: &Place) -> io::Result<()> {
        match self {
            Remains::InPlace(path) => {
                let (temp, target) = (path.root().join(place.temp_path()), path.root().join(place.path()));
                rename_if_there(&temp, &target).map(drop)
            }
            Remains::Staged(_, folder) => folder.keep(place),
        }
    }

    /// Removes the bytes at this place.
    pub(crate) fn discard(&self, place: &Place) -> io::Result<()> {
        match self {
            Remains::InPlace(path) => remove_if_there(&path.root().join(place.temp_path())).map(drop),
            Remains::Staged(_, folder) => folder.discard(place),
        }
    }

    /// Forgets them, now that all are settled. `false`: more has come, for the process lives after all.
    pub(crate) fn finish(&self) -> io::Result<bool> {
        let path = match self {
            Remains::InPlace(path) => path,
            Remains::Staged(_, folder) => return folder.finish(),
        };
        let list = path.root().join(FOLDERS_FILE);
        for folder in journal::read(&list)? {
            path.sync_folder(&folder)?;
        }
        match &path.temps {
            Temps::InPlace(journal) => journal.clear()?,
            // The path was exclusive once.
            Temps::Staged(_) => drop(remove_if_there(&list)?),
        }
        Ok(true)
    }
}

/// The places in `folder` whose bytes have a temporary name; a folder that is gone has none.
fn temps_in(path: &StorePath, folder: &str) -> io::Result<Vec<Place>> {
    let entries = match std::fs::read_dir(path.root().join(folder)) {
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

/// A network file system says ESTALE of a file that another host has removed just now.
fn open_if_there(path: &std::path::Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle) =>
        {
            Ok(None)
        }
        opened => opened.map(Some),
    }
}
