//! PUSH and KEEP: what one storage of a group sends another while it takes an upload.

use std::time::Duration;

use tnv_proto::{Checksum, FileKey, Keep, Push, Pushed, PushedPlace, Request, Server, Upload};

use crate::connection::{SMALL_READ, SMALL_REPLY};
use crate::exchange::RECENT;
use crate::pool::Pooled;
use crate::{ClientError, StorageClient};

/// How fast a storage makes at least durable what it was sent, in bytes per second.
const SYNC_RATE: u64 = 20_000_000;

/// A file on its way to a storage. Dropped before its end it is none.
pub struct Pushing {
    storage: StorageClient,
    connection: Pooled,
    size: u64,
}

impl StorageClient {
    /// PUSH: begins to send a file of `size` bytes, which the storage is to hold under a temporary name.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn push(&self, key: &FileKey, size: u64) -> Result<Pushing, ClientError> {
        let connection = self.pools().get_younger(Server::Storage, self.address(), RECENT).await?;
        let frame = Push(Upload { key: key.clone(), size }).to_frame();
        let mut pushing = Pushing { storage: self.clone(), connection, size };
        pushing.connection.begin();
        pushing.write(&frame).await?;
        Ok(pushing)
    }

    /// PUSH of a file that is in memory, in one write.
    ///
    /// # Errors
    /// If it cannot be reached or has no room, and for bytes that arrive damaged.
    pub async fn push_whole(
        &self,
        key: &FileKey,
        bytes: &[u8],
        blake3: Checksum,
    ) -> Result<Pushed, ClientError> {
        let size = bytes.len() as u64;
        let mut frame = Push(Upload { key: key.clone(), size }).to_frame();
        frame.extend_from_slice(bytes);
        frame.extend_from_slice(&blake3.0);
        let patience = patience(self, size);
        let (mut connection, len) = self
            .pools()
            .request_within(Server::Storage, self.address(), &frame, SMALL_READ, patience)
            .await?;
        let body = connection.body(len, SMALL_REPLY).await?;
        Pushed::decode(&body).map_err(|error| self.invalid(error))
    }

    /// KEEP: what lies at these places has its rows.
    ///
    /// # Errors
    /// If it cannot be asked; it finds out by itself then.
    pub async fn keep(&self, places: Vec<PushedPlace>) -> Result<(), ClientError> {
        self.call(&Keep { places }.to_frame()).await.map(drop)
    }
}

impl Pushing {
    /// The `host:port` it goes to.
    pub fn address(&self) -> &str {
        self.storage.address()
    }

    /// Sends the next bytes.
    ///
    /// # Errors
    /// If the storage takes none for a while, or hangs up.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.connection.write(bytes).await
    }

    /// Sends the checksum of all bytes, and waits until they are durable there.
    ///
    /// # Errors
    /// If the storage has no room, for bytes that arrived damaged, and if no answer comes.
    pub async fn finish(mut self, blake3: Checksum) -> Result<Pushed, ClientError> {
        self.write(&blake3.0).await?;
        let len = self.connection.answer(SMALL_READ, patience(&self.storage, self.size)).await?;
        let body = self.connection.body(len, SMALL_REPLY).await?;
        Pushed::decode(&body).map_err(|error| self.storage.invalid(error))
    }
}

/// How long the answer may take behind the last byte.
fn patience(storage: &StorageClient, size: u64) -> Duration {
    storage.pools().options().reply_timeout + Duration::from_secs(size / SYNC_RATE)
}
