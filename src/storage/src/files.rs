//! Finding a file: cache first, then the catalog.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tnv_common::cache::{Namespace, Ticket};
use tnv_proto::{ErrorCode, Failure, FileKey};

use crate::catalog::{Catalog, FileRow, Location};

/// What rows are called in the cache.
pub(crate) const CACHED_KIND: &str = "meta";

/// The catalog behind its cache. A row says where its bytes lie as seen from this storage, so in a cache that storages
/// share each has a namespace of its own.
pub(crate) struct Files {
    catalog: Arc<dyn Catalog>,
    cache: Arc<dyn Namespace>,
}

/// A cached row. The whole key stands in it, so that keys which happen to share a cache key cannot share a file.
#[derive(Serialize, Deserialize)]
struct Cached {
    app: String,
    user: String,
    file: String,
    row: FileRow,
}

fn cache_key(key: &FileKey) -> String {
    format!("{}:{}", key.user, key.file)
}

/// The one that servers of the older system may have left.
fn older_key(key: &FileKey) -> String {
    format!("storage:uid:fid:{}:{}", key.user, key.file)
}

/// The refusal for a file that is not there.
pub(crate) fn not_found(key: &FileKey) -> Failure {
    Failure::new(ErrorCode::NOT_FOUND, format!("there is no file {key}"))
}

impl Files {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, cache: Arc<dyn Namespace>) -> Files {
        Files { catalog, cache }
    }

    pub(crate) fn catalog(&self) -> &dyn Catalog {
        &*self.catalog
    }

    /// The file's row.
    ///
    /// # Errors
    /// 404 if there is none, 503 if the catalog does not answer.
    pub(crate) async fn find(&self, key: &FileKey) -> Result<FileRow, Failure> {
        let lookup = self.cache.get(&cache_key(key)).await;
        if let Some(row) = lookup.value.and_then(|text| parse(key, &text)) {
            return Ok(row);
        }
        let row = self.catalog.find(key).await?.ok_or_else(|| not_found(key))?;
        // Only what lies here alone is cached: its delete comes through this storage and takes it out again.
        if matches!(row.location, Location::Here { .. }) && !lookup.ticket.is_void() {
            self.put(key, &row, lookup.ticket).await;
            // A delete may have passed between reading the row and caching it, and a new file may have taken the id;
            // then it must not stay.
            let now = self.catalog.find(key).await?;
            if now.as_ref() != Some(&row) {
                self.evict(key).await;
                return now.ok_or_else(|| not_found(key));
            }
        }
        Ok(row)
    }

    /// Takes the file out of the cache.
    pub(crate) async fn evict(&self, key: &FileKey) {
        let (ours, older) = (cache_key(key), older_key(key));
        tokio::join!(self.cache.remove(&ours), self.cache.outside().remove(&older));
    }

    async fn put(&self, key: &FileKey, row: &FileRow, ticket: Ticket) {
        let cached = Cached {
            app: key.app.to_string(),
            user: key.user.to_string(),
            file: key.file.to_string(),
            row: row.clone(),
        };
        match serde_json::to_string(&cached) {
            Ok(text) => self.cache.set(ticket, &cache_key(key), text).await,
            Err(error) => tracing::warn!(%key, %error, "cannot cache a row"),
        }
    }
}

/// The row of `key` in a cached text.
fn parse(key: &FileKey, text: &str) -> Option<FileRow> {
    let cached: Cached = serde_json::from_str(text).ok()?;
    let same = cached.app == key.app.as_str()
        && cached.user == key.user.as_str()
        && cached.file == key.file.as_str();
    same.then_some(cached.row)
}

#[cfg(test)]
mod tests {
    use tnv_common::cache::CacheConfig;
    use tnv_common::config::Settings;
    use tnv_testbed::{Redis, installed};

    use super::*;
    use crate::catalog::Scripted;

    fn row(seed: u8) -> FileRow {
        FileRow {
            size: u64::from(seed),
            created_ms: 0,
            crc32: 0,
            blake3: String::new(),
            content_type: String::new(),
            name: String::new(),
            location: Location::Here { path_index: 0, path: format!("000/000/000/{seed}") },
        }
    }

    fn files<const N: usize>(rows: [Option<FileRow>; N], cache: &CacheConfig, storage: &str) -> Files {
        Files::new(Arc::new(Scripted::new(rows)), cache.open_namespace(CACHED_KIND, storage))
    }

    #[tokio::test]
    async fn a_row_that_was_replaced_while_it_was_read_is_not_cached() {
        let key = FileKey::new("a", "b", "c").unwrap();
        // Deleted and uploaded again right behind the first look.
        let cache = CacheConfig::read(&mut Settings::built_in("cache"));
        let files = files([Some(row(1)), Some(row(2))], &cache, "fresh");
        for _ in 0..2 {
            assert_eq!(files.find(&key).await.unwrap(), row(2));
        }
    }

    #[tokio::test]
    async fn storages_that_share_a_cache_do_not_share_rows() {
        if !installed(Redis::PROGRAMS) {
            return;
        }
        let redis = Redis::start();
        let mut settings = Settings::built_in("cache");
        settings.set("cache.url", &redis.url(), "--set cache.url");
        let cache = CacheConfig::read(&mut settings);
        let key = FileKey::new("a", "b", "c").unwrap();
        // Each catalog tells the row twice, before and after it is cached.
        let one = files([Some(row(1)), Some(row(1)), None], &cache, "one");
        let two = files([Some(row(2)), Some(row(2)), None], &cache, "two");
        for files in [&one, &two] {
            while files.cache.outside().is_away() {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..2 {
            assert_eq!((one.find(&key).await.unwrap(), two.find(&key).await.unwrap()), (row(1), row(2)));
        }
        assert_eq!(redis.command(&["EXISTS", "tnv:meta:{one}:b:c", "tnv:meta:{two}:b:c"]), "2");
        redis.command(&["SET", "storage:uid:fid:b:c", "1;../data/000/000/000/1"]);
        one.evict(&key).await;
        assert_eq!(one.find(&key).await.unwrap_err().code, ErrorCode::NOT_FOUND);
        assert_eq!(two.find(&key).await.unwrap(), row(2));
        assert_eq!(redis.command(&["EXISTS", "storage:uid:fid:b:c"]), "0", "nor do older servers find it");
    }
}
