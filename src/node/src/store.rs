//! The packages that are held whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FlockOperation;
use tnv_common::disk::{Disk, tells_what_is_cached};
use tnv_package::MeetingId;
use tokio::sync::watch;

use crate::folder::Folder;
use crate::metrics::NodeMetrics;
use crate::package::{Package, Reading, Unreadable};

/// Threads that wait for the disk so that something can be sent, at most: others are left for everything else.
const READERS: usize = 8;
/// Keeps two processes from one storage.
const LOCK: &str = ".lock";

/// Why a storage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder.
    #[error("cannot use the storage folder {}: {source}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the storage folder {} belongs to another running node; give each a storage.path of its own", path.display())]
    Taken {
        /// Which one.
        path: PathBuf,
    },
}

/// The storage folder. All methods but those of the map block.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    disk: Disk,
    packages: Mutex<BTreeMap<MeetingId, Arc<Package>>>,
    /// Changes with every package that comes or goes.
    news: watch::Sender<()>,
    /// Held as long as the folder is used.
    _lock: File,
}

impl Store {
    /// Opens the folder, which is made where it is missing, and every package in it.
    ///
    /// # Errors
    /// [`StoreError`] if the folder cannot be used. A package that cannot is no error: the hub has it.
    pub(crate) fn open(root: PathBuf) -> Result<Store, StoreError> {
        let failed = |source| StoreError::Folder { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(root.join(LOCK));
        let lock = lock.map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Taken { path: root }),
            Err(error) => return Err(failed(error.into())),
        }
        let waits = NodeMetrics::global().disk_waits.clone();
        let disk = Disk::new(tells_what_is_cached(&lock), READERS, waits);
        let found = meetings_in(&root).map_err(failed)?.into_iter().filter_map(|meeting| {
            let package = open_package(&root, &meeting, &disk)?;
            Some((meeting, Arc::new(package)))
        });
        let packages = found.collect();
        let (packages, news) = (Mutex::new(packages), watch::Sender::default());
        Ok(Store { root, disk, packages, news, _lock: lock })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What packages lie on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn folder(&self, meeting: &MeetingId) -> Folder {
        Folder::of(&self.root, meeting)
    }

    /// A package, to look at.
    pub(crate) fn peek(&self, meeting: &MeetingId) -> Option<Arc<Package>> {
        self.lock().get(meeting).cloned()
    }

    /// A package, to read; it stays until the guard is dropped.
    pub(crate) fn read(&self, meeting: &MeetingId, now_ms: i64) -> Option<Reading> {
        self.lock().get(meeting).map(|package| package.read(now_ms))
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(MeetingId, Arc<Package>)> {
        self.lock().iter().map(|(meeting, package)| (meeting.clone(), package.clone())).collect()
    }

    /// Bytes that they have together.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().values().map(|package| package.layout.len()).sum()
    }

    /// Meetings that have a folder and no package.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn without_package(&self) -> io::Result<Vec<MeetingId>> {
        let mut meetings = meetings_in(&self.root)?;
        let packages = self.lock();
        meetings.retain(|meeting| !packages.contains_key(meeting));
        Ok(meetings)
    }

    /// Puts a package in the place of the one before. Whoever reads that one goes on.
    pub(crate) fn put(&self, meeting: MeetingId, package: Arc<Package>) {
        self.lock().insert(meeting, package);
        self.news.send_modify(|()| {});
    }

    /// To be told when packages come and go.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Removes a package that nobody reads, its folder and all: whether it did.
    ///
    /// # Errors
    /// I/O errors; the package is not served any more then.
    pub(crate) fn remove(&self, meeting: &MeetingId) -> io::Result<bool> {
        let mut packages = self.lock();
        if packages.get(meeting).is_some_and(|package| package.is_read()) {
            return Ok(false);
        }
        packages.remove(meeting);
        drop(packages);
        self.news.send_modify(|()| {});
        self.folder(meeting).remove()?;
        Ok(true)
    }

    /// Takes a package out, if it is still this one, and leaves its folder: whether it did.
    pub(crate) fn take_out(&self, meeting: &MeetingId, package: &Arc<Package>) -> bool {
        let mut packages = self.lock();
        if !packages.get(meeting).is_some_and(|held| Arc::ptr_eq(held, package)) {
            return false;
        }
        packages.remove(meeting);
        drop(packages);
        self.news.send_modify(|()| {});
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MeetingId, Arc<Package>>> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn meetings_in(root: &Path) -> io::Result<Vec<MeetingId>> {
    let entries = fs::read_dir(root)?.filter_map(Result::ok);
    Ok(entries.filter_map(|entry| Folder::meeting(&entry.file_name())).collect())
}

fn open_package(root: &Path, meeting: &MeetingId, disk: &Disk) -> Option<Package> {
    let folder = Folder::of(root, meeting);
    match Package::open(&folder.package(), disk) {
        Ok(package) if package.layout.manifest().meeting().id == *meeting => Some(package),
        Ok(_) => discard(&folder, meeting, "它属于另一个会议"),
        Err(Unreadable::Not(reason)) => discard(&folder, meeting, &reason),
        Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(Unreadable::Io(error)) => {
            tracing::error!(%error, "会议包无法读取: {meeting}");
            None
        }
    }
}

/// Removes what only takes up room: the hub has the package.
fn discard(folder: &Folder, meeting: &MeetingId, reason: &str) -> Option<Package> {
    tracing::warn!(reason, "会议包已损坏，将重新同步: {meeting}");
    if let Err(error) = crate::durable::remove(&folder.package()) {
        tracing::error!(%error, "损坏的会议包无法删除: {meeting}");
    }
    None
}
