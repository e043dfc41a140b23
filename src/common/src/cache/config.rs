//! The `cache.*` keys.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::server::{Password, RedisServer};
use crate::config::Settings;

const MIB: u64 = 1024 * 1024;
/// The longest `prefix`, in bytes.
const MAX_PREFIX: usize = 64;

/// Where texts are cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheConfig {
    /// Nowhere.
    Off,
    /// In this process.
    Memory {
        /// Bytes of keys and texts together.
        size: u64,
        /// How long a text stays after it was put in.
        ttl: Duration,
    },
    /// In Redis.
    Redis(RedisConfig),
}

/// Which Redis, and how it is used. Nothing here shows the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    pub(super) server: RedisServer,
    /// What stands in front of every key.
    pub(super) prefix: String,
    /// How long a text stays after it was put in.
    pub(super) ttl: Duration,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    /// How long a connection may take to be made.
    pub(super) connect_timeout: Duration,
}

/// What the keys of a cache are called, and their defaults.
#[derive(Debug, Clone, Copy)]
pub struct CacheKeys {
    /// The key with the URL.
    pub url: &'static str,
    /// The table of the other keys.
    pub table: &'static str,
    /// The default of `size`, in bytes.
    pub size: u64,
    /// The default of `ttl`.
    pub ttl: Duration,
    /// The longest `ttl`.
    pub max_ttl: Duration,
}

impl CacheKeys {
    /// `cache.url` and so on.
    pub const CACHE: CacheKeys = CacheKeys {
        url: "cache.url",
        table: "cache",
        size: 8 * MIB,
        ttl: Duration::from_secs(600),
        max_ttl: Duration::from_secs(30 * 24 * 3600),
    };
}

impl CacheConfig {
    /// Reads the `cache.*` keys.
    pub fn read(settings: &mut Settings) -> CacheConfig {
        CacheConfig::read_keys(settings, &CacheKeys::CACHE)
    }

    /// Reads keys of other names.
    pub fn read_keys(settings: &mut Settings, keys: &CacheKeys) -> CacheConfig {
        const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
        let key = |name: &str| format!("{}.{name}", keys.table);
        let url = settings.text(keys.url, "memory:");
        let size = settings.size(&key("size"), keys.size, 0..=u64::MAX / 2);
        let ttl = settings.duration(&key("ttl"), keys.ttl, Duration::from_secs(1)..=keys.max_ttl);
        let prefix = read_prefix(settings, &key("prefix"));
        let timeout = settings.duration(&key("timeout"), Duration::from_millis(500), TIMES);
        let connect_timeout = settings.duration(&key("connect_timeout"), Duration::from_secs(1), TIMES);
        let password = read_password(settings, &key("password"), &key("password_file"));
        let memory = CacheConfig::Memory { size, ttl };
        match url.as_str() {
            "memory:" => memory,
            "off" => CacheConfig::Off,
            url => match RedisServer::parse(url) {
                Ok(mut server) => {
                    server.password = server.password.or(password);
                    CacheConfig::Redis(RedisConfig { server, prefix, ttl, timeout, connect_timeout })
                }
                Err(problem) => {
                    settings.problem(keys.url, problem);
                    memory
                }
            },
        }
    }

    /// How long a text stays after it was put in.
    pub fn ttl(&self) -> Duration {
        match self {
            CacheConfig::Off => Duration::ZERO,
            CacheConfig::Memory { ttl, .. } => *ttl,
            CacheConfig::Redis(config) => config.ttl,
        }
    }
}

impl fmt::Display for CacheConfig {
    /// The URL, without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheConfig::Off => f.write_str("off"),
            CacheConfig::Memory { .. } => f.write_str("memory:"),
            CacheConfig::Redis(config) => config.server.fmt(f),
        }
    }
}

fn read_prefix(settings: &mut Settings, key: &str) -> String {
    let prefix = settings.text(key, "");
    // Braces decide on which node of a cluster a key lies.
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}');
    if prefix.len() > MAX_PREFIX || prefix.contains(is_odd) {
        settings
            .problem(key, format!("a prefix has up to {MAX_PREFIX} bytes, and neither spaces nor braces"));
    }
    prefix
}

/// From the key itself, which is meant for the environment, or from a file.
fn read_password(settings: &mut Settings, key: &str, file_key: &str) -> Option<Password> {
    let password = Some(settings.text(key, "")).filter(|password| !password.is_empty());
    let Some(file) = settings.optional_path(file_key) else { return password.map(Password) };
    match std::fs::read_to_string(&file.resolved) {
        Ok(text) => Some(Password(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) => {
            settings.problem(file_key, format!("cannot read {}: {error}", file.resolved.display()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn read(pairs: &[(&str, &str)]) -> Result<CacheConfig, String> {
        let mut settings = Settings::built_in("storage");
        for (key, value) in pairs {
            settings.set(key, value, &format!("--set {key}"));
        }
        let config = CacheConfig::read(&mut settings);
        settings.finish().map(|()| config).map_err(|problems| problems.to_string())
    }

    fn redis(config: CacheConfig) -> RedisConfig {
        match config {
            CacheConfig::Redis(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_key_can_be_set() {
        let seconds = Duration::from_secs;
        assert_eq!(read(&[]), Ok(CacheConfig::Memory { size: 8 * MIB, ttl: seconds(600) }));
        assert_eq!(read(&[("cache.url", "off")]), Ok(CacheConfig::Off));
        let memory = read(&[("cache.size", "1MiB"), ("cache.ttl", "1m")]);
        assert_eq!(memory, Ok(CacheConfig::Memory { size: MIB, ttl: seconds(60) }));
        let url = ("cache.url", "redis://tnv@cache:1/2");
        let plain = redis(read(&[url]).unwrap());
        assert_eq!((plain.prefix.as_str(), plain.ttl), ("", seconds(600)));
        assert_eq!((plain.timeout, plain.connect_timeout), (Duration::from_millis(500), seconds(1)));
        assert_eq!(plain.server.to_string(), "redis://tnv@cache:1/2");
        let rest = [("cache.prefix", "films:"), ("cache.timeout", "50ms"), ("cache.connect_timeout", "2s")];
        let full = redis(read(&[&[url, ("cache.ttl", "1h")], &rest[..]].concat()).unwrap());
        assert_eq!((full.prefix.as_str(), full.ttl), ("films:", seconds(3600)));
        assert_eq!((full.timeout, full.connect_timeout), (Duration::from_millis(50), seconds(2)));
    }

    #[test]
    fn the_password_may_be_elsewhere_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let file = ("cache.password_file", file.to_str().unwrap());
        let (url, own) = (("cache.url", "redis://cache"), ("cache.url", "redis://:hunter1@cache"));
        for (pairs, password) in [
            (vec![url], None),
            (vec![url, file], Some("hunter2")),
            (vec![url, ("cache.password", "12345678")], Some("12345678")),
            (vec![url, file, ("cache.password", "hunter3")], Some("hunter2")),
            (vec![own, file, ("cache.password", "hunter3")], Some("hunter1")),
        ] {
            let config = read(&pairs).unwrap();
            let shown = format!("{config} {config:?}");
            let given = redis(config).server.password.map(|password| password.0);
            assert_eq!(given.as_deref(), password, "{pairs:?}");
            assert!(password.is_none_or(|password| !shown.contains(password)), "{shown}");
        }
        let environment = vec![
            ("TNV_STORAGE_CACHE_URL".to_owned(), "redis://cache".to_owned()),
            ("TNV_STORAGE_CACHE_PASSWORD".to_owned(), "hunter2".to_owned()),
        ];
        let mut settings = Settings::load("storage", Sources { environment, ..Sources::default() });
        let config = redis(CacheConfig::read(&mut settings));
        assert_eq!(config.server.password, Some(Password("hunter2".to_owned())));
    }

    #[test]
    fn mistakes_are_found() {
        for (key, value, said) in [
            ("cache.url", "redis+sentinel://:hunter2@a:1", "the service is missing"),
            ("cache.url", "mysql://u:hunter2@a", "unknown kind of cache"),
            ("cache.prefix", "a b", "spaces"),
            ("cache.prefix", "{a}", "braces"),
            ("cache.password_file", "/no/such/file", "cannot read"),
            ("cache.timeout", "1ms", "10ms"),
            ("cache.connect_timeout", "1h", "connect_timeout"),
        ] {
            let problem = read(&[(key, value)]).unwrap_err();
            assert!(problem.contains(key) && problem.contains(said), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
