//! One store path: its mark, its room, and where in it the bytes of files are, before and after they have a row.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;
use tnv_common::config::WrittenPath;
use tnv_common::disk::Disk;

use super::durability::Durability;
use super::journal::{Journal, remove_if_there, sync_folder};
use super::mark::{self, Mark, MarkFile, MarkGuard, Owner};
use super::room::Room;
use super::staging::{self, Staging};
use super::{VolumeError, fresh};
use crate::config::{Replication, SyncPolicy, Writing};
use crate::metrics::StorageMetrics;

/// In an exclusive path: the folders that a process has put files into since the list was last settled.
pub(super) const FOLDERS_FILE: &str = ".tnv-folders";

/// Threads that wait for one store path's disk so that something can be sent, at most: others are left for everybody
/// else.
const READERS: usize = 8;

/// A store path whose mark has been read, but not judged yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    folder: WrittenPath,
    file: MarkFile,
    mark: Option<Mark>,
    replication: Replication,
}

impl Prepared {
    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    pub(super) fn root(&self) -> &Path {
        &self.folder.resolved
    }

    /// Marks the path if it is new, and makes it ready for use.
    pub(super) fn settle(
        mut self,
        owner: &Owner,
        free_index: u32,
        reserved_space: u64,
        writing: Writing,
    ) -> Result<StorePath, VolumeError> {
        let root = self.folder.resolved.clone();
        let unusable = |error: io::Error| unusable(&root, &error);
        let mark = match self.mark.take() {
            Some(mark) => mark,
            None => {
                let mark = Mark {
                    owner: owner.clone(),
                    path: free_index,
                    id_key: self.folder.written.clone(),
                    shared: self.replication == Replication::SharedVolume,
                };
                self.file.write(&root, &mark).map_err(unusable)?;
                tracing::info!(path = %root.display(), index = free_index, shared = mark.shared, "a new store path");
                mark
            }
        };
        let temps = if mark.shared {
            Temps::Staged(Staging::begin(&root).map_err(unusable)?)
        } else {
            if staging::left_in(&root).map_err(unusable)?.is_none() {
                return Err(unusable(io::Error::other(
                    "it is in use by another storage process, which shares it",
                )));
            }
            let is_synced = writing.sync != SyncPolicy::None;
            let journal = Journal::open(&root.join(FOLDERS_FILE), is_synced).map_err(unusable)?;
            sync_folder(&root).map_err(unusable)?;
            Temps::InPlace(journal)
        };
        let durability = Durability::of(&root, writing, mark.shared).map_err(unusable)?;
        let path = StorePath {
            index: mark.path,
            disk: Disk::new(
                !mark.shared && self.file.tells_what_is_cached(),
                READERS,
                StorageMetrics::global().disk_waits.clone(),
            ),
            guard: self.file.guard(&mark),
            id_key: if mark.id_key.is_empty() { self.folder.written.clone() } else { mark.id_key },
            written: self.folder.written,
            root: root.clone(),
            reserved_space,
            room: Room::default(),
            writable: AtomicBool::new(true),
            silent: AtomicBool::new(false),
            total: AtomicU64::new(0),
            temps,
            durability,
        };
        path.measure().map_err(unusable)?;
        Ok(path)
    }
}

/// A folder that takes files.
#[derive(Debug)]
pub struct StorePath {
    index: u32,
    id_key: String,
    written: String,
    root: PathBuf,
    reserved_space: u64,
    room: Room,
    writable: AtomicBool,
    silent: AtomicBool,
    total: AtomicU64,
    disk: Disk,
    guard: MarkGuard,
    pub(super) temps: Temps,
    durability: Durability,
}

/// Where bytes are until they have a row.
#[derive(Debug)]
pub(super) enum Temps {
    /// In the folder of their place, which only one process writes to.
    InPlace(Journal),
    /// In a folder of the process that writes them.
    Staged(Staging),
}

impl StorePath {
    pub(super) fn prepare(folder: &WrittenPath, replication: Replication) -> Result<Prepared, VolumeError> {
        let root = &folder.resolved;
        let unusable = |error: io::Error| unusable(root, &error);
        let open = || {
            std::fs::create_dir_all(root)?;
            MarkFile::open(root, replication)
        };
        let (file, mark) = match replication {
            Replication::None | Replication::Copies => open(),
            Replication::SharedVolume => fresh::patiently(open),
        }
        .map_err(unusable)?;
        Ok(Prepared { folder: folder.clone(), file, mark, replication })
    }

    /// Its number among the storage's paths, as its mark says.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The id servers' key for it: the path as it was first written.
    pub fn id_key(&self) -> &str {
        &self.id_key
    }

    /// As written in the config: the beginning of its rows' `file_path`.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The size of its file system in bytes.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes that new files may still take, the reserved space left out. 0 while it cannot be written.
    pub fn free(&self) -> u64 {
        if !self.is_writable() {
            return 0;
        }
        self.room.free().saturating_sub(self.reserved_space)
    }

    /// How what is written here becomes durable.
    pub(crate) fn durability(&self) -> &Durability {
        &self.durability
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    pub(super) fn reserved_space(&self) -> u64 {
        self.reserved_space
    }

    /// Whether other storages have it as well.
    pub fn is_shared(&self) -> bool {
        matches!(self.temps, Temps::Staged(_))
    }

    /// Where its files lie, for those who send them.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether the last attempt to write here succeeded.
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed) && self.is_answering()
    }

    /// Whether its file system answers in time. Whoever asks it for something while it does not may wait for long.
    pub fn is_answering(&self) -> bool {
        !self.silent.load(Ordering::Relaxed)
    }

    /// Leaves the path out, for reading as well, until [`StorePath::note_answer`].
    pub(crate) fn note_silence(&self) {
        if !self.silent.swap(true, Ordering::Relaxed) {
            tracing::error!(path = %self.root.display(),
                "its file system does not answer; leaving the store path out");
        }
    }

    pub(crate) fn note_answer(&self) {
        if self.silent.swap(false, Ordering::Relaxed) {
            tracing::info!(path = %self.root.display(), "the store path answers again");
        }
    }

    /// Leaves the path out until [`StorePath::refresh`] finds it writable again, if the error is the disk's fault.
    pub fn note_error(&self, error: &io::Error) {
        use io::ErrorKind::{AlreadyExists, InvalidData, QuotaExceeded, StorageFull};
        let is_full = matches!(error.kind(), StorageFull | QuotaExceeded);
        // A place that is taken, bytes that do not add up, or no more files that this process may open.
        let is_other = matches!(error.kind(), AlreadyExists | InvalidData)
            || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
        if !is_full && !is_other && self.writable.swap(false, Ordering::Relaxed) {
            let error = explain(error);
            tracing::error!(path = %self.root.display(), error, "cannot write; leaving the store path out");
        }
    }

    /// Asks the system afresh. Blocks.
    pub(crate) fn refresh(&self) {
        if let Err(error) = self.measure() {
            return self.note_error(&error);
        }
        if !self.writable.load(Ordering::Relaxed) && self.probe().is_ok() {
            tracing::info!(path = %self.root.display(), "the store path can be written again");
            self.writable.store(true, Ordering::Relaxed);
        }
    }

    /// Whether what lies there still is the store path. What cannot be found in another folder is not gone.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] if it is not; I/O errors.
    pub(crate) fn check_mark(&self) -> io::Result<()> {
        if self.guard.is_in(&self.root)? {
            return Ok(());
        }
        let text = "its mark is gone: another folder is in its place";
        Err(io::Error::new(io::ErrorKind::NotConnected, text))
    }

    /// Whether its disk gives anything at all, looked for past what is in memory. Blocks.
    pub(crate) fn can_be_read(&self) -> bool {
        let read = || -> io::Result<()> {
            let mut file = File::open(self.root.join(mark::FILE_NAME))?;
            fresh::forget_contents(&file)?;
            file.read_exact(&mut [0])
        };
        self.check_mark().and_then(|()| read()).is_ok()
    }

    fn measure(&self) -> io::Result<()> {
        self.check_mark()?;
        if let Temps::Staged(staging) = &self.temps {
            staging.renew()?;
        }
        self.room.measure(|| {
            let stat = rustix::fs::statvfs(&self.root)?;
            self.total.store(stat.f_blocks.saturating_mul(stat.f_frsize), Ordering::Relaxed);
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        })
    }

    /// Tries what an upload does first.
    fn probe(&self) -> io::Result<()> {
        let probe = self.root.join(".tnv-probe");
        File::create(&probe)?.write_all(b"?")?;
        // Another storage may have tried at the same moment.
        remove_if_there(&probe).map(drop)
    }
}

/// Whether an error says that a file system is out of reach, and not that something is wrong with a file.
pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    use Errno as E;
    let away = [
        E::NOTCONN,
        E::CONNABORTED,
        E::CONNRESET,
        E::CONNREFUSED,
        E::SHUTDOWN,
        E::STALE,
        E::TIMEDOUT,
        E::HOSTDOWN,
        E::HOSTUNREACH,
        E::NETDOWN,
        E::NETUNREACH,
        E::NODEV,
        E::BADFD,
    ];
    match Errno::from_io_error(error) {
        Some(errno) => away.contains(&errno),
        None => error.kind() == io::ErrorKind::NotConnected,
    }
}

/// The error, and what to do about it where that is known.
pub(crate) fn explain(error: &io::Error) -> String {
    if is_unreachable(error) {
        format!("{error}: the file system there is out of reach; look at its servers, or mount it again")
    } else {
        error.to_string()
    }
}

fn unusable(path: &Path, error: &io::Error) -> VolumeError {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "it cannot be written; give this user the right to write there".to_owned()
        }
        io::ErrorKind::StorageFull => "the disk is full; make room or choose another folder".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        _ => explain(error),
    };
    VolumeError::Unusable { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests;
