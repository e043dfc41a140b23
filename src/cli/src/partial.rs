//! A download that may end and go on later: `NAME.part`, and what is known about it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempPath;
use tnv_proto::{Attributes, FileKey};
use tokio::task::spawn_blocking;

use crate::error::{Error, reason};
use crate::sink::{Sink, Written};
use crate::state::{Memo, StateFolder};
use crate::target::Target;

const PIECE: usize = 256 * 1024;

/// The beginning of a file beside its final place. If nothing has been written, dropping it leaves nothing.
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    /// There until it is published or discarded; its lock keeps other processes away.
    memo: Option<Memo>,
    written: u64,
    hasher: blake3::Hasher,
}

/// What the bytes are of, and which file holds them: one that somebody else put there is not ours.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    path: String,
    app: String,
    user: String,
    id: String,
    size: u64,
    blake3: String,
    device: u64,
    inode: u64,
}

impl Partial {
    /// Opens what an earlier command left of this very file, or begins. `None` if nothing can be remembered, another
    /// process is at it, or the name is taken by something else.
    ///
    /// # Errors
    /// A local error if what is there cannot be read.
    pub(crate) async fn open(
        target: &Target,
        key: &FileKey,
        attributes: &Attributes,
        state: &StateFolder,
    ) -> Result<Option<Partial>, Error> {
        let path = path_of(target.path());
        let Ok(absolute) = std::path::absolute(&path) else { return Ok(None) };
        let Some(mut memo) = state.open("downloads", &[absolute.as_os_str().as_bytes()]) else {
            return Ok(None);
        };
        let known: Option<Bound> = memo.read();
        let Some(file) = open_own(&path, known.as_ref()) else {
            if known.is_none() {
                memo.forget();
            }
            return Ok(None);
        };
        let failed =
            |error: io::Error| Error::local(format!("cannot read {}: {}", path.display(), reason(&error)));
        let metadata = file.metadata().map_err(failed)?;
        let bound = Bound {
            path: absolute.to_string_lossy().into_owned(),
            app: key.app.to_string(),
            user: key.user.to_string(),
            id: key.file.to_string(),
            size: attributes.size,
            blake3: attributes.blake3.to_string(),
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        let goes_on = known.as_ref() == Some(&bound) && metadata.len() <= attributes.size;
        let mut partial =
            Partial { file, path: path.clone(), memo: Some(memo), written: 0, hasher: blake3::Hasher::new() };
        if goes_on {
            partial.take_in(metadata.len()).await.map_err(failed)?;
            return Ok(Some(partial));
        }
        let begun =
            partial.restart().and_then(|()| partial.memo.as_mut().map_or(Ok(()), |memo| memo.write(&bound)));
        if begun.is_err() {
            partial.discard();
            return Ok(None);
        }
        Ok(Some(partial))
    }

    /// How many bytes have been written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Length and checksum of what has been written.
    pub(crate) fn so_far(&self) -> Written {
        Written::of(self.written, self.hasher.clone())
    }

    /// Takes what comes next; what it wrote is told to [`Partial::advance`].
    ///
    /// # Errors
    /// If the file is not to be had any more.
    pub(crate) fn sink(&mut self) -> io::Result<Sink> {
        self.file.set_len(self.written)?;
        self.file.seek(SeekFrom::Start(self.written))?;
        let complete = |file: &mut File| file.sync_all();
        Ok(Sink::start_behind(self.so_far(), self.file.try_clone()?, complete))
    }

    /// Notes what has been written by now.
    pub(crate) fn advance(&mut self, written: Written) {
        self.written = written.size;
        self.hasher = written.into_hasher();
    }

    /// Empties it.
    ///
    /// # Errors
    /// If the file is not to be had any more.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.written = 0;
        self.hasher = blake3::Hasher::new();
        Ok(())
    }

    /// Gives it its name. Should something be there by now, it stays a part.
    ///
    /// # Errors
    /// A local error.
    pub(crate) fn publish(mut self, target: &Target) -> Result<(), Error> {
        let mut temp = TempPath::try_from_path(&self.path).map_err(|error| {
            Error::local(format!("cannot find {}: {}", self.path.display(), reason(&error)))
        })?;
        temp.disable_cleanup(true);
        target.publish(temp)?;
        if let Some(memo) = self.memo.take() {
            memo.forget();
        }
        Ok(())
    }

    /// Removes it.
    pub(crate) fn discard(mut self) {
        self.remove();
    }

    /// Adds where it stays and what for.
    pub(crate) fn advise(&self, mut error: Error) -> Error {
        if self.written > 0 {
            let path = self.path.display();
            error.text = format!("{}; {path} stays, the same command goes on with it", error.text);
        }
        error
    }

    /// Reads what an earlier command left, so that the checksum is one of the bytes on the disk.
    async fn take_in(&mut self, len: u64) -> io::Result<()> {
        let mut file = self.file.try_clone()?;
        self.hasher = spawn_blocking(move || {
            let (mut hasher, mut rest, mut buffer) = (blake3::Hasher::new(), len, vec![0; PIECE]);
            file.seek(SeekFrom::Start(0))?;
            while rest > 0 {
                let piece = PIECE.min(usize::try_from(rest).unwrap_or(PIECE));
                file.read_exact(&mut buffer[..piece])?;
                hasher.update(&buffer[..piece]);
                rest -= piece as u64;
            }
            io::Result::Ok(hasher)
        })
        .await??;
        self.written = len;
        Ok(())
    }

    fn remove(&mut self) {
        if let Some(memo) = self.memo.take() {
            let _ = fs::remove_file(&self.path);
            memo.forget();
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            self.remove();
        }
    }
}

/// `NAME.part` beside `NAME`.
fn path_of(target: &Path) -> PathBuf {
    let mut path = OsString::from(target);
    path.push(".part");
    path.into()
}

/// Creates the file, or opens the one that the memo is about.
fn open_own(path: &Path, known: Option<&Bound>) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            options.create_new(true).mode(0o666).open(path).ok()
        }
        Ok(metadata) if metadata.is_file() => {
            let own =
                known.is_some_and(|known| (known.device, known.inode) == (metadata.dev(), metadata.ino()));
            own.then(|| options.open(path).ok()).flatten()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tnv_proto::Checksum;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        state: StateFolder,
    }

    impl Place {
        fn new() -> Place {
            let folder = tempfile::tempdir().unwrap();
            let state = StateFolder::at(&folder.path().join("state"));
            Place { folder, state }
        }

        fn part(&self) -> PathBuf {
            self.folder.path().join("film.part")
        }

        async fn open(&self, id: &str, size: u64, blake3: u8) -> Option<Partial> {
            let target = Target::new(&self.folder.path().join("film"), true).unwrap();
            let key = FileKey::new("tnvideo", "tnv001", id).unwrap();
            let attributes = Attributes {
                size,
                created_ms: 0,
                crc32: 0,
                blake3: Checksum([blake3; 32]),
                content_type: String::new(),
                name: String::new(),
            };
            Partial::open(&target, &key, &attributes, &self.state).await.unwrap()
        }

        /// Leaves these bytes of `f1`, of 10 bytes.
        async fn leave(&self, bytes: &'static [u8]) {
            let mut partial = self.open("f1", 10, 1).await.unwrap();
            partial.restart().unwrap();
            let mut sink = partial.sink().unwrap();
            sink.write(bytes.into()).await.unwrap();
            partial.advance(sink.finish().await.unwrap());
            assert_eq!(partial.written(), bytes.len() as u64);
        }

        fn memos(&self) -> usize {
            fs::read_dir(self.folder.path().join("state/downloads")).unwrap().count()
        }
    }

    #[tokio::test]
    async fn what_was_left_of_the_same_file_is_gone_on_with() {
        let place = Place::new();
        place.leave(b"0123").await;
        let mut partial = place.open("f1", 10, 1).await.unwrap();
        assert_eq!(partial.written(), 4);
        let mut sink = partial.sink().unwrap();
        sink.write(bytes::Bytes::from_static(b"456789")).await.unwrap();
        partial.advance(sink.finish().await.unwrap());
        assert_eq!(partial.so_far().blake3, Checksum(blake3::hash(b"0123456789").into()));
        partial.publish(&Target::new(&place.folder.path().join("film"), false).unwrap()).unwrap();
        assert_eq!(fs::read(place.folder.path().join("film")).unwrap(), b"0123456789");
        assert!(!place.part().exists());
        assert_eq!(place.memos(), 0);
    }

    #[tokio::test]
    async fn another_file_begins_anew() {
        for (id, size, blake3) in [("f2", 10, 1), ("f1", 11, 1), ("f1", 10, 2), ("f1", 3, 1)] {
            let place = Place::new();
            place.leave(b"0123").await;
            assert_eq!(place.open(id, size, blake3).await.unwrap().written(), 0);
            assert!(!place.part().exists(), "nothing was written, nothing is left");
        }
    }

    #[tokio::test]
    async fn what_somebody_else_put_there_is_left_alone() {
        let place = Place::new();
        fs::write(place.part(), b"theirs").unwrap();
        assert!(place.open("f1", 10, 1).await.is_none());
        assert_eq!(place.memos(), 0);
        fs::remove_file(place.part()).unwrap();
        place.leave(b"0123").await;
        let other = place.folder.path().join("other");
        fs::write(&other, b"theirs").unwrap();
        fs::rename(&other, place.part()).unwrap();
        assert!(place.open("f1", 10, 1).await.is_none());
        assert_eq!(fs::read(place.part()).unwrap(), b"theirs");
    }

    #[tokio::test]
    async fn only_one_at_a_time_and_only_with_a_memory() {
        let mut place = Place::new();
        let first = place.open("f1", 10, 1).await.unwrap();
        assert!(place.open("f1", 10, 1).await.is_none());
        drop(first);
        place.state = StateFolder::none();
        assert!(place.open("f1", 10, 1).await.is_none());
        assert!(!place.part().exists());
    }

    #[tokio::test]
    async fn a_name_that_was_taken_meanwhile_leaves_the_part() {
        let place = Place::new();
        place.leave(b"0123456789").await;
        let target = Target::new(&place.folder.path().join("film"), false).unwrap();
        fs::write(target.path(), b"theirs").unwrap();
        let partial = place.open("f1", 10, 1).await.unwrap();
        assert!(partial.publish(&target).unwrap_err().text.contains("exists already"));
        assert_eq!(fs::read(place.part()).unwrap(), b"0123456789");
        assert_eq!(fs::read(target.path()).unwrap(), b"theirs");
    }
}
