//! Unfinished work: bytes that a crash left under a temporary name, and bytes of deleted files.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tnv_common::database::DbError;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Leftover};
use crate::layout::Place;
use crate::volume::{Remains, StorePath, Volume};

/// Leftovers that are dealt with at a time.
const BATCH: u32 = 256;
/// Between two looks for what another storage has left.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);
/// Looks at what one process has left, at a time.
const ROUNDS: usize = 4;
/// How long a leftover that could not be removed waits.
const RETRY: Duration = Duration::from_secs(60);

/// Why unfinished work could not be settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The catalog did not answer.
    #[error(transparent)]
    Catalog(#[from] DbError),
    /// The disk failed.
    #[error("cannot settle unfinished uploads in {path}: {error}")]
    Disk {
        /// The store path.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

/// Gives bytes that processes which are gone have left their final name if they have a row, and removes those that have
/// none. In an exclusive store path before the first upload, in a shared one at any time.
pub(crate) async fn settle_uploads(volume: &Volume, catalog: &dyn Catalog) -> Result<(), SettleError> {
    for path in volume.paths().iter().filter(|path| path.is_answering()) {
        let listed = path.clone();
        let remains = blocking(move || listed.remains()).await.map_err(|error| failed(path, error))?;
        for left in remains {
            let left = Arc::new(left);
            // More may come as long as a process lives whose lock was lost; it soon notices.
            for _ in 0..ROUNDS {
                if settle(&left, catalog).await? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// One round; `false`: there is more.
async fn settle(remains: &Arc<Remains>, catalog: &dyn Catalog) -> Result<bool, SettleError> {
    let path = remains.path();
    let listed = remains.clone();
    let places = blocking(move || listed.places()).await.map_err(|error| failed(path, error))?;
    for place in places {
        // The bytes of a row that is still on its way must not be removed: it fails from here on, or is there.
        let kept = catalog.seal(path.index(), &place.path()).await?;
        tracing::info!(path = path.written(), place = place.path(), kept, "settled an unfinished upload");
        let left = remains.clone();
        let settle = move || if kept { left.keep(&place) } else { left.discard(&place) };
        blocking(settle).await.map_err(|error| failed(path, error))?;
    }
    let finished = remains.clone();
    blocking(move || finished.finish()).await.map_err(|error| failed(path, error))
}

/// Settles again and again what other storages of the volume leave when they are killed, or when their host dies.
pub(crate) async fn settle_others(
    volume: Arc<Volume>,
    catalog: Arc<dyn Catalog>,
    shutdown: CancellationToken,
) {
    while volume.is_shared() {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = shutdown.cancelled() => return,
        }
        // Cut off anywhere it can be begun again.
        tokio::select! {
            settled = settle_uploads(&volume, &*catalog) => if let Err(error) = settled {
                tracing::warn!(%error, "cannot settle what another storage left; trying again later");
            },
            () = shutdown.cancelled() => return,
        }
    }
}

fn failed(path: &StorePath, error: io::Error) -> SettleError {
    SettleError::Disk { path: path.written().to_owned(), error }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Removes the bytes of deleted files and then their rows, whenever there are some.
pub(crate) async fn sweep(
    volume: Arc<Volume>,
    catalog: Arc<dyn Catalog>,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
) {
    loop {
        // Cut off anywhere it can be begun again: rows go last.
        tokio::select! {
            swept = sweep_all(&volume, &*catalog) => if let Err(error) = swept {
                tracing::warn!(%error, "cannot sweep deleted files; trying again later");
            },
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(RETRY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// All leftovers, each once, a batch at a time. Those that cannot be removed now do not hold up the others.
async fn sweep_all(volume: &Arc<Volume>, catalog: &dyn Catalog) -> Result<(), DbError> {
    let mut after = None;
    loop {
        let leftovers = catalog.leftovers(after.as_ref(), BATCH).await?;
        let is_last = leftovers.len() < BATCH as usize;
        after = leftovers.last().cloned();
        let volume = volume.clone();
        let gone = spawn_blocking(move || remove(&volume, leftovers)).await.unwrap_or_default();
        if !gone.is_empty() {
            catalog.forget(gone).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Removes bytes, makes that durable, and returns those that are gone for good. Blocks.
fn remove(volume: &Volume, leftovers: Vec<Leftover>) -> Vec<Leftover> {
    let mut folders: BTreeSet<(u32, String)> = BTreeSet::new();
    let mut removed = Vec::new();
    for leftover in leftovers {
        let Some((path, place)) = locate(volume, &leftover) else { continue };
        match path.remove(&place) {
            Ok(()) => {
                folders.insert((path.index(), place.folder().to_owned()));
                removed.push((leftover, place));
            }
            Err(error) => tracing::warn!(place = place.path(), %error, "cannot remove a deleted file"),
        }
    }
    // In a folder that is not the store path any more everything seems to be gone already.
    let is_durable = |path: &Arc<StorePath>, folder: &str| {
        path.sync_folder(folder).and_then(|()| path.check_mark()).is_ok()
    };
    let failed: BTreeSet<(u32, String)> = folders
        .into_iter()
        .filter(|(index, folder)| !volume.path(*index).is_some_and(|path| is_durable(path, folder)))
        .collect();
    let durable = |(leftover, place): &(Leftover, Place)| {
        !failed.contains(&(leftover.path_index, place.folder().to_owned()))
    };
    removed.into_iter().filter(durable).map(|(leftover, _)| leftover).collect()
}

fn locate<'a>(volume: &'a Volume, leftover: &Leftover) -> Option<(&'a Arc<StorePath>, Place)> {
    let path = volume.path(leftover.path_index).filter(|path| path.is_answering());
    path.zip(Place::parse(&leftover.path))
}
