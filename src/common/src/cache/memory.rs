//! A cache in this process, and one that keeps nothing.

use std::time::Duration;

use async_trait::async_trait;

use super::{Cache, Lookup, Namespace, Ticket};

/// The least useful texts are thrown out first.
pub(super) struct MemoryCache {
    texts: moka::sync::Cache<String, String>,
}

impl MemoryCache {
    pub(super) fn new(size: u64, ttl: Duration) -> MemoryCache {
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

/// Keys of a namespace in memory; others cannot begin so.
const INSIDE: char = '\0';

/// It is never away, so no removal goes missing.
#[async_trait]
impl Namespace for MemoryCache {
    async fn get(&self, key: &str) -> Lookup {
        Lookup { value: self.texts.get(&format!("{INSIDE}{key}")), ticket: Ticket(Some(0)) }
    }

    async fn set(&self, ticket: Ticket, key: &str, value: String) {
        if !ticket.is_void() {
            self.texts.insert(format!("{INSIDE}{key}"), value);
        }
    }

    async fn remove(&self, key: &str) {
        self.texts.invalidate(&format!("{INSIDE}{key}"));
    }

    fn outside(&self) -> &dyn Cache {
        self
    }
}

/// Nothing.
pub(super) struct NoCache;

#[async_trait]
impl Cache for NoCache {
    async fn get(&self, _key: &str) -> Option<String> {
        None
    }

    async fn set(&self, _key: &str, _value: String) {}

    async fn remove(&self, _key: &str) {}

    fn is_away(&self) -> bool {
        true
    }
}

#[async_trait]
impl Namespace for NoCache {
    async fn get(&self, _key: &str) -> Lookup {
        Lookup { value: None, ticket: Ticket::VOID }
    }

    async fn set(&self, _ticket: Ticket, _key: &str, _value: String) {}

    async fn remove(&self, _key: &str) {}

    fn outside(&self) -> &dyn Cache {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CacheConfig, contract, namespace_contract};
    use super::*;
    use crate::config::Settings;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        let config = CacheConfig::read(&mut Settings::built_in("cache"));
        contract(&*config.open()).await;
        namespace_contract(&*config.open_namespace("meta", "a")).await;
    }

    #[tokio::test]
    async fn a_cache_that_is_off_has_nothing() {
        let cache = CacheConfig::Off.open();
        cache.set("a", "b".to_owned()).await;
        cache.remove("c").await;
        assert_eq!((cache.get("a").await, cache.is_away()), (None, true));
        let namespace = CacheConfig::Off.open_namespace("meta", "a");
        let lookup = namespace.get("a").await;
        namespace.set(lookup.ticket, "a", "b".to_owned()).await;
        assert_eq!(namespace.get("a").await, Lookup { value: None, ticket: Ticket::VOID });
    }
}
