//! Which files an upload is about: those named, and with `-r` those in folders.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::error::{Error, reason};
use crate::piece::Piece;

/// Folders within folders that are looked into.
const MAX_DEPTH: usize = 256;

/// One file to upload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) piece: Piece,
    /// What it is called there, if the user does not say: its file name, or its path from the folder that was named.
    pub(crate) name: PathBuf,
}

/// The files that were asked for, in their order, those of a folder by name; and what is wrong with the others.
pub(crate) async fn select(pieces: Vec<Piece>, recursive: bool) -> Vec<Result<Selected, Error>> {
    let walk = move || {
        let mut found = Vec::new();
        for piece in pieces {
            if recursive && piece.path.is_dir() {
                // The name of `.` or `..` would be none: what is in it counts from there.
                let name = piece.path.file_name().map(PathBuf::from).unwrap_or_default();
                enter(&piece.path, &name, MAX_DEPTH, &mut found);
            } else {
                let name = piece.path.file_name().map(PathBuf::from).unwrap_or_default();
                found.push(Ok(Selected { piece, name }));
            }
        }
        found
    };
    // It can only fail by panicking.
    spawn_blocking(walk).await.unwrap_or_else(|error| vec![Err(Error::local(error.to_string()))])
}

/// Links to files are followed, links to folders are not: they may lead in circles. What is neither file nor folder
/// has nothing to upload.
fn enter(folder: &Path, name: &Path, depth: usize, found: &mut Vec<Result<Selected, Error>>) {
    let failed = |error: &std::io::Error| {
        Err(Error::local(format!("cannot read the folder {}: {}", folder.display(), reason(error))))
    };
    if depth == 0 {
        found.push(Err(Error::local(format!("{} lies too deep", folder.display()))));
        return;
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return found.push(failed(&error)),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            enter(&path, &name, depth - 1, found);
        } else if path.is_file() {
            found.push(Ok(Selected { piece: Piece { path, offset: 0, size: 0 }, name }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn piece(path: PathBuf) -> Piece {
        Piece { path, offset: 0, size: 0 }
    }

    async fn names(pieces: Vec<Piece>, recursive: bool) -> Vec<String> {
        let found = select(pieces, recursive).await.into_iter();
        found.map(|one| one.unwrap().name.to_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn folders_are_walked_in_order_and_never_in_circles() {
        let folder = tempfile::tempdir().unwrap();
        let films = folder.path().join("films");
        for name in ["b/2.mp4", "b/1.mp4", "a.mp4", "c/d/e.srt"] {
            let path = films.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        symlink("..", films.join("c/up")).unwrap();
        symlink("a.mp4", films.join("z.mp4")).unwrap();
        symlink("nowhere", films.join("loose")).unwrap();
        let expected = ["films/a.mp4", "films/b/1.mp4", "films/b/2.mp4", "films/c/d/e.srt", "films/z.mp4"];
        assert_eq!(names(vec![piece(films.clone())], true).await, expected);
        assert_eq!(names(vec![piece(films.join("b/."))], true).await, ["b/1.mp4", "b/2.mp4"]);
        assert_eq!(names(vec![piece(films.join("b/.."))], true).await.len(), 5);
        assert_eq!(names(vec![piece(films.join("b/1.mp4"))], true).await, ["1.mp4"]);
        assert_eq!(names(vec![piece(films)], false).await, ["films"]);
    }
}
