//! The sums of files' blocks, each file's in a file of its own below `.tnv-sums`. They are a cache: nothing is synced, and what
//! is missing or torn is made again. Every method blocks.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use tnv_proto::Checksum;

use super::StorePath;
use super::journal::remove_if_there;
use crate::layout::Place;
use crate::sums::Sums;

/// The folder's name within a store path.
const FOLDER: &str = ".tnv-sums";

impl StorePath {
    fn sums_path(&self, place: &Place) -> PathBuf {
        self.root().join(FOLDER).join(format!("{}.sums", place.path()))
    }

    /// Keeps the sums of the file at this place. Where that fails they are made again when they are wanted.
    pub(crate) fn keep_sums(&self, place: &Place, sums: &Sums, size: u64, blake3: &Checksum) {
        if sums.is_empty() || self.is_shared() {
            return;
        }
        let path = self.sums_path(place);
        let keep = || {
            std::fs::create_dir_all(path.parent().unwrap_or(self.root()))?;
            // A torn one is not written over: somebody may be reading it.
            remove_if_there(&path)?;
            File::create_new(&path)?.write_all(&sums.encode(size, blake3))
        };
        if let Err(error) = keep() {
            tracing::debug!(path = %path.display(), %error, "checksums of blocks are not kept");
        }
    }

    /// The sums of the file at this place. `None`: there are none that are whole and its.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn read_sums(&self, place: &Place, size: u64, blake3: &Checksum) -> io::Result<Option<Sums>> {
        match std::fs::read(self.sums_path(place)) {
            Ok(bytes) => Ok(Sums::decode(&bytes, size, blake3)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the sums of a file that goes.
    pub(super) fn forget_sums(&self, place: &Place) -> io::Result<()> {
        if self.is_shared() { Ok(()) } else { remove_if_there(&self.sums_path(place)).map(drop) }
    }
}
