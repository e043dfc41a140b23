//! DELETE. Order: cache, rows, cache again (a reader may have refilled it from the row), the caches of the group's other
//! storages, bytes, reply. The bytes go at once; their copy row goes when that is durable, so a crash in between is made good at the next start.

use std::sync::Arc;

use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{ErrorCode, Failure, FileKey};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::catalog::{Leftover, Location};
use crate::files::not_found;
use crate::layout::Place;
use crate::service::StorageService;
use crate::volume::{Parts, StorePath};

impl StorageService {
    pub(crate) async fn delete(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let key = FileKey::decode(&connection.whole_body().await?)?;
        let Some(row) = self.files.catalog().find(&key).await.map_err(Failure::from)? else {
            self.files.evict(&key).await;
            return Err(not_found(&key).into());
        };
        let bytes = self.bytes_of(&key, &row.location)?;
        let uncounted = match (&row.location, &bytes) {
            (Location::Written(_), Some((path, place))) => {
                Some(Leftover { path_index: path.index(), path: place.path() })
            }
            _ => None,
        };
        self.discard_parts(&key).await?;
        // Not before the catalog has answered once: while it is away the cache is what readers have.
        self.files.evict(&key).await;
        let deleted = self.files.catalog().delete(&key, uncounted).await;
        // Also where nobody knows what became of it.
        self.files.evict(&key).await;
        if !deleted.map_err(Failure::from)? {
            return Err(not_found(&key).into());
        }
        if self.replicates {
            self.peers.settle_delete(&key, Instant::now() + self.row_lease).await;
        }
        if let Some((path, place)) = bytes.filter(|(path, _)| path.is_answering()) {
            // What cannot be removed now stays on the list of leftovers.
            let removed = spawn_blocking(move || path.remove(&place)).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(file = %key, %error, "cannot remove the bytes of a deleted file yet");
            }
        }
        self.leftovers.notify_one();
        self.counters.deletes.add(1);
        tracing::info!(peer = %connection.peer(), file = %key, size = row.size, "deleted");
        Ok(Reply::empty())
    }

    /// Removes what a crash in the middle of a FINISH left of the upload: asked for once more, it would bring the file
    /// back.
    async fn discard_parts(&self, key: &FileKey) -> Result<(), Interrupt> {
        let (volume, asked) = (self.volume.clone(), key.clone());
        if !matches!(spawn_blocking(move || Parts::is_there(&volume, &asked)).await, Ok(Ok(true))) {
            return Ok(());
        }
        let guard = self.enter(key).await?;
        self.forget_remains(key).await;
        guard.leave().await;
        Ok(())
    }

    /// Where a file's bytes are; `None` while their store path is away, or where other storages of a group of copies have
    /// them. Otherwise a file whose bytes another storage may have is refused: that storage must hear of it.
    fn bytes_of(
        &self,
        key: &FileKey,
        location: &Location,
    ) -> Result<Option<(Arc<StorePath>, Place)>, Failure> {
        let refused =
            |why: &str| Failure::new(ErrorCode::UNAVAILABLE, format!("{key} {why}; delete it there"));
        match location {
            Location::Here { path_index, path } | Location::Damaged { path_index, path } => {
                Ok(self.volume.path(*path_index).cloned().zip(Place::parse(path)))
            }
            Location::Written(path) => self
                .volume
                .locate_written(path)
                .map(Some)
                .ok_or_else(|| refused("lies in a store path that is not configured here")),
            // Each removes its own.
            Location::Elsewhere if self.replicates => Ok(None),
            Location::Elsewhere => Err(refused("is held by another storage of the group")),
        }
    }
}
