//! etc/storage.toml.

use std::net::SocketAddr;
use std::time::Duration;

use tnv_common::cache::{CacheConfig, CacheKeys};
use tnv_common::config::{Settings, WrittenPath};
use tnv_common::database::DatabaseConfig;
use tnv_common::limits::Limits;
use tnv_proto::GroupName;

use crate::send::SendMode;
use crate::verified::VerifyReads;

/// Uploads never take a disk's last bytes: the catalog may lie there too, and deleting needs room in it.
const MIN_RESERVED_SPACE: u64 = 4 << 20;

/// How the storages of a group come to have the same files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Not at all: a file lies on the storage that took it.
    None,
    /// Their store paths are on one volume, GlusterFS or the like, which keeps the copies.
    SharedVolume,
    /// Each has store paths of its own, and gets a copy of each file from the others.
    Copies,
}

impl Replication {
    /// As it is written in configurations and in the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Replication::None => "none",
            Replication::SharedVolume => "shared-volume",
            Replication::Copies => "copies",
        }
    }
}

/// What is durable when an upload is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// The file, for which each upload syncs by itself.
    Always,
    /// The file; uploads that end together share the cost.
    #[default]
    Group,
    /// Nothing: a crash of the process costs no file, a power cut may cost the latest ones.
    None,
}

/// Which way the bytes of files take to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// From 32 MiB on past the page cache, where the file system is on this machine and uploads are synced.
    #[default]
    Auto,
    /// From 1 MiB on past the page cache, where the file system lets them.
    Direct,
    /// Through the page cache.
    Buffered,
}

/// How files are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writing {
    /// What is durable when an upload is answered.
    pub sync: SyncPolicy,
    /// Which way the bytes of files take to the disk.
    pub mode: WriteMode,
}

/// How all files are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubPolicy {
    /// How often, in days; 0 = only when it is asked for.
    pub days: u32,
    /// How many bytes of them per second; 0 = no limit.
    pub rate: u64,
}

/// How many storages of a group of copies are to have an upload when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckPolicy {
    /// With the one that takes it; 1 to 16.
    pub copies: u8,
    /// Whether an upload is refused where fewer storages can be reached.
    pub strict: bool,
}

/// What a storage is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where metrics can be had over HTTP, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// The cluster's name, kept in the marks of its store paths.
    pub cluster: String,
    /// The group it belongs to.
    pub group: GroupName,
    /// The folders that files go into.
    pub store_paths: Vec<WrittenPath>,
    /// How the storages of the group come to have the same files.
    pub replication: Replication,
    /// How many files are fetched from other storages of the group at once.
    pub copy_parallel: usize,
    /// Which reads of a file's blocks are held against their checksums.
    pub verify_reads: VerifyReads,
    /// How all files are read again.
    pub scrub: ScrubPolicy,
    /// How far the threads that move their bytes stand back: what their nice value is raised by, 0 to 19.
    pub copy_niceness: u8,
    /// How many storages are to have an upload when it is answered.
    pub ack: AckPolicy,
    /// Bytes per second that they may take together while the storage fills; 0 = no limit.
    pub fill_rate: u64,
    /// How long storages of a group of copies remember rows.
    pub row_lease: Duration,
    /// Trackers, `host:port` each.
    pub trackers: Vec<String>,
    /// Id servers, `host:port` each.
    pub ids: Vec<String>,
    /// The `host:port` that clients should use, where it differs from what trackers see; empty = what they see.
    pub advertise: String,
    /// How often it tells every tracker that it is there.
    pub heartbeat_interval: Duration,
    /// Bytes to leave free in every store path; 4 MiB at least, for rows and deletes need room as well.
    pub reserved_space: u64,
    /// The largest file it takes, in bytes.
    pub max_file_size: u64,
    /// Memory for transfers that move fast; each has 16 KiB beside it. At least 1 MiB.
    pub buffer_memory: u64,
    /// How the bytes of files get to their readers.
    pub send_mode: SendMode,
    /// How files are written.
    pub writing: Writing,
    /// How long an upload in parts is kept when nothing more comes.
    pub part_expiry: Duration,
    /// Numbers fetched from an id server at a time.
    pub id_lease: u32,
    /// Where rows are kept.
    pub database: DatabaseConfig,
    /// Where rows are cached.
    pub cache: CacheConfig,
    /// What connections are held to.
    pub limits: Limits,
}

impl Config {
    /// Reads the keys, each with its default.
    pub fn read(settings: &mut Settings) -> Config {
        let config = Config {
            listen: settings.parse("listen", SocketAddr::from(([127, 0, 0, 1], 23000))),
            admin_listen: settings.optional("admin_listen"),
            cluster: settings.text("cluster", "tnv"),
            group: read_group(settings),
            store_paths: settings.paths("store_paths", &["data/store"]),
            replication: settings.choice(
                "replication",
                Replication::None,
                &[Replication::None, Replication::SharedVolume, Replication::Copies]
                    .map(|choice| (choice.as_str(), choice)),
            ),
            copy_parallel: settings.number("copy_parallel", 4, 1..=1_000) as usize,
            verify_reads: settings.choice(
                "verify_reads",
                VerifyReads::First,
                &[
                    ("first", VerifyReads::First),
                    ("always", VerifyReads::Always),
                    ("never", VerifyReads::Never),
                ],
            ),
            scrub: ScrubPolicy {
                days: settings.number("scrub_days", 30, 0..=3650),
                rate: settings.size("scrub_rate", 20 << 20, 0..=1 << 40),
            },
            copy_niceness: settings.number("copy_niceness", 10, 0..=19),
            ack: AckPolicy {
                copies: settings.number("ack_copies", 1, 1..=16),
                strict: settings.flag("ack_strict", false),
            },
            fill_rate: settings.size("fill_rate", 0, 0..=1 << 40),
            row_lease: settings.duration(
                "row_lease",
                Duration::from_secs(5),
                Duration::ZERO..=Duration::from_secs(60),
            ),
            trackers: read_addresses(settings, "trackers", "127.0.0.1:21000"),
            ids: read_addresses(settings, "ids", "127.0.0.1:22000"),
            advertise: settings.text("advertise", ""),
            heartbeat_interval: settings.duration(
                "heartbeat_interval",
                Duration::from_secs(10),
                Duration::from_millis(10)..=Duration::from_secs(3600),
            ),
            reserved_space: settings
                .size("reserved_space", 256 << 20, 0..=u64::MAX / 2)
                .max(MIN_RESERVED_SPACE),
            max_file_size: settings.size("max_file_size", i64::MAX as u64, 0..=i64::MAX as u64),
            buffer_memory: settings.size("buffer_memory", 32 << 20, 1 << 20..=1 << 40),
            send_mode: settings.choice(
                "send_mode",
                SendMode::Auto,
                &[("auto", SendMode::Auto), ("sendfile", SendMode::Sendfile), ("copy", SendMode::Copy)],
            ),
            writing: read_writing(settings),
            part_expiry: settings.duration(
                "part_expiry",
                Duration::from_secs(24 * 3600),
                Duration::from_secs(60)..=Duration::from_secs(365 * 24 * 3600),
            ),
            id_lease: settings.number("id_lease", 100, 1..=1_000_000),
            database: DatabaseConfig::read(settings),
            cache: CacheConfig::read_keys(settings, &CacheKeys { size: 64 << 20, ..CacheKeys::CACHE }),
            limits: Limits::read(settings),
        };
        config.check(settings);
        config
    }

    fn check(&self, settings: &mut Settings) {
        if self.store_paths.is_empty() {
            settings.problem("store_paths", "at least one folder is needed");
        }
        for (n, path) in self.store_paths.iter().enumerate() {
            if self.store_paths.iter().skip(n + 1).any(|other| other.resolved == path.resolved) {
                settings.problem("store_paths", format!("{} stands there twice", path.written));
            }
        }
        if !self.advertise.is_empty()
            && tnv_client::parse_addresses(&self.advertise).map_or(0, |list| list.len()) != 1
        {
            settings.problem("advertise", "write host:port");
        }
        if self.cluster.is_empty() || self.cluster.len() > 64 || self.cluster.contains(char::is_control) {
            settings.problem("cluster", "write a name of 1 to 64 bytes");
        }
    }
}

fn read_group(settings: &mut Settings) -> GroupName {
    const DEFAULT: &str = "group001";
    let name = settings.text("group", DEFAULT);
    match GroupName::new(&name).or_else(|error| {
        settings.problem("group", error);
        GroupName::new(DEFAULT)
    }) {
        Ok(group) => group,
        Err(_) => unreachable!("the default is a valid name"),
    }
}

fn read_writing(settings: &mut Settings) -> Writing {
    let syncs = [("always", SyncPolicy::Always), ("group", SyncPolicy::Group), ("none", SyncPolicy::None)];
    let modes = [("auto", WriteMode::Auto), ("direct", WriteMode::Direct), ("buffered", WriteMode::Buffered)];
    Writing {
        sync: settings.choice("sync", SyncPolicy::default(), &syncs),
        mode: settings.choice("write_mode", WriteMode::default(), &modes),
    }
}

fn read_addresses(settings: &mut Settings, key: &str, default: &str) -> Vec<String> {
    let written = settings.list(key, vec![default.to_owned()]);
    match tnv_client::parse_addresses(&written.join(";")) {
        Ok(addresses) => addresses,
        Err(error) => {
            settings.problem(key, error);
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tnv_common::config::Sources;
    use tnv_common::telemetry::LogConfig;

    use super::*;

    fn sample() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/storage.toml")
    }

    #[test]
    fn the_sample_file_says_every_default() {
        let sources = Sources { file: Some(sample()), required: true, ..Sources::default() };
        let (mut written, mut built_in) = (Settings::load("storage", sources), Settings::built_in("storage"));
        let (log, default_log) = (LogConfig::read(&mut written), LogConfig::read(&mut built_in));
        assert_eq!(log, default_log);

        let (mut config, default) = (Config::read(&mut written), Config::read(&mut built_in));
        // The file's paths count from its own folder, the built-in ones from the current folder.
        assert_eq!(config.database, DatabaseConfig::sqlite(sample().with_file_name("../data/tnv.db")));
        assert_eq!(default.database, DatabaseConfig::sqlite(current_folder().join("data/tnv.db")));
        config.database = default.database.clone();
        assert_eq!(config.store_paths, [resolved("../data/store", &sample().with_file_name(""))]);
        assert_eq!(default.store_paths, [resolved("data/store", &current_folder())]);
        config.store_paths = default.store_paths.clone();
        assert_eq!(config, default);

        assert_eq!(written.left_out_of_file(), Vec::<&str>::new());
        written.finish().unwrap();
    }

    fn resolved(written: &str, folder: &Path) -> WrittenPath {
        WrittenPath { written: written.to_owned(), resolved: folder.join(written) }
    }

    fn current_folder() -> PathBuf {
        std::env::current_dir().unwrap()
    }
}
