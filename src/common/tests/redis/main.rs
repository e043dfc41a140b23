//! The cache on a real Redis: one server, Sentinel and Cluster, and what becomes of them.

mod check;
mod failover;
mod outage;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tnv_common::cache::{Cache, CacheConfig, Namespace, contract, namespace_contract};
use tnv_common::config::Settings;
use tnv_testbed::{DEADLINE, Redis, RedisCluster, Sentinel, installed};
use tokio::time::Instant;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// The configuration that these keys make, each without its `cache.`.
fn config(url: &str, keys: &[(&str, &str)]) -> CacheConfig {
    let mut settings = Settings::built_in("storage");
    for (key, value) in [&[("url", url)], keys].concat() {
        settings.set(&format!("cache.{key}"), value, "--set");
    }
    let config = CacheConfig::read(&mut settings);
    settings.finish().unwrap();
    config
}

/// Waits for what announces itself in no other way.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < DEADLINE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_there(cache: &dyn Cache) {
    until("the cache answers", async || !cache.is_away()).await;
}

/// Looks until it is noticed that the server is gone.
async fn until_away(cache: &dyn Cache) {
    until("the cache is away", async || cache.get("anything").await.is_some() || cache.is_away()).await;
}

async fn open(config: &CacheConfig) -> Arc<dyn Cache> {
    let cache = config.open();
    until_there(&*cache).await;
    cache
}

async fn open_namespace(config: &CacheConfig, owner: &str) -> Arc<dyn Namespace> {
    let namespace = config.open_namespace("meta", owner);
    until_there(namespace.outside()).await;
    namespace
}

async fn value(namespace: &dyn Namespace, key: &str) -> Option<String> {
    namespace.get(key).await.value
}

/// As whoever fills the cache does.
async fn fill(namespace: &dyn Namespace, key: &str, value: &str) {
    let lookup = namespace.get(key).await;
    namespace.set(lookup.ticket, key, value.to_owned()).await;
    assert_eq!(self::value(namespace, key).await.as_deref(), Some(value));
}

/// What the log of this thread says.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Log, DefaultGuard) {
        let log = Log::default();
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        let guard = tracing::subscriber::set_default(lines.with_writer(log.clone()).finish());
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, what: &str) -> usize {
        self.text().lines().filter(|line| line.contains(what)).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

async fn keeps_the_contract(config: &CacheConfig) {
    contract(&*open(config).await).await;
    namespace_contract(&*open_namespace(config, "2f1c7c1e").await).await;
}

#[tokio::test]
async fn a_server_keeps_the_contract() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let redis =
        Redis::start_with(&["--requirepass", "hunter2", "--user", "tnv", "on", ">s3:c/r@t", "~*", "+@all"]);
    keeps_the_contract(&config(&redis.url(), &[])).await;
    keeps_the_contract(&config(&format!("{}/3", redis.url()), &[("prefix", "films:")])).await;
    keeps_the_contract(&config(&format!("redis://tnv:s3:c/r@t@{}", redis.address()), &[])).await;
}

#[tokio::test]
async fn a_master_behind_sentinels_keeps_the_contract() {
    if installed(Sentinel::PROGRAMS) {
        keeps_the_contract(&config(&Sentinel::start().url(), &[])).await;
    }
}

#[tokio::test]
async fn a_cluster_keeps_the_contract() {
    if installed(RedisCluster::PROGRAMS) {
        let cluster = RedisCluster::start();
        keeps_the_contract(&config(&cluster.url(), &[])).await;
        // Owners lie on all nodes.
        for owner in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let namespace = open_namespace(&config(&cluster.url(), &[("prefix", "films:")]), owner).await;
            fill(&*namespace, "user:file", "row").await;
        }
    }
}

#[tokio::test]
async fn keys_have_their_form_and_go_away_by_themselves() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let redis = Redis::start();
    let config = config(&redis.url(), &[("prefix", "films:"), ("ttl", "10m")]);
    let namespace = open_namespace(&config, "2f1c7c1e").await;
    fill(&*namespace, "user:file", "{}").await;
    namespace.outside().set("tracker:uid:user", "group001".to_owned()).await;
    assert_eq!(redis.command(&["GET", "films:tracker:uid:user"]), "group001");
    let epoch = redis.command(&["GET", "films:tnv:epoch:{2f1c7c1e}"]);
    assert_eq!(redis.command(&["GET", "films:tnv:meta:{2f1c7c1e}:user:file"]), format!("{epoch} {{}}"));
    for key in ["films:tracker:uid:user", "films:tnv:meta:{2f1c7c1e}:user:file"] {
        let left: i64 = redis.command(&["PTTL", key]).parse().unwrap();
        assert!((1..=600_000).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn what_others_left_under_a_key_is_nothing() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let redis = Redis::start();
    let cache = open(&config(&redis.url(), &[])).await;
    redis.command(&["LPUSH", "list", "a"]);
    redis.command(&["EVAL", "return redis.call('SET', 'bytes', '\\255')", "0"]);
    assert_eq!((cache.get("list").await, cache.get("bytes").await), (None, None));
    cache.set("list", "text".to_owned()).await;
    assert_eq!(cache.get("list").await.as_deref(), Some("text"));
    assert!(!cache.is_away());
}
