//! The folder of one meeting, and what lies in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tnv_package::{Layout, MeetingId};

use crate::journal::Journal;
use crate::{durable, package};

/// What folders of meetings begin with.
const PREFIX: &str = "meeting_";

/// `meeting_<id>` below the storage path:
///
/// | file | |
/// |---|---|
/// | `package.zip` | what is served |
/// | `package.zip.tmp` | the one that will take its place |
/// | `package.zip.tmp.done` | how far each member has come there, see [`crate::journal`] |
/// | `package.zip.old`, `package.zip.old.done` | the same of one that was given up for a newer version, or a package that was found damaged: its members may serve again |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn of(root: &Path, meeting: &MeetingId) -> Folder {
        Folder { path: root.join(format!("{PREFIX}{meeting}")) }
    }

    /// The meeting whose folder has this name.
    pub(crate) fn meeting(name: &OsStr) -> Option<MeetingId> {
        MeetingId::new(name.to_str()?.strip_prefix(PREFIX)?).ok()
    }

    pub(crate) fn package(&self) -> PathBuf {
        self.path.join("package.zip")
    }

    pub(crate) fn draft(&self) -> PathBuf {
        self.path.join("package.zip.tmp")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("package.zip.tmp.done")
    }

    pub(crate) fn former(&self) -> PathBuf {
        self.path.join("package.zip.old")
    }

    pub(crate) fn former_journal(&self) -> PathBuf {
        self.path.join("package.zip.old.done")
    }

    /// Makes it, unless it is there.
    pub(crate) fn create(&self) -> io::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.path)?;
        durable::sync_folder_of(&self.path)
    }

    /// Sets an unfinished package aside, if there is one, in the place of what was there.
    pub(crate) fn set_draft_aside(&self) -> io::Result<()> {
        if !self.draft().try_exists()? {
            return Ok(());
        }
        // Without its journal nothing of it counts, so the old one goes first and the new one comes last.
        durable::remove(&self.former_journal())?;
        rename(&self.draft(), &self.former())?;
        rename(&self.journal(), &self.former_journal())
    }

    /// Sets the package aside for what is still right in it: bytes count only when they were hashed again.
    pub(crate) fn set_package_aside(&self, layout: &Layout) -> io::Result<()> {
        self.remove_former()?;
        // Without its beginning nobody could tell where its members are.
        let file = File::options().write(true).open(self.package())?;
        package::frame(layout).try_for_each(|(at, bytes)| file.write_all_at(&bytes, at))?;
        rename(&self.package(), &self.former())?;
        durable::sync_folder_of(&self.package())?;
        let mut journal = Journal::create(&self.former_journal())?;
        let mut members = layout.manifest().members().iter().enumerate();
        members.try_for_each(|(index, member)| journal.note(index, member.size))
    }

    /// Removes what was set aside.
    pub(crate) fn remove_former(&self) -> io::Result<()> {
        durable::remove(&self.former_journal())?;
        durable::remove(&self.former())
    }

    /// Puts the finished package in its place, for good.
    pub(crate) fn publish(&self, finished: &File) -> io::Result<()> {
        finished.sync_all()?;
        fs::rename(self.draft(), self.package())?;
        durable::sync_folder_of(&self.package())?;
        // What is left here says nothing any more.
        durable::remove(&self.journal())
    }

    /// Removes the folder and everything in it. The package goes first: without it, nothing is served.
    pub(crate) fn remove(&self) -> io::Result<()> {
        durable::remove(&self.package())?;
        fs::remove_dir_all(&self.path)?;
        durable::sync_folder_of(&self.path)
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_meetings_and_back() {
        let meeting = MeetingId::new("m-1.2").unwrap();
        let folder = Folder::of(Path::new("/s"), &meeting);
        assert_eq!(folder.package(), Path::new("/s/meeting_m-1.2/package.zip"));
        assert_eq!(Folder::meeting(folder.path.file_name().unwrap()), Some(meeting));
        for other in ["meetings", "meeting_", "meeting_.a", "lost+found", "meeting_a b"] {
            assert_eq!(Folder::meeting(OsStr::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_draft_takes_the_place_of_the_one_set_aside_before() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::of(root.path(), &MeetingId::new("m").unwrap());
        folder.create().unwrap();
        for text in ["one", "two"] {
            fs::write(folder.draft(), text).unwrap();
            fs::write(folder.journal(), text).unwrap();
            folder.set_draft_aside().unwrap();
        }
        assert_eq!(fs::read(folder.former()).unwrap(), b"two");
        assert_eq!(fs::read(folder.former_journal()).unwrap(), b"two");
        folder.set_draft_aside().unwrap();
        folder.remove_former().unwrap();
        folder.remove().unwrap();
        assert!(fs::read_dir(root.path()).unwrap().next().is_none());
    }
}
