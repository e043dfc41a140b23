//! Space that is kept for the day the disk is full: without it not even a delete could be written.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

/// How much is kept: room for a few thousand deletes, and for opening the database.
const SIZE: u64 = 2 * 1024 * 1024;
/// A disk with less is taken for full.
const FULL: u64 = 1024 * 1024;
/// It is laid in again when so much is free.
const ENOUGH: u64 = 8 * SIZE;
/// Between two looks whether that is so.
const INTERVAL: Duration = Duration::from_secs(60);

/// A file beside the database that holds blocks and nothing else. The processes that share the database share it.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    looked: Option<Instant>,
}

impl Ballast {
    /// The ballast of this database. Nothing is done yet.
    pub(super) fn of(database: &Path) -> Ballast {
        let mut path = database.as_os_str().to_owned();
        path.push("-ballast");
        Ballast { path: path.into(), looked: None }
    }

    /// Lays it in, if it is missing and the disk has room. Looks only now and then. Blocks.
    pub(super) fn restore(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < INTERVAL) {
            return;
        }
        self.looked = Some(Instant::now());
        // Not having it is no reason not to work.
        if let Err(error) = self.lay_in() {
            tracing::debug!(path = %self.path.display(), %error, "no ballast");
        }
    }

    fn lay_in(&self) -> std::io::Result<()> {
        if self.path.try_exists()? {
            return Ok(());
        }
        if self.free()? < ENOUGH {
            return Ok(());
        }
        let file: File = OpenOptions::new().write(true).create_new(true).open(&self.path)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, SIZE)?)
    }

    /// Gives it up if the disk is full, so that what comes next can be written. Blocks.
    pub(super) fn release_if_full(&mut self) {
        let full = self.free().is_ok_and(|free| free < FULL);
        if full && std::fs::remove_file(&self.path).is_ok() {
            self.looked = Some(Instant::now());
            tracing::warn!(
                path = %self.path.display(),
                "the disk is full: gave up the space that was kept for this; delete files or make room"
            );
        }
    }

    /// Bytes that the disk has left.
    fn free(&self) -> std::io::Result<u64> {
        let folder =
            self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
