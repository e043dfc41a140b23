//! Where a downloaded file ends up: under its name only when it is whole and checked.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::error::{Error, reason};
use crate::piece::describe;

/// A path that may be written: free, or a regular file that may be replaced.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    replace: bool,
}

impl Target {
    /// Checks that `path` can be created, or replaced where `replace` says so. Whether it is still free is checked
    /// again when the file is put there.
    ///
    /// # Errors
    /// A local error if it exists and is not to be replaced, or is no regular file.
    pub(crate) fn new(path: &Path, replace: bool) -> Result<Target, Error> {
        let shown = path.display();
        if path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(Error::local(format!("there is no folder {shown}")));
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Target { path: path.to_owned(), replace });
            }
            Err(error) => return Err(Error::local(format!("cannot write {shown}: {}", reason(&error)))),
            Ok(_) => {}
        }
        // A link is followed, so that the file it leads to is replaced and the link stays.
        let resolved = fs::canonicalize(path).map_err(|error| {
            Error::local(format!("{shown} is a link that leads nowhere: {}", reason(&error)))
        })?;
        let kind = fs::metadata(&resolved)
            .map_err(|error| Error::local(format!("cannot write {shown}: {}", reason(&error))))?
            .file_type();
        if !kind.is_file() {
            let kind = describe(kind);
            return Err(Error::local(format!("{shown} is {kind}; to write there use -o - and redirect it")));
        }
        if !replace {
            return Err(exists(path));
        }
        Ok(Target { path: resolved, replace })
    }

    /// The path as people should see it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Creates a temporary file beside the target. It is removed when the returned path is dropped.
    ///
    /// # Errors
    /// A local error if the folder does not exist or cannot be written.
    pub(crate) fn create_temp(&self) -> Result<(File, TempPath), Error> {
        tempfile::Builder::new()
            .prefix(".tnv-")
            .suffix(".part")
            // What any new file gets; the umask takes its share.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(self.folder())
            .map(tempfile::NamedTempFile::into_parts)
            .map_err(|error| {
                Error::local(format!(
                    "cannot write into the folder {}: {}",
                    self.folder().display(),
                    reason(&error)
                ))
            })
    }

    /// Gives a complete and synced temporary file its name. A file that appeared there meanwhile is not replaced,
    /// unless that was asked for.
    ///
    /// # Errors
    /// A local error; the temporary file is removed then.
    pub(crate) fn publish(&self, temp: TempPath) -> Result<(), Error> {
        let outcome = if self.replace {
            temp.persist(&self.path)
        } else {
            temp.persist_noclobber(&self.path).or_else(|failed| {
                // Some file systems can only rename over whatever is there; then the look before must do.
                let free = fs::symlink_metadata(&self.path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
                if free { failed.path.persist(&self.path) } else { Err(failed) }
            })
        };
        outcome.map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.path),
            _ => Error::local(format!("cannot write {}: {}", self.path.display(), reason(&failed.error))),
        })
    }

    /// Makes the new name survive a crash. Folders that cannot be synced are left to the system.
    pub(crate) async fn sync_folder(&self) {
        let folder = self.folder().to_owned();
        let _ = tokio::task::spawn_blocking(move || File::open(folder)?.sync_all()).await;
    }
}

fn exists(path: &Path) -> Error {
    Error::local(format!("{} exists already; --force replaces it, -o gives another name", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_under_its_name_when_published() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("new"), false).unwrap();
        let (_, temp) = target.create_temp().unwrap();
        fs::write(&temp, b"contents").unwrap();
        assert!(!folder.path().join("new").exists());
        target.publish(temp).unwrap();
        assert_eq!(entries(folder.path()), ["new"]);
        assert_eq!(fs::read(folder.path().join("new")).unwrap(), b"contents");
    }

    #[test]
    fn an_unpublished_file_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let (_, temp) = Target::new(&folder.path().join("new"), false).unwrap().create_temp().unwrap();
        assert_eq!(entries(folder.path()).len(), 1);
        drop(temp);
        assert!(entries(folder.path()).is_empty());
    }

    #[test]
    fn a_file_is_replaced_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        fs::write(&path, b"old").unwrap();
        assert!(Target::new(&path, false).unwrap_err().text.contains("exists already"));
        let target = Target::new(&path, true).unwrap();
        let (_, temp) = target.create_temp().unwrap();
        target.publish(temp).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_file_that_appeared_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late");
        let target = Target::new(&path, false).unwrap();
        let (_, temp) = target.create_temp().unwrap();
        fs::write(&path, b"theirs").unwrap();
        assert!(target.publish(temp).unwrap_err().text.contains("exists already"));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(entries(folder.path()), ["late"]);
    }

    #[test]
    fn links_are_followed_and_devices_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, loose) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("loose"));
        fs::write(&file, b"old").unwrap();
        symlink("file", &link).unwrap();
        symlink("nowhere", &loose).unwrap();
        let target = Target::new(&link, true).unwrap();
        let (_, temp) = target.create_temp().unwrap();
        target.publish(temp).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"");
        assert!(Target::new(&loose, true).unwrap_err().text.contains("leads nowhere"));
        assert!(Target::new(Path::new("/dev/null"), true).unwrap_err().text.contains("is a device"));
    }

    #[test]
    fn folders_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/");
        assert!(Target::new(&missing, false).unwrap_err().text.contains("there is no folder"));
        let target = Target::new(&missing.join("file"), false).unwrap();
        assert!(target.create_temp().unwrap_err().text.contains("no such file or directory"));
    }
}
