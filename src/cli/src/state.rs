//! What outlives a command: small files about transfers that may go on later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest memo that is read, in bytes.
const MAX_MEMO: u64 = 64 * 1024;

/// `$XDG_STATE_HOME/tnv`, else `~/.local/state/tnv`. Without either nothing is remembered.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder(Option<PathBuf>);

impl StateFolder {
    /// The user's own.
    pub(crate) fn of_user() -> StateFolder {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        StateFolder(state.map(|state| state.join("tnv")))
    }

    /// A folder of the caller's choice.
    #[cfg(test)]
    pub(crate) fn at(path: &Path) -> StateFolder {
        StateFolder(Some(path.to_owned()))
    }

    /// Nowhere.
    #[cfg(test)]
    pub(crate) fn none() -> StateFolder {
        StateFolder(None)
    }

    /// Opens the memo about a transfer, which `about` identifies, and locks it. `None` if another process has it or
    /// it cannot be had: the transfer works without, and only cannot go on later.
    pub(crate) fn open(&self, kind: &str, about: &[&[u8]]) -> Option<Memo> {
        let folder = self.0.as_ref()?.join(kind);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        let mut hasher = blake3::Hasher::new();
        for part in about {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        let path = folder.join(format!("{}.json", &hasher.finalize().to_hex()[..32]));
        // A memo may be forgotten between our opening and locking it; the next one has its name then.
        (0..8).find_map(|_| Memo::open(&path))
    }
}

/// One locked file with what is known about one transfer.
#[derive(Debug)]
pub(crate) struct Memo {
    file: File,
    path: PathBuf,
}

impl Memo {
    fn open(path: &Path) -> Option<Memo> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .ok()?;
        file.try_lock().ok()?;
        let same = fs::metadata(path).ok()?.ino() == file.metadata().ok()?.ino();
        same.then(|| Memo { file, path: path.to_owned() })
    }

    /// What was written last; `None` if it is nothing, or nothing that makes sense.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0)).ok()?;
        (&self.file).take(MAX_MEMO).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Replaces what is written.
    ///
    /// # Errors
    /// If the disk is full or broken.
    pub(crate) fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(value)?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&text)?;
        self.file.sync_all()
    }

    /// Removes it. Should that fail, an empty memo is as good as none.
    pub(crate) fn forget(self) {
        let _ = self.file.set_len(0);
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_is_read_back_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(&folder.path().join("deep/er"));
        let open = || state.open("uploads", &[b"a", b"b"]).unwrap();
        assert_eq!(open().read::<String>(), None);
        open().write(&"longer than the next").unwrap();
        open().write(&"next").unwrap();
        assert_eq!(open().read::<String>().unwrap(), "next");
        assert_eq!(open().read::<u64>(), None);
        open().forget();
        assert_eq!(fs::read_dir(folder.path().join("deep/er/uploads")).unwrap().count(), 0);
    }

    #[test]
    fn each_transfer_has_its_own_and_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let first = state.open("uploads", &[b"a", b"bc"]).unwrap();
        assert!(state.open("uploads", &[b"a", b"bc"]).is_none());
        assert!(state.open("uploads", &[b"ab", b"c"]).is_some());
        assert!(state.open("downloads", &[b"a", b"bc"]).is_some());
        drop(first);
        assert!(state.open("uploads", &[b"a", b"bc"]).is_some());
        assert!(StateFolder::none().open("uploads", &[b"a"]).is_none());
    }
}
