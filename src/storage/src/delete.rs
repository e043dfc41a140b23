//! DELETE. Order: cache, rows, cache again (a reader may have refilled it from the row), bytes, reply. The bytes go
//! at once; their copy row goes when that is durable, so a crash in between is made good at the next start.

use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{ErrorCode, Failure, FileKey};
use tokio::task::spawn_blocking;

use crate::catalog::Location;
use crate::files::not_found;
use crate::layout::Place;
use crate::service::StorageService;

impl StorageService {
    pub(crate) async fn delete(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let key = FileKey::decode(&connection.whole_body().await?)?;
        self.files.evict(&key).await;
        let row =
            self.files.catalog().find(&key).await.map_err(Failure::from)?.ok_or_else(|| not_found(&key))?;
        if row.location == Location::Elsewhere {
            // Its holder has it cached and must hear of it.
            let text = format!("{key} is held by another storage of the group; delete it there");
            return Err(Failure::new(ErrorCode::UNAVAILABLE, text).into());
        }
        let deleted = self.files.catalog().delete(&key).await.map_err(Failure::from)?;
        self.files.evict(&key).await;
        if !deleted {
            return Err(not_found(&key).into());
        }
        self.remove_bytes(&key, row.location).await;
        self.counters.deletes.add(1);
        tracing::info!(peer = %connection.peer(), file = %key, size = row.size, "deleted");
        Ok(Reply::empty())
    }

    /// Removes a deleted file's bytes. What cannot be removed now stays on the list of leftovers.
    async fn remove_bytes(&self, key: &FileKey, location: Location) {
        let volume = self.volume.clone();
        let removed = spawn_blocking(move || match location {
            Location::Here { path_index, path } => match (volume.path(path_index), Place::parse(&path)) {
                (Some(store_path), Some(place)) => store_path.remove(&place),
                _ => Ok(()),
            },
            Location::Written(path) => volume.locate_written(&path).map_or(Ok(()), std::fs::remove_file),
            Location::Elsewhere => Ok(()),
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(file = %key, %error, "cannot remove the bytes of a deleted file yet");
        }
        self.leftovers.notify_one();
    }
}
