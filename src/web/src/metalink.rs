//! Metalinks (RFC 5854) as answers, and the hashes in them: each version of a file is read for them once, in a stream, and
//! hashed beside the reactor.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use moka::sync::Cache;
use tnv_client::{ClientError, Download};
use tnv_metalink::{EXTENSION, File, Hash, Hashing, MEDIA_TYPE, Metalink, Pieces};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::spawn_blocking;

use crate::Body;
use crate::answer::put;
use crate::disposition::{self, Disposition};

/// Files that are read for their hashes at once; more wait.
const READINGS: usize = 2;
/// Chunks that wait to be hashed; the download waits then.
const QUEUE: usize = 4;
/// What an entry takes beside its pieces and its name, in bytes, about.
const OVERHEAD: u64 = 300;

/// The SHA-256 of a whole and of its pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Of all bytes.
    pub whole: Hash,
    /// Of its pieces; of an empty file there are none.
    pub pieces: Pieces,
}

/// Why there are no hashes.
#[derive(Debug, thiserror::Error)]
pub enum HashesError {
    /// No storage gives the bytes.
    #[error(transparent)]
    Upstream(#[from] ClientError),
    /// They are not as many as they should be.
    #[error("a storage sent another number of bytes than the file has")]
    Length,
    /// The server ends.
    #[error("it was ended")]
    Ended,
}

/// The hashes of files, as many as there is memory for.
pub struct KnownHashes {
    /// By size and version.
    known: Cache<(u64, String), Arc<OnceCell<Hashes>>>,
    reading: Arc<Semaphore>,
}

impl KnownHashes {
    /// `size` is what they may take, in bytes; 0 = none, and a file is read each time.
    pub fn new(size: u64) -> KnownHashes {
        let weigh = |(size, version): &(u64, String), _: &Arc<OnceCell<Hashes>>| weight(*size, version);
        KnownHashes {
            known: Cache::builder().max_capacity(size).weigher(weigh).build(),
            reading: Arc::new(Semaphore::new(READINGS)),
        }
    }

    /// The hashes of a file of this size, from memory or of what `read` sends. `version` names its bytes: other bytes have
    /// another one. Who asks while it is read waits for the same, and it is read to its end even if nobody waits any more,
    /// for somebody will ask again.
    ///
    /// # Errors
    /// Those of `read`, and [`HashesError`] if it sends too little or too much.
    pub async fn of<R, F>(&self, size: u64, version: String, read: R) -> Result<Hashes, HashesError>
    where
        R: FnOnce(Chunks) -> F + Send + 'static,
        F: Future<Output = Result<(), HashesError>> + Send,
    {
        let cell = self.known.get_with((size, version), Arc::default);
        if let Some(hashes) = cell.get() {
            return Ok(hashes.clone());
        }
        let reading = Arc::clone(&self.reading);
        let work = async move {
            let hash = async || {
                let _permit = reading.acquire().await.map_err(|_| HashesError::Ended)?;
                hash(size, read).await
            };
            cell.get_or_try_init(hash).await.cloned()
        };
        tokio::spawn(work).await.unwrap_or(Err(HashesError::Ended))
    }
}

/// Where the bytes of a file go to be hashed, in their order.
pub struct Chunks(mpsc::Sender<Bytes>);

impl Chunks {
    /// The next bytes.
    ///
    /// # Errors
    /// [`HashesError::Ended`].
    pub async fn send(&self, chunk: Bytes) -> Result<(), HashesError> {
        self.0.send(chunk).await.map_err(|_| HashesError::Ended)
    }

    /// All bytes of a download.
    ///
    /// # Errors
    /// Those of the download, and [`HashesError::Ended`].
    pub async fn send_all(&self, mut download: Download) -> Result<(), HashesError> {
        while let Some(chunk) = download.chunk().await? {
            self.send(chunk).await?;
        }
        Ok(())
    }
}

/// The memory that the hashes of a file take, in bytes, about.
fn weight(size: u64, version: &str) -> u32 {
    u32::try_from(OVERHEAD + version.len() as u64 + Hashing::weight(size)).unwrap_or(u32::MAX)
}

async fn hash<R, F>(size: u64, read: R) -> Result<Hashes, HashesError>
where
    R: FnOnce(Chunks) -> F,
    F: Future<Output = Result<(), HashesError>>,
{
    let (chunks, queue) = mpsc::channel(QUEUE);
    let hashing = Hashing::new(size);
    let hashing = spawn_blocking(move || update(hashing, queue));
    read(Chunks(chunks)).await?;
    let hashing = hashing.await.map_err(|_| HashesError::Ended)?;
    if hashing.size() != size {
        return Err(HashesError::Length);
    }
    let (whole, pieces) = hashing.finish();
    Ok(Hashes { whole, pieces })
}

/// Hashes what comes, until nothing more does.
fn update(mut hashing: Hashing, mut queue: mpsc::Receiver<Bytes>) -> Hashing {
    while let Some(chunk) = queue.blocking_recv() {
        hashing.update(&chunk);
    }
    hashing
}

/// The answer with the Metalink of a file.
pub fn answer(file: File) -> Response<Body> {
    let name = format!("{}.{EXTENSION}", file.name);
    let mut response = Response::new(Body::text(tnv_metalink::write(&Metalink { files: vec![file] })));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    // The hashes stay as they are, but not who else has the file.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(headers, CONTENT_DISPOSITION, &disposition::header(Disposition::Attachment, &name));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_whatever_the_size() {
        assert!(weight(u64::MAX / 4, "") < 200_000);
    }

    #[tokio::test]
    async fn a_file_is_read_once_for_all_who_ask() {
        let known = KnownHashes::new(1 << 20);
        let read = |chunks: Chunks| async move {
            chunks.send(Bytes::from_static(b"by")).await?;
            chunks.send(Bytes::from_static(b"tes")).await
        };
        let not_again = |_: Chunks| async { Err(HashesError::Ended) };
        let first = known.of(5, "one".to_owned(), read).await.unwrap();
        assert_eq!(known.of(5, "one".to_owned(), not_again).await.unwrap(), first);
        assert!(matches!(known.of(5, "two".to_owned(), not_again).await, Err(HashesError::Ended)));
    }

    #[tokio::test]
    async fn too_little_or_too_much_is_not_remembered() {
        let known = KnownHashes::new(1 << 20);
        let read = |chunks: Chunks| async move { chunks.send(Bytes::from_static(b"bytes")).await };
        for size in [4, 6] {
            assert!(matches!(known.of(size, String::new(), read).await, Err(HashesError::Length)));
        }
        assert!(known.of(5, String::new(), read).await.is_ok());
    }
}
