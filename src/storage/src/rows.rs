//! Rows in the cache: typed where it is in this process, as texts in Redis.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tnv_common::cache::{CacheConfig, Namespace, Ticket};
use tnv_proto::{Checksum, FileKey};
use tokio::time::Instant;

use crate::catalog::{FileRow, Location};
use crate::layout::Place;

/// What rows are called in the cache.
const KIND: &str = "meta";

/// Removals are counted apart, so that one of another key seldom keeps an entry out.
const REMOVAL_COUNTERS: usize = 256;

/// What an entry in memory takes beside its texts, in bytes: structures, and the cache's own books.
const ENTRY: usize = 500;

/// A file's row, and what is made of it once and not at each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    row: FileRow,
    checksum: Checksum,
    place: Option<Place>,
}

impl Entry {
    pub(crate) fn new(row: FileRow) -> Entry {
        let place = match &row.location {
            Location::Here { path, .. } => Place::parse(path),
            _ => None,
        };
        Entry { checksum: row.checksum(), place, row }
    }

    pub(crate) fn row(&self) -> &FileRow {
        &self.row
    }

    /// The BLAKE3, if it is known.
    pub(crate) fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Where below its store path the file lies, if it lies here and the row says so properly.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }
}

impl Deref for Entry {
    type Target = FileRow;

    fn deref(&self) -> &FileRow {
        &self.row
    }
}

/// Rows of files that lie here. What is lost from it costs time, never an answer.
pub(crate) enum RowCache {
    /// It is never away, so no removal goes missing.
    Memory {
        entries: moka::sync::Cache<FileKey, Held>,
        /// How long an entry is good, from before its source was read.
        ttl: Duration,
        /// How many were taken out, by a hash of the key: what was read before is not put in behind a removal.
        removals: Box<[Mutex<u64>]>,
    },
    /// One that several processes may share.
    Texts(Arc<dyn Namespace>),
}

/// An entry, and when its source had not been read yet.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    entry: Arc<Entry>,
    since: Instant,
}

/// The right to put in a row that is read from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Claim {
    Memory {
        /// When it was handed out.
        since: Instant,
        /// Removals until then.
        removals: u64,
    },
    Text(Ticket),
}

impl RowCache {
    /// Opens the cache of the storage with this identity.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn open(config: &CacheConfig, storage: &str) -> RowCache {
        let CacheConfig::Memory { size, ttl } = config else {
            return RowCache::Texts(config.open_namespace(KIND, storage));
        };
        let entries = moka::sync::Cache::builder().max_capacity(*size).weigher(weight).time_to_live(*ttl);
        let removals = (0..REMOVAL_COUNTERS).map(|_| Mutex::default()).collect();
        RowCache::Memory { entries: entries.build(), ttl: *ttl, removals }
    }

    /// Looks for a row, before its source is read. No claim: nothing can be put in, or need be.
    pub(crate) async fn get(&self, key: &FileKey) -> (Option<Arc<Entry>>, Option<Claim>) {
        match self {
            RowCache::Memory { entries, ttl, removals } => {
                let since = Instant::now();
                let held = entries.get(key).filter(|held| since.duration_since(held.since) < *ttl);
                // Who finds a row puts none in, and has no counter to wait for.
                match held {
                    Some(held) => (Some(held.entry), None),
                    None => (None, Some(Claim::Memory { since, removals: *counter(removals, key) })),
                }
            }
            RowCache::Texts(texts) => {
                let lookup = texts.get(&text_key(key)).await;
                let row = lookup.value.and_then(|text| parse(key, &text));
                let claim = (!lookup.ticket.is_void()).then_some(Claim::Text(lookup.ticket));
                (row.map(|row| Arc::new(Entry::new(row))), claim)
            }
        }
    }

    /// Puts a row in that was read after `claim` was handed out. `false`: it may have been removed meanwhile, and must
    /// not stay if the source says something else by now.
    pub(crate) async fn put(&self, claim: Claim, key: &FileKey, entry: &Arc<Entry>) -> bool {
        match (self, claim) {
            (RowCache::Memory { entries, removals, .. }, Claim::Memory { since, removals: before }) => {
                let now = counter(removals, key);
                if *now == before {
                    entries.insert(key.clone(), Held { entry: entry.clone(), since });
                }
                return *now == before;
            }
            (RowCache::Texts(texts), Claim::Text(ticket)) => match write(key, entry.row()) {
                Ok(text) => texts.set(ticket, &text_key(key), text).await,
                Err(error) => tracing::warn!(%key, %error, "cannot cache a row"),
            },
            (RowCache::Memory { .. }, Claim::Text(_)) | (RowCache::Texts(_), Claim::Memory { .. }) => {}
        }
        false
    }

    /// Takes a row out, after its source was changed. When this returns nobody finds it any more.
    pub(crate) async fn remove(&self, key: &FileKey) {
        match self {
            RowCache::Memory { entries, removals, .. } => {
                let mut removals = counter(removals, key);
                *removals += 1;
                entries.invalidate(key);
            }
            RowCache::Texts(texts) => {
                let (ours, older) = (text_key(key), older_key(key));
                tokio::join!(texts.remove(&ours), texts.outside().remove(&older));
            }
        }
    }
}

/// The removals that this key is counted with.
fn counter<'a>(removals: &'a [Mutex<u64>], key: &FileKey) -> MutexGuard<'a, u64> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let counter = &removals[hasher.finish() as usize % removals.len()];
    counter.lock().unwrap_or_else(PoisonError::into_inner)
}

fn weight(key: &FileKey, held: &Held) -> u32 {
    let entry = &held.entry;
    let path = match &entry.row.location {
        Location::Here { path, .. } => path.len(),
        // These are not cached.
        Location::Damaged { .. } | Location::Written(_) | Location::Elsewhere => 0,
    };
    let key = key.app.as_str().len() + key.user.as_str().len() + key.file.as_str().len();
    let row = entry.row.blake3.len() + entry.row.content_type.len() + entry.row.name.len();
    u32::try_from(ENTRY + key + row + 2 * path).unwrap_or(u32::MAX)
}

/// A cached text. The whole key stands in it, so that keys which happen to share a cache key cannot share a file.
#[derive(Serialize, Deserialize)]
struct Text {
    app: String,
    user: String,
    file: String,
    row: FileRow,
}

fn text_key(key: &FileKey) -> String {
    format!("{}:{}", key.user, key.file)
}

/// The one that servers of the older system may have left.
fn older_key(key: &FileKey) -> String {
    format!("storage:uid:fid:{}:{}", key.user, key.file)
}

fn write(key: &FileKey, row: &FileRow) -> serde_json::Result<String> {
    let (app, user, file) = (key.app.to_string(), key.user.to_string(), key.file.to_string());
    serde_json::to_string(&Text { app, user, file, row: row.clone() })
}

/// The row of `key` in a cached text.
fn parse(key: &FileKey, text: &str) -> Option<FileRow> {
    let cached: Text = serde_json::from_str(text).ok()?;
    let same = cached.app == key.app.as_str()
        && cached.user == key.user.as_str()
        && cached.file == key.file.as_str();
    same.then_some(cached.row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Arc<Entry> {
        Arc::new(Entry::new(FileRow {
            size: 1,
            created_ms: 0,
            crc32: 0,
            blake3: String::new(),
            content_type: String::new(),
            name: String::new(),
            location: Location::Here { path_index: 0, path: "000/000/000/1".to_owned() },
        }))
    }

    async fn claim(cache: &RowCache, key: &FileKey) -> Claim {
        let (found, claim) = cache.get(key).await;
        assert_eq!(found, None);
        claim.unwrap()
    }

    #[tokio::test]
    async fn what_was_read_before_a_removal_is_not_put_in_behind_it() {
        let config = CacheConfig::Memory { size: 1 << 20, ttl: Duration::from_secs(60) };
        let (cache, key) = (RowCache::open(&config, "own"), FileKey::new("a", "b", "c").unwrap());
        let before = claim(&cache, &key).await;
        cache.remove(&key).await;
        cache.put(before, &key, &entry()).await;
        let after = claim(&cache, &key).await;
        cache.put(after, &key, &entry()).await;
        assert!(cache.get(&key).await.0.is_some());
    }

    #[tokio::test]
    async fn an_entry_is_good_from_before_its_source_was_read() {
        let ttl = Duration::from_millis(50);
        let config = CacheConfig::Memory { size: 1 << 20, ttl };
        let (cache, key) = (RowCache::open(&config, "own"), FileKey::new("a", "b", "c").unwrap());
        let before = claim(&cache, &key).await;
        tokio::time::sleep(ttl).await;
        cache.put(before, &key, &entry()).await;
        assert!(cache.get(&key).await.0.is_none());
    }
}
