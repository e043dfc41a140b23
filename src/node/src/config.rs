//! What a node is told: `node_config.json`, environment variables and options; every mistake named at once.
//!
//! The document is the truth: [`Document::read`] makes the typed [`Config`] of it, changes are merged into it, and
//! keys that nobody knows stay in it.

mod check;
mod document;
mod file;
mod overrides;
mod reader;
mod show;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use tnv_web::Limits;

pub use file::{ConfigError, ConfigFile};
pub use overrides::Overrides;
pub(crate) use reader::Remark;

pub(crate) use file::ChangeError;

use reader::Reader;

/// Keys whose values are never shown.
const SECRETS: [&str; 2] = ["apiKey", "adminPassword"];

fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// Seconds without a heartbeat after which a hub forgets a node, as a hub has it by default.
const HUB_PATIENCE: u64 = 60;

/// Everything a node goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the hub is: scheme, host and port, without a slash at the end.
    pub hub: String,
    /// What the hub knows its nodes by.
    pub api_key: Option<Secret>,
    /// How often the hub is asked for active meetings.
    pub sync_interval: Duration,
    /// Under which name the hub knows this node; empty until one was made up.
    pub node_id: String,
    /// The address it listens on.
    pub node_host: String,
    /// The port it listens on; 0 picks a free one.
    pub node_port: u16,
    /// What clients are told to come to, if that is not the address it has.
    pub public: PublicAddress,
    /// How much the hub should prefer it, 1 being usual.
    pub weight: f64,
    /// Where it stands.
    pub region: Option<String>,
    /// What the page and changes ask for: a password, or its hash.
    pub admin_password: Option<Secret>,
    /// Names under which pages may use it over plain http.
    pub hosts: Vec<String>,
    /// Where packages are kept, and how many.
    pub storage: Storage,
    /// How members are fetched.
    pub network: Network,
    /// The log file.
    pub logging: Logging,
    /// How often the hub is told that the node is there.
    pub heartbeat: Heartbeat,
    /// What is removed.
    pub cleanup: Cleanup,
    /// How much clients may take.
    pub limits: Limits,
}

/// A text that is in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What clients are told to come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicAddress {
    /// Whether the two others count.
    pub used: bool,
    /// A name or an address.
    pub ip: Option<String>,
    /// The port, if it is another than the node's own.
    pub port: Option<u16>,
}

/// Where packages are kept, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The folder as written.
    pub path: String,
    /// Bytes that all packages may take.
    pub max_size: u64,
    /// The part of `max_size` at which cleaning begins.
    pub cleanup_threshold: f64,
    /// The part of `max_size` at which cleaning ends.
    pub low_water: f64,
    /// Whether packages are removed to make room.
    pub auto_cleanup: bool,
    /// How often the packages are read and compared with their manifests; zero = never.
    pub verify_interval: Duration,
    /// Bytes a second that are read for that.
    pub verify_rate: u64,
}

impl Storage {
    /// Bytes at which cleaning begins.
    pub(crate) fn high_mark(&self) -> u64 {
        (self.max_size as f64 * self.cleanup_threshold) as u64
    }

    /// Bytes at which cleaning ends.
    pub(crate) fn low_mark(&self) -> u64 {
        (self.max_size as f64 * self.low_water.min(self.cleanup_threshold)) as u64
    }
}

/// How members are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Members on their way at once.
    pub max_concurrent_downloads: usize,
    /// How long one request for a member's bytes may last; what has come by then is kept.
    pub download_timeout: Duration,
    /// How long a connection may take to come about.
    pub connection_timeout: Duration,
    /// Requests for a member that may bring nothing before it is given up.
    pub retry_count: u32,
    /// The pause behind the first of them; later ones are longer.
    pub retry_delay: Duration,
}

/// The log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// The level as `tracing` calls it.
    pub level: String,
    /// Whether there is a file.
    pub file_enabled: bool,
    /// The file as written.
    pub file_path: String,
    /// Bytes it may reach; 0 is any number.
    pub max_file_size: u64,
    /// How many old ones stay.
    pub backup_count: u32,
}

/// How often the hub is told that the node is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Between two heartbeats.
    pub interval: Duration,
    /// How long the hub may take to answer.
    pub timeout: Duration,
}

/// What is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleanup {
    /// Whether anything is, apart from what must make room.
    pub enabled: bool,
    /// Whether the first look at the hub's meetings counts already.
    pub clean_on_startup: bool,
    /// Whether packages of ended meetings go.
    pub clean_ended_meetings: bool,
}

/// A document with what it means.
pub(crate) struct Document {
    pub(crate) config: Config,
    /// Every key, in the order of the file, those that nobody knows behind them.
    pub(crate) complete: Map<String, Value>,
    /// The dotted keys in the order of the file.
    pub(crate) order: Vec<String>,
    pub(crate) warnings: Vec<Remark>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// All mistakes, at least one.
    pub(crate) fn read(given: &Map<String, Value>) -> Result<Document, Vec<Remark>> {
        let mut reader = Reader::new(given);
        let config = Config::ask(&mut reader);
        if !reader.mistakes.is_empty() {
            return Err(reader.mistakes);
        }
        reader.keep_unknown();
        let Reader { complete, order, warnings, .. } = reader;
        Ok(Document { config, complete, order, warnings })
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::ask(&mut Reader::new(&Map::new()))
    }
}

impl Config {
    fn ask(reader: &mut Reader<'_>) -> Config {
        let ip = reader.text("mainServerIp", "192.168.110.10", check::host);
        let port = reader.number("mainServerPort", 80, 1..=65535);
        let hub = match reader.optional_text("mainServerUrl", check::url) {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}:{port}", check::in_url(&ip)),
        };
        let config = Config {
            hub,
            api_key: reader.optional_text("apiKey", check::key).map(Secret),
            sync_interval: seconds(reader, "syncInterval", 10, 1..=86400),
            node_id: reader.optional_text("nodeId", check::id).unwrap_or_default(),
            node_host: reader.text("nodeHost", "0.0.0.0", check::address),
            node_port: reader.number("nodePort", 8001, 0..=65535) as u16,
            public: PublicAddress {
                ip: reader.optional_text("publicIp", check::host),
                port: reader.optional_port("publicPort"),
                used: reader.flag("usePublicAddress", false),
            },
            weight: reader.fraction("weight", 1.0, 0.01..=100.0),
            region: reader.optional_text("region", check::name),
            admin_password: reader.optional_text("adminPassword", check::password).map(Secret),
            hosts: reader.texts("hosts"),
            storage: Storage::ask(reader),
            network: Network::ask(reader),
            logging: Logging::ask(reader),
            heartbeat: Heartbeat::ask(reader),
            cleanup: Cleanup {
                enabled: reader.flag("cleanup.enabled", true),
                clean_on_startup: reader.flag("cleanup.cleanOnStartup", true),
                clean_ended_meetings: reader.flag("cleanup.cleanEndedMeetings", true),
            },
            limits: limits(reader),
        };
        if config.public.used && config.public.ip.is_none() {
            reader.warn("usePublicAddress", "publicIp is null, so the address is found out as without it");
        }
        config
    }
}

impl Storage {
    fn ask(reader: &mut Reader<'_>) -> Storage {
        let storage = Storage {
            path: reader.text("storage.path", "./storage", check::path),
            max_size: reader.number("storage.maxSize", 10 << 30, 1..=1 << 53),
            cleanup_threshold: reader.fraction("storage.cleanupThreshold", 0.9, 0.01..=1.0),
            low_water: reader.fraction("storage.lowWater", 0.7, 0.0..=1.0),
            auto_cleanup: reader.flag("storage.autoCleanup", true),
            verify_interval: seconds(reader, "storage.verifyInterval", 86400, 0..=31_536_000),
            verify_rate: reader.number("storage.verifyRate", 64 << 20, 1 << 20..=1 << 53),
        };
        if storage.low_water > storage.cleanup_threshold {
            reader.warn("storage.lowWater", "it is above storage.cleanupThreshold, which counts instead");
        }
        storage
    }
}

impl Network {
    fn ask(reader: &mut Reader<'_>) -> Network {
        Network {
            max_concurrent_downloads: reader.number("network.maxConcurrentDownloads", 3, 1..=64) as usize,
            download_timeout: seconds(reader, "network.downloadTimeout", 300, 1..=86400),
            connection_timeout: seconds(reader, "network.connectionTimeout", 10, 1..=300),
            retry_count: reader.number("network.retryCount", 3, 0..=100) as u32,
            retry_delay: seconds(reader, "network.retryDelay", 5, 0..=3600),
        }
    }
}

impl Logging {
    fn ask(reader: &mut Reader<'_>) -> Logging {
        let level = reader.text("logging.level", "INFO", |level| check::level(level).map(|_| ()));
        Logging {
            level: check::level(&level).unwrap_or("info").to_owned(),
            file_enabled: reader.flag("logging.fileEnabled", true),
            file_path: reader.text("logging.filePath", "./logs/node.log", check::path),
            max_file_size: reader.number("logging.maxFileSize", 10 << 20, 0..=1 << 53),
            backup_count: reader.number("logging.backupCount", 5, 0..=1000) as u32,
        }
    }
}

impl Heartbeat {
    fn ask(reader: &mut Reader<'_>) -> Heartbeat {
        let interval = seconds(reader, "heartbeat.interval", 10, 1..=3600);
        if interval.as_secs() * 2 > HUB_PATIENCE {
            let message = format!("a hub gives up a node that is silent for {HUB_PATIENCE} s by default");
            reader.warn("heartbeat.interval", message);
        }
        Heartbeat { interval, timeout: seconds(reader, "heartbeat.timeout", 30, 1..=300) }
    }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    Limits {
        max_connections: reader.number("limits.maxConnections", 4096, 1..=1_000_000) as usize,
        max_connections_per_client: reader.number("limits.maxConnectionsPerClient", 0, 0..=1_000_000)
            as usize,
        rate_limit: reader.number("limits.rateLimit", 0, 0..=1 << 53),
        header_timeout: seconds(reader, "limits.headerTimeout", 30, 1..=86400),
        progress_timeout: seconds(reader, "limits.progressTimeout", 60, 1..=86400),
        drain_timeout: seconds(reader, "limits.drainTimeout", 30, 0..=86400),
    }
}

fn seconds(
    reader: &mut Reader<'_>,
    key: &str,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Duration {
    Duration::from_secs(reader.number(key, default, range))
}

/// A path as written, seen from the folder of the configuration file.
pub(crate) fn resolve(folder: &Path, written: &str) -> PathBuf {
    folder.join(written.strip_prefix("./").unwrap_or(written))
}

#[cfg(test)]
mod tests;
