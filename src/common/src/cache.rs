//! A cache of short texts: what is lost from it costs time, never an answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::Settings;

/// Texts under keys, any of which may vanish at any moment.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The text under `key`, if it is there. An unreachable cache has nothing.
    async fn get(&self, key: &str) -> Option<String>;

    /// Puts a text under `key`.
    async fn set(&self, key: &str, value: String);

    /// Takes `key` out. When this returns, a later `get` by anyone does not see what was there before.
    async fn remove(&self, key: &str);
}

/// The `cache.*` keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheConfig {
    /// In this process.
    Memory {
        /// Bytes of keys and texts together.
        size: u64,
        /// How long a text stays after it was put in.
        ttl: Duration,
    },
}

impl CacheConfig {
    /// Reads the keys.
    pub fn read(settings: &mut Settings) -> CacheConfig {
        if settings.text("cache.url", "memory:") != "memory:" {
            settings.problem("cache.url", "unknown kind of cache: write memory:");
        }
        CacheConfig::Memory {
            size: settings.size("cache.size", 8 * 1024 * 1024, 0..=u64::MAX / 2),
            ttl: settings.duration(
                "cache.ttl",
                Duration::from_secs(600),
                Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600),
            ),
        }
    }

    /// Opens the cache.
    pub fn open(&self) -> Arc<dyn Cache> {
        match self {
            CacheConfig::Memory { size, ttl } => Arc::new(MemoryCache::new(*size, *ttl)),
        }
    }
}

/// A cache in this process, with the least useful texts thrown out first.
struct MemoryCache {
    texts: moka::sync::Cache<String, String>,
}

impl MemoryCache {
    fn new(size: u64, ttl: Duration) -> MemoryCache {
        let weigh = |key: &String, value: &String| u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX);
        MemoryCache {
            texts: moka::sync::Cache::builder().max_capacity(size).weigher(weigh).time_to_live(ttl).build(),
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Option<String> {
        self.texts.get(key)
    }

    async fn set(&self, key: &str, value: String) {
        self.texts.insert(key.to_owned(), value);
    }

    async fn remove(&self, key: &str) {
        self.texts.invalidate(key);
    }
}

/// What every [`Cache`] must do; each implementation's tests call it.
///
/// # Panics
/// If the cache does not.
pub async fn contract(cache: &dyn Cache) {
    assert_eq!(cache.get("contract:a").await, None);
    cache.set("contract:a", "1;../data/x y".to_owned()).await;
    cache.set("contract:b", String::new()).await;
    assert_eq!(cache.get("contract:a").await.as_deref(), Some("1;../data/x y"));
    assert_eq!(cache.get("contract:b").await.as_deref(), Some(""));
    cache.set("contract:a", "2".to_owned()).await;
    assert_eq!(cache.get("contract:a").await.as_deref(), Some("2"));
    cache.remove("contract:a").await;
    cache.remove("contract:never").await;
    assert_eq!(cache.get("contract:a").await, None);
    assert_eq!(cache.get("contract:b").await.as_deref(), Some(""));
    cache.remove("contract:b").await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        contract(&*CacheConfig::read(&mut Settings::built_in("cache")).open()).await;
    }
}
