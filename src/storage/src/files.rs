//! Finding a file: cache first, then the catalog.

use std::sync::Arc;

use tnv_proto::{ErrorCode, Failure, FileKey};

use crate::catalog::{Catalog, Location};
use crate::rows::{Entry, RowCache};

/// The catalog behind its cache. A row says where its bytes lie as seen from this storage, so in a cache that storages
/// share each has a namespace of its own.
pub(crate) struct Files {
    catalog: Arc<dyn Catalog>,
    cache: RowCache,
}

/// The refusal for a file that is not there.
pub(crate) fn not_found(key: &FileKey) -> Failure {
    Failure::new(ErrorCode::NOT_FOUND, format!("there is no file {key}"))
}

impl Files {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, cache: RowCache) -> Files {
        Files { catalog, cache }
    }

    pub(crate) fn catalog(&self) -> &dyn Catalog {
        &*self.catalog
    }

    /// The file's row.
    ///
    /// # Errors
    /// 404 if there is none, 503 if the catalog does not answer.
    pub(crate) async fn find(&self, key: &FileKey) -> Result<Arc<Entry>, Failure> {
        let (found, claim) = self.cache.get(key).await;
        if let Some(entry) = found {
            return Ok(entry);
        }
        let entry = self.look_up(key).await?;
        // Only what lies here is cached. Its delete comes through this storage and takes it out again, or through another one,
        // which says so, or waits until what is cached is not used any more.
        if let Some(claim) = claim
            && matches!(entry.location, Location::Here { .. })
        {
            if self.cache.put(claim, key, &entry).await {
                return Ok(entry);
            }
            // A delete may have passed between reading the row and caching it, and a new file may have taken the id;
            // then it must not stay.
            let now = self.look_up(key).await;
            if !now.as_ref().is_ok_and(|now| *now == entry) {
                self.evict(key).await;
            }
            return now;
        }
        Ok(entry)
    }

    /// Takes the file out of the cache.
    pub(crate) async fn evict(&self, key: &FileKey) {
        self.cache.remove(key).await;
    }

    async fn look_up(&self, key: &FileKey) -> Result<Arc<Entry>, Failure> {
        let row = self.catalog.find(key).await?.ok_or_else(|| not_found(key))?;
        Ok(Arc::new(Entry::new(row)))
    }
}

#[cfg(test)]
mod tests {
    use tnv_common::cache::CacheConfig;
    use tnv_common::config::Settings;
    use tnv_testbed::{Redis, installed};

    use super::*;
    use crate::catalog::{FileRow, Scripted};

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
        Files::new(Arc::new(Scripted::new(rows)), RowCache::open(cache, storage))
    }

    #[tokio::test]
    async fn a_row_that_was_replaced_while_it_was_read_is_not_cached() {
        let key = FileKey::new("a", "b", "c").unwrap();
        // Deleted and uploaded again right behind the first look.
        let cache = CacheConfig::read(&mut Settings::built_in("cache"));
        let files = files([Some(row(1)), Some(row(2))], &cache, "fresh");
        let (found, ()) = tokio::join!(files.find(&key), files.evict(&key));
        assert_eq!(*found.unwrap().row(), row(2));
        assert_eq!(*files.find(&key).await.unwrap().row(), row(2));
    }

    #[tokio::test]
    async fn a_row_that_nobody_touches_is_looked_up_once() {
        let key = FileKey::new("a", "b", "c").unwrap();
        let cache = CacheConfig::read(&mut Settings::built_in("cache"));
        let files = files([Some(row(1)), None], &cache, "fresh");
        for _ in 0..2 {
            assert_eq!(*files.find(&key).await.unwrap().row(), row(1));
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
            let RowCache::Texts(texts) = &files.cache else { panic!("Redis has texts") };
            while texts.outside().is_away() {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..2 {
            let found = (one.find(&key).await.unwrap(), two.find(&key).await.unwrap());
            assert_eq!((found.0.row(), found.1.row()), (&row(1), &row(2)));
        }
        assert_eq!(redis.command(&["EXISTS", "tnv:meta:{one}:b:c", "tnv:meta:{two}:b:c"]), "2");
        redis.command(&["SET", "storage:uid:fid:b:c", "1;../data/000/000/000/1"]);
        one.evict(&key).await;
        assert_eq!(one.find(&key).await.unwrap_err().code, ErrorCode::NOT_FOUND);
        assert_eq!(*two.find(&key).await.unwrap().row(), row(2));
        assert_eq!(redis.command(&["EXISTS", "storage:uid:fid:b:c"]), "0", "nor do older servers find it");
    }
}
