//! Unfinished work: bytes that a crash left under a temporary name, and bytes of deleted files.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tnv_common::sqlite::DbError;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Leftover};
use crate::layout::Place;
use crate::volume::{StorePath, Volume};

/// Leftovers that are dealt with at a time.
const BATCH: u32 = 256;
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

/// Gives bytes that have a row their final name and removes those that have none. Before the first upload.
pub(crate) async fn settle_uploads(volume: &Volume, catalog: &dyn Catalog) -> Result<(), SettleError> {
    for path in volume.paths() {
        let failed = |error| SettleError::Disk { path: path.written().to_owned(), error };
        let listed = path.clone();
        let list = move || -> io::Result<Vec<(String, Vec<Place>)>> {
            let folders = listed.unsettled_folders()?;
            folders
                .into_iter()
                .map(|folder| Ok((folder.clone(), listed.unsettled_places(&folder)?)))
                .collect()
        };
        for (folder, places) in blocking(list).await.map_err(failed)? {
            for place in places {
                let kept = catalog.has_copy(path.index(), &place.path()).await?;
                tracing::info!(
                    path = path.written(),
                    place = place.path(),
                    kept,
                    "settled an unfinished upload"
                );
                let path = path.clone();
                let settle = move || if kept { path.publish(&place) } else { path.remove(&place) };
                blocking(settle).await.map_err(failed)?;
            }
            let path = path.clone();
            blocking(move || path.sync_folder(&folder)).await.map_err(failed)?;
        }
        let path = path.clone();
        blocking(move || path.forget_unsettled()).await.map_err(failed)?;
    }
    Ok(())
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
    let failed: BTreeSet<(u32, String)> = folders
        .into_iter()
        .filter(|(index, folder)| volume.path(*index).is_none_or(|path| path.sync_folder(folder).is_err()))
        .collect();
    let durable = |(leftover, place): &(Leftover, Place)| {
        !failed.contains(&(leftover.path_index, place.folder().to_owned()))
    };
    removed.into_iter().filter(durable).map(|(leftover, _)| leftover).collect()
}

fn locate<'a>(volume: &'a Volume, leftover: &Leftover) -> Option<(&'a Arc<StorePath>, Place)> {
    volume.path(leftover.path_index).zip(Place::parse(&leftover.path))
}
