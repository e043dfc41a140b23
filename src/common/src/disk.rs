//! Files that are sent: what of them can be had at once, and what only their disk has.
//!
//! Nothing that may wait for a disk is done on a reactor. Where the file system tells what is in memory
//! ([`Disk::tells_what_is_cached`]), files are opened and read there as far as they are. Whoever must wait for the disk
//! waits for one of its readers first, and for the disk on a blocking thread: so cold files wait for each other and for
//! nobody else.

mod aside;
mod file;
mod window;

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

pub use aside::drop_aside;
pub use file::{DiskFile, Stamp};
pub use window::{FIRST_WINDOW, Window};

/// The disk that files lie on, as those see it who send them. Clones share its readers.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tells_what_is_cached: bool,
    readers: Arc<Semaphore>,
    waits: Counter,
}

impl Disk {
    /// One that up to `readers` may wait for at once; each wait counts in `waits`.
    pub fn new(tells_what_is_cached: bool, readers: usize, waits: Counter) -> Disk {
        Disk(Arc::new(Shared { tells_what_is_cached, readers: Arc::new(Semaphore::new(readers)), waits }))
    }

    /// Whether files here can be opened and read without waiting for a disk, as far as they are in memory.
    pub fn tells_what_is_cached(&self) -> bool {
        self.0.tells_what_is_cached
    }

    /// Whoever waits for the disk so that something can be sent holds one of these.
    pub fn readers(&self) -> &Arc<Semaphore> {
        &self.0.readers
    }

    /// Opens a file, if that takes no disk. `None`: ask [`Disk::open`].
    pub fn open_cached(&self, path: &Path) -> Option<DiskFile> {
        if !self.tells_what_is_cached() {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = File::from(openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?);
        let len = u64::try_from(rustix::fs::fstat(&file).ok()?.st_size).ok()?;
        Some(DiskFile::new(file, len, self.clone()))
    }

    /// Opens a file.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn open(&self, path: PathBuf) -> io::Result<DiskFile> {
        if let Some(file) = self.open_cached(&path) {
            return Ok(file);
        }
        let disk = self.clone();
        let open = move || {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok(DiskFile::new(file, len, disk))
        };
        self.wait_for(open).await
    }

    /// Does work that waits for the disk, on a blocking thread and when it is its turn.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let reader = self.readers().clone().acquire_owned().await.map_err(io::Error::other)?;
        self.0.waits.inc();
        self.work_with(reader, work).await.map_err(io::Error::other)?
    }

    fn work_with<T: Send + 'static>(
        &self,
        reader: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        spawn_blocking(move || {
            let done = work();
            // Also if nobody waits for it any more.
            drop(reader);
            done
        })
    }
}

/// Whether the file system of an open file can be read without waiting for its disk.
pub fn tells_what_is_cached(file: &File) -> bool {
    let probe = preadv2(file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT);
    matches!(probe, Ok(_) | Err(Errno::AGAIN))
}
