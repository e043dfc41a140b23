//! Under which id a file is being sent in parts, so that the same command goes on with it.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use tnv_proto::{AppId, FileId, UserId};

use crate::piece::Piece;
use crate::state::{Memo, StateFolder};

/// What is remembered of an upload, if it can be.
#[derive(Debug)]
pub(crate) struct Unfinished {
    memo: Option<Memo>,
    about: Option<About>,
    id: Option<FileId>,
    remembered: bool,
}

/// A file as it was when its upload began: one that has changed since is another one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    path: String,
    offset: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    trackers: Vec<String>,
    app: String,
    user: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    id: String,
    about: About,
}

impl Unfinished {
    /// Nothing is known, and nothing will be remembered.
    pub(crate) fn unknown() -> Unfinished {
        Unfinished { memo: None, about: None, id: None, remembered: false }
    }

    /// What is known of an upload of `size` bytes of this piece to these trackers, app and user.
    pub(crate) fn find(
        state: &StateFolder,
        piece: &Piece,
        size: u64,
        trackers: &[String],
        (app, user): (&AppId, &UserId),
    ) -> Unfinished {
        let (Ok(path), Ok(metadata)) = (std::path::absolute(&piece.path), std::fs::metadata(&piece.path))
        else {
            return Unfinished::unknown();
        };
        let mut trackers = trackers.to_vec();
        trackers.sort();
        let (offset, asked) = (piece.offset.to_be_bytes(), piece.size.to_be_bytes());
        let names = trackers.join(";");
        let identity: [&[u8]; 6] = [
            path.as_os_str().as_bytes(),
            &offset,
            &asked,
            names.as_bytes(),
            app.as_str().as_bytes(),
            user.as_str().as_bytes(),
        ];
        let about = About {
            path: path.to_string_lossy().into_owned(),
            offset: piece.offset,
            size,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            trackers,
            app: app.to_string(),
            user: user.to_string(),
        };
        let Some(mut memo) = state.open("uploads", &identity) else { return Unfinished::unknown() };
        let id = memo
            .read::<Written>()
            .filter(|written| written.about == about)
            .and_then(|written| FileId::new(&written.id).ok());
        Unfinished { remembered: id.is_some(), memo: Some(memo), about: Some(about), id }
    }

    /// The id under which it was begun.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.id.clone()
    }

    /// Whether the same command would find it.
    pub(crate) fn is_remembered(&self) -> bool {
        self.remembered
    }

    /// Remembers that it was begun under this id.
    pub(crate) fn remember(&mut self, id: &FileId) {
        if let (Some(memo), Some(about)) = (&mut self.memo, self.about.take()) {
            self.remembered = memo.write(&Written { id: id.to_string(), about }).is_ok();
        }
    }

    /// It is over.
    pub(crate) fn forget(&mut self) {
        if let Some(memo) = self.memo.take() {
            memo.forget();
        }
        self.remembered = false;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A memo that was opened and never written would be litter.
        if !self.remembered {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn find(folder: &std::path::Path, size: u64, tracker: &str, user: &str) -> Unfinished {
        let piece = Piece { path: folder.join("film"), offset: 0, size: 0 };
        let names = (&AppId::new("tnvideo").unwrap(), &UserId::new(user).unwrap());
        let state = StateFolder::at(&folder.join("state"));
        Unfinished::find(&state, &piece, size, &["z:1".to_owned(), tracker.to_owned()], names)
    }

    fn memos(folder: &std::path::Path) -> usize {
        fs::read_dir(folder.join("state/uploads")).unwrap().count()
    }

    #[test]
    fn the_same_upload_is_found_again_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, id) = (folder.path(), FileId::new("f1").unwrap());
        fs::write(folder.join("film"), b"contents").unwrap();
        let mut first = find(folder, 8, "a:1", "tnv001");
        assert_eq!(first.id(), None);
        first.remember(&id);
        // Somebody else at it at the same time goes without.
        assert!(!find(folder, 8, "a:1", "tnv001").is_remembered());
        drop(first);
        assert_eq!(find(folder, 8, "b:1", "tnv001").id(), None);
        assert_eq!(find(folder, 8, "a:1", "tnv002").id(), None);
        assert_eq!(memos(folder), 1);
        let mut again = find(folder, 8, "a:1", "tnv001");
        assert_eq!(again.id(), Some(id));
        again.forget();
        drop(again);
        assert_eq!(memos(folder), 0);
        assert_eq!(find(folder, 8, "a:1", "tnv001").id(), None);
    }

    #[test]
    fn a_file_that_changed_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("film"), b"contents").unwrap();
        let begin = || find(folder, 8, "a:1", "tnv001").remember(&FileId::new("f1").unwrap());
        begin();
        assert_eq!(find(folder, 9, "a:1", "tnv001").id(), None);
        begin();
        let film = fs::File::options().write(true).open(folder.join("film")).unwrap();
        film.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(find(folder, 8, "a:1", "tnv001").id(), None);
    }
}
