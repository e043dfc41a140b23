//! A cache of short texts: what is lost from it costs time, never an answer.
//!
//! It is in this process, or in a Redis that several processes share. A [`Cache`] has texts that may be read however
//! old they are. A [`Namespace`] has texts that are wrong once their source changed: there a [`Ticket`] makes sure
//! that no text outlives its removal, even one that could not be carried out because Redis was away.

mod breaker;
mod config;
mod dial;
mod memory;
mod redis;
mod server;

use std::sync::Arc;

use async_trait::async_trait;

use self::dial::Dialler;
use self::memory::{MemoryCache, NoCache};
use self::redis::{RedisCache, RedisNamespace};
pub use config::{CacheConfig, CacheKeys, RedisConfig};

/// Texts under keys, any of which may vanish at any moment.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The text under `key`, if it is there. A cache that is away has nothing.
    async fn get(&self, key: &str) -> Option<String>;

    /// Puts a text under `key`.
    async fn set(&self, key: &str, value: String);

    /// Takes `key` out. When this returns, a later `get` by anyone does not see what was there before, unless the
    /// cache was away.
    async fn remove(&self, key: &str);

    /// Whether it is known to be away: nothing is found in it, and what is put in is lost.
    fn is_away(&self) -> bool {
        false
    }
}

/// Texts of one owner that must not outlive what they were made from.
#[async_trait]
pub trait Namespace: Send + Sync {
    /// Looks for a text, before its source is read.
    async fn get(&self, key: &str) -> Lookup;

    /// Puts a text under `key` that was made from what the source said after `ticket` was handed out. It is lost if
    /// removals went missing since then.
    async fn set(&self, ticket: Ticket, key: &str, value: String);

    /// Takes `key` out, after its source was changed. When this returns, no later `get` sees what was there before,
    /// nor what is put in with a ticket of before if the cache was away.
    async fn remove(&self, key: &str);

    /// The keys outside of the namespace.
    fn outside(&self) -> &dyn Cache;
}

/// What [`Namespace::get`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The text, if it is there.
    pub value: Option<String>,
    /// For putting another one in its place.
    pub ticket: Ticket,
}

/// The right to put in what is read from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(Option<u64>);

impl Ticket {
    /// Nothing can be put in.
    const VOID: Ticket = Ticket(None);

    /// Whether nothing can be put in with it: the cache is away.
    pub fn is_void(self) -> bool {
        self.0.is_none()
    }
}

impl CacheConfig {
    /// Opens the cache. Nothing is waited for: a Redis that is away is looked for in the background.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(&self) -> Arc<dyn Cache> {
        match self {
            CacheConfig::Off => Arc::new(NoCache),
            CacheConfig::Memory { size, ttl } => Arc::new(MemoryCache::new(*size, *ttl)),
            CacheConfig::Redis(config) => Arc::new(RedisCache::new(config, None)),
        }
    }

    /// Opens the cache for texts of one `kind` that belong to `owner`, such as a storage's identity. In Redis a text
    /// is under `tnv:KIND:{OWNER}:KEY`. Nothing is waited for.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open_namespace(&self, kind: &str, owner: &str) -> Arc<dyn Namespace> {
        match self {
            CacheConfig::Off => Arc::new(NoCache),
            CacheConfig::Memory { size, ttl } => Arc::new(MemoryCache::new(*size, *ttl)),
            CacheConfig::Redis(config) => Arc::new(RedisNamespace::new(config, kind, owner)),
        }
    }

    /// Connects and looks: what was found, for people.
    ///
    /// # Errors
    /// What is wrong with it and what to do, in a sentence without any password.
    pub async fn check(&self) -> Result<String, String> {
        match self {
            CacheConfig::Off => Ok("off".to_owned()),
            CacheConfig::Memory { size, .. } => Ok(format!("memory: in this process, up to {size} bytes")),
            CacheConfig::Redis(config) => {
                let found = Dialler::new(config, None).describe().await;
                found
                    .map(|found| format!("{}: {found}", config.server))
                    .map_err(|fault| format!("{}: {}", config.server, fault.reason))
            }
        }
    }
}

/// What every [`Cache`] must do; each implementation's tests call it.
///
/// # Panics
/// If the cache does not.
pub async fn contract(cache: &dyn Cache) {
    assert!(!cache.is_away());
    assert_eq!(cache.get("contract:a").await, None);
    cache.set("contract:a", "1;../data/x y".to_owned()).await;
    cache.set("contract:b", String::new()).await;
    assert_eq!(cache.get("contract:a").await.as_deref(), Some("1;../data/x y"));
    assert_eq!(cache.get("contract:b").await.as_deref(), Some(""));
    cache.set("contract:a", "电影".to_owned()).await;
    assert_eq!(cache.get("contract:a").await.as_deref(), Some("电影"));
    cache.remove("contract:a").await;
    cache.remove("contract:never").await;
    assert_eq!(cache.get("contract:a").await, None);
    assert_eq!(cache.get("contract:b").await.as_deref(), Some(""));
    cache.remove("contract:b").await;
}

/// What every [`Namespace`] must do; each implementation's tests call it.
///
/// # Panics
/// If the namespace does not.
pub async fn namespace_contract(namespace: &dyn Namespace) {
    contract(namespace.outside()).await;
    let Lookup { value, ticket } = namespace.get("contract").await;
    assert_eq!((value, ticket.is_void()), (None, false));
    namespace.set(Ticket::VOID, "contract", "lost".to_owned()).await;
    assert_eq!(namespace.get("contract").await.value, None);
    namespace.set(ticket, "contract", "1 2".to_owned()).await;
    assert_eq!(namespace.get("contract").await.value.as_deref(), Some("1 2"));
    assert_eq!(namespace.outside().get("contract").await, None);
    namespace.remove("contract").await;
    assert_eq!(namespace.get("contract").await.value, None);
    namespace.set(ticket, "contract", String::new()).await;
    assert_eq!(namespace.get("contract").await.value.as_deref(), Some(""));
    namespace.remove("contract").await;
}
