//! What the Metalinks of packages say of their bytes: each version is read once, and hashed beside the reactor.

use std::sync::Arc;
use std::time::Duration;

use blake3::Hash as Version;
use bytes::Bytes;
use moka::sync::Cache;
use tnv_client::ClientError;
use tnv_metalink::{Hash, Hashing, Pieces};
use tnv_package::Segment;
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::package::Package;

/// Packages that are read for their hashes at once; more wait.
const READINGS: usize = 2;
/// Chunks that wait to be hashed; the download waits then.
const QUEUE: usize = 4;
/// How long who asks waits for hashes that are not there yet: less than a client has patience for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What an entry takes beside its pieces, in bytes, about.
const OVERHEAD: u64 = 300;

/// Why a package has no hashes.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// No storage gives its bytes.
    #[error(transparent)]
    Upstream(#[from] ClientError),
    /// It was not as long as it had to be.
    #[error("a storage sent too little or too much")]
    Length,
}

/// The SHA-256 of a package and of its pieces.
#[derive(Debug, Clone)]
pub(crate) struct Hashes {
    pub(crate) whole: Hash,
    pub(crate) pieces: Pieces,
}

/// The hashes of packages, by their versions.
pub(crate) struct Metalinks {
    known: Cache<Version, Arc<Entry>>,
    reading: Arc<Semaphore>,
}

#[derive(Default)]
struct Entry {
    size: u64,
    hashes: OnceCell<Hashes>,
}

impl Metalinks {
    /// `size` is what the hashes may take, in bytes.
    pub(crate) fn new(size: u64) -> Metalinks {
        let weigh = |_: &Version, entry: &Arc<Entry>| {
            u32::try_from(OVERHEAD + Hashing::weight(entry.size)).unwrap_or(u32::MAX)
        };
        Metalinks {
            known: Cache::builder().max_capacity(size).weigher(weigh).build(),
            reading: Arc::new(Semaphore::new(READINGS)),
        }
    }

    /// The hashes, from memory or from the package. Who asks while it is read waits for the same, and it is read to its end
    /// even if nobody waits any more. `None`: they will be there later, or the cluster does not give the bytes now.
    pub(crate) async fn hashes(&self, package: Package) -> Option<Hashes> {
        let size = package.layout.len();
        let version = package.layout.manifest().version();
        let entry = self.known.get_with(version, || Arc::new(Entry { size, ..Entry::default() }));
        if let Some(hashes) = entry.hashes.get() {
            return Some(hashes.clone());
        }
        let reading = Arc::clone(&self.reading);
        let work = tokio::spawn(async move {
            let read = async || {
                let _permit = reading.acquire().await.map_err(|_| ReadError::Length)?;
                read(&package).await
            };
            entry.hashes.get_or_try_init(read).await.cloned()
        });
        match timeout(PATIENCE, work).await.ok()?.ok()? {
            Ok(hashes) => Some(hashes),
            Err(error) => {
                tracing::warn!(%version, %error, "a package cannot be read for its hashes");
                None
            }
        }
    }
}

async fn read(package: &Package) -> Result<Hashes, ReadError> {
    let layout = &package.layout;
    let (chunks, queue) = mpsc::channel(QUEUE);
    let hashing = spawn_blocking({
        let hashing = Hashing::new(layout.len());
        move || hash(hashing, queue)
    });
    for segment in layout.segments(0..layout.len()) {
        match segment {
            Segment::Bytes(bytes) => chunks.send(bytes).await.map_err(|_| ReadError::Length)?,
            Segment::Member { index, offset, len } => {
                let file = package.member(index).ok_or(ReadError::Length)?;
                let mut download = file.client.download(&file.key, offset, len, file.checksum).await?;
                while let Some(chunk) = download.chunk().await? {
                    chunks.send(chunk).await.map_err(|_| ReadError::Length)?;
                }
            }
        }
    }
    drop(chunks);
    let hashing = hashing.await.map_err(|_| ReadError::Length)?;
    if hashing.size() != layout.len() {
        return Err(ReadError::Length);
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
