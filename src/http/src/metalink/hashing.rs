//! The hashes of a stored file: it is read once, in a stream, and hashed beside the reactor.

use bytes::Bytes;
use tnv_client::{Client, ClientError};
use tnv_metalink::{Hash, Hashing, Pieces};
use tnv_proto::{Attributes, FileKey};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Chunks that wait to be hashed; the download waits then.
const QUEUE: usize = 4;

/// What an entry takes beside its pieces, in bytes.
const OVERHEAD: u64 = 300;

/// The SHA-256 of a whole and of its pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hashes {
    pub(super) whole: Hash,
    pub(super) pieces: Pieces,
}

/// Why there are no hashes.
#[derive(Debug, thiserror::Error)]
pub(super) enum HashingError {
    #[error(transparent)]
    Upstream(#[from] ClientError),
    /// It is not as long as it should be.
    #[error("the storage sent another number of bytes than it said")]
    Length,
    /// The gateway ends.
    #[error("it was ended")]
    Ended,
}

/// The memory that the hashes of a file of this size take, in bytes, about.
pub(super) fn weight(size: u64) -> u64 {
    OVERHEAD + Hashing::weight(size)
}

/// Reads the file.
pub(super) async fn read(
    client: &Client,
    key: &FileKey,
    attributes: &Attributes,
) -> Result<Hashes, HashingError> {
    let (chunks, queue) = mpsc::channel(QUEUE);
    let hashing = Hashing::new(attributes.size);
    let hashing = spawn_blocking(move || hash(hashing, queue));
    // Of an empty file there is nothing to ask for.
    if attributes.size > 0 {
        let mut download = client.download(key, 0, 0, attributes.blake3).await?;
        while let Some(chunk) = download.chunk().await? {
            chunks.send(chunk).await.map_err(|_| HashingError::Ended)?;
        }
    }
    drop(chunks);
    let hashing = hashing.await.map_err(|_| HashingError::Ended)?;
    if hashing.size() != attributes.size {
        return Err(HashingError::Length);
    }
    let (whole, pieces) = hashing.finish();
    Ok(Hashes { whole, pieces })
}

/// Hashes what comes, until nothing more does.
fn hash(mut hashing: Hashing, mut queue: mpsc::Receiver<Bytes>) -> Hashing {
    while let Some(chunk) = queue.blocking_recv() {
        hashing.update(&chunk);
    }
    hashing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_whatever_the_size() {
        assert!(weight(u64::MAX / 4) < 200_000);
    }
}
