//! What is known of files that were seen. A stored file never changes, but its id may come to stand for another one
//! when it is deleted and uploaded anew. So whatever is told of a file from memory has been held against a storage: by
//! the READ that brings its bytes, which names the checksum they must have, or by one a moment ago.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use moka::sync::Cache;
use tnv_client::{Client, ClientError};
use tnv_proto::FileKey;
use tnv_web::Representation;
use tnv_web::body::StoredFile;

use crate::config::Config;
use crate::description::describe;

/// What an entry takes beside its texts, in bytes: several allocations and the cache's own share.
const OVERHEAD: usize = 600;

/// The files of the cluster.
pub(crate) struct Files {
    pub(crate) client: Client,
    /// Absent where nothing is to be remembered.
    known: Option<Cache<FileKey, Arc<KnownFile>>>,
    /// How old the word of a storage may be for answers that ask none.
    ttl: Duration,
    began: Instant,
}

/// A file that a storage has told of.
pub(crate) struct KnownFile {
    /// For bodies with bytes of it.
    pub(crate) stored: Arc<StoredFile>,
    pub(crate) representation: Representation,
    /// When a storage last had this file, in milliseconds since the gateway's start.
    confirmed: AtomicU64,
}

impl Files {
    pub(crate) fn new(client: Client, config: &Config) -> Files {
        let size = config.attributes_size;
        let cache = || {
            Cache::builder()
                .max_capacity(size)
                .weigher(|_, file: &Arc<KnownFile>| u32::try_from(file.weight()).unwrap_or(u32::MAX))
                .build()
        };
        let known = (size > 0).then(cache);
        Files { client, known, ttl: config.attributes_ttl, began: Instant::now() }
    }

    /// What is remembered of a file.
    pub(crate) fn recall(&self, key: &FileKey) -> Option<Arc<KnownFile>> {
        self.known.as_ref()?.get(key)
    }

    /// Asks a storage.
    ///
    /// # Errors
    /// As [`Client::stat`].
    pub(crate) async fn ask(&self, key: &FileKey) -> Result<Arc<KnownFile>, ClientError> {
        let asked = self.now();
        let attributes = self.client.stat(key).await?;
        let stored = Arc::new(StoredFile {
            client: self.client.clone(),
            key: key.clone(),
            size: attributes.size,
            checksum: attributes.blake3,
        });
        let representation = describe(key, &attributes, SystemTime::now());
        let file = Arc::new(KnownFile { stored, representation, confirmed: AtomicU64::new(asked) });
        // Without a checksum nobody could tell whether it is still the same.
        if let Some(known) = self.known.as_ref().filter(|_| attributes.blake3.is_known()) {
            known.insert(key.clone(), Arc::clone(&file));
        }
        Ok(file)
    }

    /// Whether a storage had this file so recently that none needs to be asked.
    pub(crate) fn is_recent(&self, file: &KnownFile) -> bool {
        let age = self.now().saturating_sub(file.confirmed.load(Ordering::Relaxed));
        u128::from(age) < self.ttl.as_millis()
    }

    /// Notes that a storage, asked at `asked`, had exactly this file.
    pub(crate) fn confirm(&self, file: &KnownFile, asked: u64) {
        file.confirmed.fetch_max(asked, Ordering::Relaxed);
    }

    /// Forgets a file.
    pub(crate) fn forget(&self, key: &FileKey) {
        if let Some(known) = &self.known {
            known.invalidate(key);
        }
    }

    /// Milliseconds since the gateway's start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl KnownFile {
    /// The memory it takes, in bytes, about.
    fn weight(&self) -> usize {
        let key = &self.stored.key;
        let texts = key.app.as_str().len() + key.user.as_str().len() + key.file.as_str().len();
        OVERHEAD + 2 * texts + self.representation.weight()
    }
}
