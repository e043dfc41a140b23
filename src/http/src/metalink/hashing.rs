//! The hashes of a stored file: it is read once, in a stream, and hashed beside the reactor.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tnv_client::{Client, ClientError};
use tnv_metalink::{Algorithm, Hash, Pieces};
use tnv_proto::{Attributes, FileKey};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// The smallest piece in bytes, and how many pieces a file has at most.
const PIECE: u64 = 1024 * 1024;
const MAX_PIECES: u64 = 4096;

/// Chunks that wait to be hashed; the download waits then.
const QUEUE: usize = 4;

/// What an entry takes beside its pieces, in bytes.
const OVERHEAD: usize = 300;

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
pub(super) fn weight(size: u64) -> usize {
    let pieces = size.div_ceil(piece_length(size)) as usize;
    OVERHEAD + pieces * Algorithm::Sha256.size()
}

fn piece_length(size: u64) -> u64 {
    size.div_ceil(MAX_PIECES).next_power_of_two().max(PIECE)
}

/// Reads the file.
pub(super) async fn read(
    client: &Client,
    key: &FileKey,
    attributes: &Attributes,
) -> Result<Hashes, HashingError> {
    let (chunks, queue) = mpsc::channel(QUEUE);
    let length = piece_length(attributes.size);
    let hashing = spawn_blocking(move || hash(queue, length));
    // Of an empty file there is nothing to ask for.
    if attributes.size > 0 {
        let mut download = client.download(key, 0, 0, attributes.blake3).await?;
        while let Some(chunk) = download.chunk().await? {
            chunks.send(chunk).await.map_err(|_| HashingError::Ended)?;
        }
    }
    drop(chunks);
    let (hashes, size) = hashing.await.map_err(|_| HashingError::Ended)?;
    if size == attributes.size { hashes.ok_or(HashingError::Length) } else { Err(HashingError::Length) }
}

/// Hashes what comes, until nothing more does; and how long it was.
fn hash(mut queue: mpsc::Receiver<Bytes>, length: u64) -> (Option<Hashes>, u64) {
    let (mut whole, mut piece, mut pieces) =
        (Sha256::new(), Sha256::new(), Pieces::new(Algorithm::Sha256, length));
    let (mut size, mut in_piece) = (0, 0);
    let take = |hasher: &mut Sha256| Hash::new(Algorithm::Sha256, hasher.finalize_reset().as_slice()).ok();
    let end_piece = |hasher: &mut Sha256, pieces: &mut Pieces| {
        if let Some(hash) = take(hasher) {
            pieces.push(&hash);
        }
    };
    while let Some(mut chunk) = queue.blocking_recv() {
        whole.update(&chunk);
        size += chunk.len() as u64;
        while !chunk.is_empty() {
            let part =
                chunk.split_to(chunk.len().min(usize::try_from(length - in_piece).unwrap_or(usize::MAX)));
            piece.update(&part);
            in_piece += part.len() as u64;
            if in_piece == length {
                end_piece(&mut piece, &mut pieces);
                in_piece = 0;
            }
        }
    }
    if in_piece > 0 {
        end_piece(&mut piece, &mut pieces);
    }
    (take(&mut whole).map(|whole| Hashes { whole, pieces }), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_do_not_depend_on_chunks() {
        let bytes: Vec<u8> = (0..100_u32).map(|at| at as u8).collect();
        for (size, count) in [(7, 5), (100, 5), (1, 5), (30, 5)] {
            let (chunks, queue) = mpsc::channel(200);
            for chunk in bytes.chunks(size) {
                chunks.send(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            drop(chunks);
            let (hashes, len) = spawn_blocking(move || hash(queue, 22)).await.unwrap();
            let hashes = hashes.unwrap();
            assert_eq!((len, hashes.pieces.count()), (100, count));
            assert_eq!(hashes.whole.bytes(), Sha256::digest(&bytes).as_slice());
            assert_eq!(hashes.pieces.get(4).unwrap().bytes(), Sha256::digest(&bytes[88..]).as_slice());
        }
    }

    #[test]
    fn memory_is_bounded_whatever_the_size() {
        assert_eq!(piece_length(0), PIECE);
        assert_eq!(piece_length(1 << 40), 256 * PIECE);
        assert!(weight(u64::MAX / 4) < 200_000);
    }
}
