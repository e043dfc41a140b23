//! A cache in Redis, which several processes share.
//!
//! **Stale texts.** A removal that does not reach Redis must not leave the text there for whoever looks next. So each
//! namespace has an *epoch*, a random number under `tnv:epoch:{OWNER}`. A text carries the epoch that was current
//! before its source was read, and counts only while that is the current one; one MGET fetches both, and the braces
//! put them on the same node of a cluster. Whenever a connection is made, the first of a process and every later one,
//! a new epoch is set before anything is read through it: all removals that were lost lie before that, and all texts
//! of before are dead, for every process.
//!
//! An epoch is random and not counted, for a counter may run through the same numbers twice: a Redis without
//! persistence forgets it, and a replica that takes over may not have heard of its last step and still have texts of
//! that time. Such a takeover can bring back an old epoch together with its texts. It is always seen as a lost
//! connection, and so ends with a new epoch: Sentinel and crashes cut connections, and nodes of a cluster redirect,
//! which here is a failure like any other.
//!
//! What remains: a process that lost a removal may find Redis some seconds after it is back. Until then others with the
//! same owner, which are storages of one shared volume, can still see the text if their own connections held.

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue};

use super::breaker::{Breaker, Gate};
use super::config::RedisConfig;
use super::dial::{Dialler, Link, fault, fresh_epoch};
use super::{Cache, Lookup, Namespace, Ticket};

/// Plain texts.
pub(super) struct RedisCache {
    breaker: Breaker<Dialler>,
    config: RedisConfig,
}

impl RedisCache {
    /// With the key of the epoch that each new connection begins with.
    pub(super) fn new(config: &RedisConfig, epoch_key: Option<String>) -> RedisCache {
        let dialler = Dialler::new(config, epoch_key);
        RedisCache { breaker: Breaker::new(dialler, config.timeout), config: config.clone() }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.config.prefix)
    }

    async fn query<T: FromRedisValue>(&self, gate: Gate, command: &Cmd) -> Option<T> {
        let run = |link: Link| async move {
            link.query(command).await.map_err(|error| fault(&error, &self.config))
        };
        self.breaker.run(gate, run).await
    }

    /// Puts in a text that goes away by itself.
    async fn put(&self, key: &str, value: &str) {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value).arg("PX").arg(millis(&self.config));
        self.query::<()>(Gate::Prepared, &command).await;
    }

    async fn delete(&self, key: &str) {
        self.query::<()>(Gate::Connected, redis::cmd("DEL").arg(key)).await;
    }
}

fn millis(config: &RedisConfig) -> u64 {
    u64::try_from(config.ttl.as_millis()).unwrap_or(u64::MAX / 2)
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Option<String> {
        let key = self.key(key);
        let run = |link: Link| async move {
            match link.query::<Option<Vec<u8>>>(redis::cmd("GET").arg(key)).await {
                Ok(text) => Ok(text),
                // What another program has under this key says nothing about the server.
                Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
                Err(error) => Err(fault(&error, &self.config)),
            }
        };
        let text = self.breaker.run(Gate::Prepared, run).await??;
        String::from_utf8(text).ok()
    }

    async fn set(&self, key: &str, value: String) {
        self.put(&self.key(key), &value).await;
    }

    async fn remove(&self, key: &str) {
        self.delete(&self.key(key)).await;
    }

    fn is_away(&self) -> bool {
        !self.breaker.is_closed()
    }
}

/// Texts of one owner.
pub(super) struct RedisNamespace {
    cache: RedisCache,
    epoch_key: String,
    /// What the keys of all texts begin with.
    head: String,
}

impl RedisNamespace {
    pub(super) fn new(config: &RedisConfig, kind: &str, owner: &str) -> RedisNamespace {
        let epoch_key = format!("{}tnv:epoch:{{{owner}}}", config.prefix);
        RedisNamespace {
            cache: RedisCache::new(config, Some(epoch_key.clone())),
            head: format!("{}tnv:{kind}:{{{owner}}}:", config.prefix),
            epoch_key,
        }
    }

    /// The epoch got lost, in a Redis that runs out of memory or was emptied. With it all texts are.
    async fn begin_epoch(&self) -> Ticket {
        let epoch = fresh_epoch();
        let mut command = redis::cmd("SET");
        command.arg(&self.epoch_key).arg(show(epoch)).arg("NX");
        let done: Option<Option<String>> = self.cache.query(Gate::Prepared, &command).await;
        // Else another process was faster; its epoch is the one to ask for next time.
        done.flatten().map_or(Ticket::VOID, |_| Ticket(Some(epoch)))
    }
}

#[async_trait]
impl Namespace for RedisNamespace {
    async fn get(&self, key: &str) -> Lookup {
        let mut command = redis::cmd("MGET");
        command.arg(&self.epoch_key).arg(format!("{}{key}", self.head));
        let answer: Option<(Option<Vec<u8>>, Option<Vec<u8>>)> =
            self.cache.query(Gate::Prepared, &command).await;
        let Some((epoch, text)) = answer else { return Lookup { value: None, ticket: Ticket::VOID } };
        let Some(epoch) = epoch.as_deref().and_then(read) else {
            return Lookup { value: None, ticket: self.begin_epoch().await };
        };
        let text = text.and_then(|text| String::from_utf8(text).ok());
        let value = text.and_then(|text| {
            let (of, value) = text.split_once(' ')?;
            (read(of.as_bytes())? == epoch).then(|| value.to_owned())
        });
        Lookup { value, ticket: Ticket(Some(epoch)) }
    }

    async fn set(&self, ticket: Ticket, key: &str, value: String) {
        if let Ticket(Some(epoch)) = ticket {
            self.cache.put(&format!("{}{key}", self.head), &format!("{} {value}", show(epoch))).await;
        }
    }

    async fn remove(&self, key: &str) {
        self.cache.delete(&format!("{}{key}", self.head)).await;
    }

    fn outside(&self) -> &dyn Cache {
        &self.cache
    }
}

/// An epoch as it stands in Redis.
pub(super) fn show(epoch: u64) -> String {
    format!("{epoch:016x}")
}

fn read(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}
