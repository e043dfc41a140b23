//! Files that turn out not to be what was stored: reported, and left alone until they are repaired.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use tnv_proto::FileKey;
use tokio::task::spawn_blocking;

use crate::catalog::Location;
use crate::files::Files;
use crate::metrics::StorageMetrics;
use crate::rows::Entry;
use crate::service::StorageService;
use crate::source::is_damage;
use crate::volume::StorePath;

/// A file that could not be read.
pub(crate) struct Finding {
    key: FileKey,
    /// The copy that is to be marked, where bytes are to blame and the row says which copy.
    copy: Option<(u32, String)>,
    /// Whether it may be the disk that is broken, or away, rather than the file.
    disk: bool,
    reason: String,
}

impl Finding {
    pub(crate) fn new(key: &FileKey, entry: &Entry, error: &io::Error) -> Finding {
        let is_gone = error.kind() == io::ErrorKind::NotFound;
        let copy = match &entry.location {
            Location::Here { path_index, path } if is_damage(error) || is_gone => {
                Some((*path_index, path.clone()))
            }
            _ => None,
        };
        let disk = is_gone || Errno::from_io_error(error) == Some(Errno::IO);
        Finding { key: key.clone(), copy, disk, reason: error.to_string() }
    }
}

impl StorageService {
    /// Logs and counts a file that cannot be read, and marks its copy as damaged. On a shared volume nothing is marked: the
    /// volume repairs what it holds, and what one host sees of it may be a moment old.
    pub(crate) fn report(&self, finding: Finding) {
        let path = finding.copy.as_ref().and_then(|(index, _)| self.volume.path(*index)).cloned();
        tell(&finding);
        if let Some(path) = path {
            // Nobody waits for it but a stop.
            self.commits.spawn(mark_found(self.files.clone(), path, finding));
        }
    }
}

/// The same for a file that lies in this store path.
pub(crate) async fn report(files: Arc<Files>, path: Arc<StorePath>, finding: Finding) {
    tell(&finding);
    mark_found(files, path, finding).await;
}

fn tell(finding: &Finding) {
    StorageMetrics::global().damaged.inc();
    tracing::error!(file = %finding.key, error = finding.reason, "a file is missing or damaged");
}

async fn mark_found(files: Arc<Files>, path: Arc<StorePath>, finding: Finding) {
    if let Some((_, place)) = finding.copy
        && !path.is_shared()
    {
        mark(files, finding.key, path, place, finding.disk).await;
    }
}

async fn mark(files: Arc<Files>, key: FileKey, path: Arc<StorePath>, place: String, disk: bool) {
    if disk {
        let asked = path.clone();
        // All files of a disk that is gone look the same, and need no repair when it is back.
        if !matches!(spawn_blocking(move || asked.can_be_read()).await, Ok(true)) {
            tracing::error!(
                path = path.written(),
                "the disk cannot be read: its files are not marked as damaged"
            );
            return;
        }
    }
    let marked = files.catalog().mark_damaged(path.index(), &place).await;
    files.evict(&key).await;
    match marked {
        Ok(true) => {
            tracing::error!(file = %key, place, "marked as damaged: nothing is sent of it until it is repaired")
        }
        Ok(false) => {}
        Err(error) => tracing::error!(file = %key, place, %error, "cannot mark a damaged file"),
    }
}
