//! Where a file is put together and where it ends up: `NAME.part` with its note `NAME.part.json`, and then NAME.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::error::PlaceError;
use crate::saved::Saved;

/// The longest note that is read, in bytes.
const MAX_NOTE: u64 = 16 * 1024 * 1024;

/// A target, with the file beside it that gets its name in the end. Locked: one process at a time.
#[derive(Debug)]
pub struct Place {
    target: PathBuf,
    replace: bool,
    part: PathBuf,
    note: PathBuf,
    file: File,
    saved: Option<Saved>,
}

impl Place {
    /// Takes possession of `target`, a path whose folder exists; with `replace` a file that is there is replaced in the
    /// end. What an earlier process has left of it is kept for [`crate::Fetch::run`] to judge. Blocks for as long as the
    /// file system does.
    ///
    /// # Errors
    /// If the target exists, another process is at it, or `NAME.part` is there and is not known here.
    pub fn open(target: &Path, replace: bool) -> Result<Place, PlaceError> {
        if !replace && target.symlink_metadata().is_ok() {
            return Err(PlaceError::Exists(target.to_owned()));
        }
        let (part, note) = (beside(target, ".part"), beside(target, ".part.json"));
        let failed = |source| PlaceError::Io { what: format!("cannot write {}", part.display()), source };
        // It may get its final name, or be removed, between our opening and locking it.
        for _ in 0..8 {
            let file = open(&part).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Err(PlaceError::Busy(target.to_owned())),
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
            }
            let own = file.metadata().map_err(failed)?;
            let found = fs::symlink_metadata(&part);
            if !found.is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino())) {
                continue;
            }
            let saved =
                read_note(&note).filter(|saved| (saved.device, saved.inode) == (own.dev(), own.ino()));
            if saved.is_none() && own.len() > 0 {
                return Err(PlaceError::Foreign(part));
            }
            return Ok(Place { target: target.to_owned(), replace, part, note, file, saved });
        }
        Err(PlaceError::Busy(target.to_owned()))
    }

    /// The path that the file gets in the end.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The path that it has until then.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// It gets this name in the end, of the same folder, and replaces nothing.
    pub(crate) fn rename(&mut self, target: PathBuf) {
        (self.target, self.replace) = (target, false);
    }

    pub(crate) fn take_saved(&mut self) -> Option<Saved> {
        self.saved.take()
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Writes down what is in the file, after that has been synced. Blocks.
    pub(crate) fn save(&self, saved: &Saved) -> io::Result<()> {
        self.file.sync_data()?;
        let metadata = self.file.metadata()?;
        let mut saved = saved.clone();
        (saved.device, saved.inode) = (metadata.dev(), metadata.ino());
        let fresh = beside(&self.note, ".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&saved)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.note)
    }

    /// Makes the file durable and gives it its name. Blocks.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something has that name by now and is not to be replaced.
    pub(crate) fn publish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        let mut temp = TempPath::try_from_path(&self.part)?;
        temp.disable_cleanup(true);
        let renamed = match self.replace {
            true => temp.persist(&self.target),
            false => temp.persist_noclobber(&self.target).or_else(|failed| {
                // Some file systems can only rename over whatever is there; then a look before must do.
                match self.target.symlink_metadata() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        failed.path.persist(&self.target)
                    }
                    _ => Err(failed),
                }
            }),
        };
        renamed.map_err(|failed| failed.error)?;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Folders that cannot be synced are left to the system.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        let _ = fs::remove_file(&self.note);
        Ok(())
    }

    /// Leaves nothing behind. Blocks.
    pub(crate) fn discard(&self) {
        let _ = fs::remove_file(&self.part);
        let _ = fs::remove_file(&self.note);
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

/// A link there is somebody else's wish, not ours.
fn open(part: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o666)
        .custom_flags(no_follow)
        .open(part)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")),
    }
}

fn read_note(path: &Path) -> Option<Saved> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MAX_NOTE).read_to_end(&mut text).ok()?;
    Saved::read(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Validators, Version};

    fn saved() -> Saved {
        let version = Version { size: 9, validators: Validators::default() };
        Saved::new(Vec::new(), version, &[], vec![(0, 5)].into())
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_note_counts_for_the_file_it_was_written_about() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film");
        let place = Place::open(&target, false).unwrap();
        place.file().set_len(9).unwrap();
        place.save(&saved()).unwrap();
        assert!(matches!(Place::open(&target, false), Err(PlaceError::Busy(_))));
        drop(place);
        assert_eq!(Place::open(&target, false).unwrap().take_saved().unwrap().written, saved().written);
        // Another file under that name is somebody else's.
        fs::write(folder.path().join("other"), b"theirs").unwrap();
        fs::rename(folder.path().join("other"), folder.path().join("film.part")).unwrap();
        assert!(matches!(Place::open(&target, false), Err(PlaceError::Foreign(_))));
        assert_eq!(names(folder.path()), ["film.part", "film.part.json"]);
    }

    #[test]
    fn a_published_file_has_its_name_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film");
        let place = Place::open(&target, false).unwrap();
        place.save(&saved()).unwrap();
        place.publish().unwrap();
        assert_eq!(names(folder.path()), ["film"]);
        drop(place);
        assert!(matches!(Place::open(&target, false), Err(PlaceError::Exists(_))));
        let place = Place::open(&target, true).unwrap();
        place.discard();
        assert_eq!(names(folder.path()), ["film"]);
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film");
        let place = Place::open(&target, false).unwrap();
        fs::write(&target, b"theirs").unwrap();
        assert_eq!(place.publish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, b"").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("film.part")).unwrap();
        assert!(matches!(Place::open(&folder.path().join("film"), false), Err(PlaceError::Io { .. })));
    }
}
