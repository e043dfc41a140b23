//! Finding a file: cache first, then the catalog.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tnv_common::cache::Cache;
use tnv_proto::{ErrorCode, Failure, FileKey};

use crate::catalog::{Catalog, FileRow, Location};

/// The catalog behind its cache.
pub(crate) struct Files {
    catalog: Arc<dyn Catalog>,
    cache: Arc<dyn Cache>,
}

/// A cached row. The whole key stands in it, so that keys which happen to share a cache key cannot share a file.
#[derive(Serialize, Deserialize)]
struct Cached {
    app: String,
    user: String,
    file: String,
    row: FileRow,
}

/// Ours, and the one that servers of the older system may have left.
fn cache_keys(key: &FileKey) -> [String; 2] {
    [format!("tnv:meta:{}:{}", key.user, key.file), format!("storage:uid:fid:{}:{}", key.user, key.file)]
}

/// The refusal for a file that is not there.
pub(crate) fn not_found(key: &FileKey) -> Failure {
    Failure::new(ErrorCode::NOT_FOUND, format!("there is no file {key}"))
}

impl Files {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, cache: Arc<dyn Cache>) -> Files {
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
        if let Some(row) = self.cached(key).await {
            return Ok(row);
        }
        let row = self.catalog.find(key).await?.ok_or_else(|| not_found(key))?;
        // Only what lies here alone is cached: its delete comes through this storage and takes it out again.
        if matches!(row.location, Location::Here { .. }) {
            self.put(key, &row).await;
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
        for cache_key in cache_keys(key) {
            self.cache.remove(&cache_key).await;
        }
    }

    async fn cached(&self, key: &FileKey) -> Option<FileRow> {
        let [cache_key, _] = cache_keys(key);
        let cached: Cached = serde_json::from_str(&self.cache.get(&cache_key).await?).ok()?;
        let same = cached.app == key.app.as_str()
            && cached.user == key.user.as_str()
            && cached.file == key.file.as_str();
        same.then_some(cached.row)
    }

    async fn put(&self, key: &FileKey, row: &FileRow) {
        let cached = Cached {
            app: key.app.to_string(),
            user: key.user.to_string(),
            file: key.file.to_string(),
            row: row.clone(),
        };
        let [cache_key, _] = cache_keys(key);
        match serde_json::to_string(&cached) {
            Ok(text) => self.cache.set(&cache_key, text).await,
            Err(error) => tracing::warn!(%key, %error, "cannot cache a row"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tnv_common::cache::CacheConfig;
    use tnv_common::config::Settings;

    use super::*;
    use crate::catalog::Scripted;

    #[tokio::test]
    async fn a_row_that_was_replaced_while_it_was_read_is_not_cached() {
        let row = |seed: u8| FileRow {
            size: u64::from(seed),
            created_ms: 0,
            crc32: 0,
            blake3: String::new(),
            content_type: String::new(),
            name: String::new(),
            location: Location::Here { path_index: 0, path: format!("000/000/000/{seed}") },
        };
        let key = FileKey::new("a", "b", "c").unwrap();
        // Deleted and uploaded again right behind the first look.
        let catalog = Arc::new(Scripted::new([Some(row(1)), Some(row(2))]));
        let files = Files::new(catalog, CacheConfig::read(&mut Settings::built_in("cache")).open());
        for _ in 0..2 {
            assert_eq!(files.find(&key).await.unwrap(), row(2));
        }
    }
}
