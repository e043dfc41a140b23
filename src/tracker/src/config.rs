//! etc/tracker.toml.

use std::net::SocketAddr;
use std::time::Duration;

use tnv_common::cache::CacheConfig;
use tnv_common::config::Settings;
use tnv_common::database::DatabaseConfig;
use tnv_common::limits::Limits;
use tnv_proto::AppId;

/// What a tracker is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where metrics can be had over HTTP, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// The applications it serves; requests for others are refused with 403.
    pub apps: Vec<AppId>,
    /// How often it looks for storages that fell silent.
    pub check_interval: Duration,
    /// How long a storage may be silent before it is OFFLINE.
    pub offline_after: Duration,
    /// Whether a storage may bring a group that the database does not know.
    pub auto_create_groups: bool,
    /// Groups it keeps at most.
    pub max_groups: usize,
    /// Storages it keeps at most, over all groups.
    pub max_storages: usize,
    /// Where groups and routes are kept.
    pub database: DatabaseConfig,
    /// Where routes are cached.
    pub cache: CacheConfig,
    /// What connections are held to.
    pub limits: Limits,
}

impl Config {
    /// Reads the keys, each with its default.
    pub fn read(settings: &mut Settings) -> Config {
        let (shortest, longest) = (Duration::from_millis(10), Duration::from_secs(24 * 3600));
        let check_interval = settings.duration("check_interval", Duration::from_secs(10), shortest..=longest);
        let config = Config {
            listen: settings.parse("listen", SocketAddr::from(([127, 0, 0, 1], 21000))),
            admin_listen: settings.optional("admin_listen"),
            apps: settings.list("apps", AppId::new("tnvideo").into_iter().collect()),
            check_interval,
            offline_after: settings.duration("offline_after", check_interval * 3, shortest..=longest * 7),
            auto_create_groups: settings.flag("auto_create_groups", true),
            max_groups: settings.number("max_groups", 1000, 1..=1_000_000),
            max_storages: settings.number("max_storages", 10_000, 1..=1_000_000),
            database: DatabaseConfig::read(settings),
            cache: CacheConfig::read(settings),
            limits: Limits::read(settings),
        };
        if config.apps.is_empty() {
            settings.problem("apps", "at least one app is needed");
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tnv_common::config::Sources;
    use tnv_common::telemetry::LogConfig;

    use super::*;

    fn sample() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/tracker.toml")
    }

    #[test]
    fn the_sample_file_says_every_default() {
        let sources = Sources { file: Some(sample()), required: true, ..Sources::default() };
        let (mut written, mut built_in) = (Settings::load("tracker", sources), Settings::built_in("tracker"));
        let (log, default_log) = (LogConfig::read(&mut written), LogConfig::read(&mut built_in));
        assert_eq!(log, default_log);

        let (mut config, default) = (Config::read(&mut written), Config::read(&mut built_in));
        // The file's paths count from its own folder, the built-in ones from the current folder.
        assert_eq!(config.database, DatabaseConfig::sqlite(sample().with_file_name("../data/tnv.db")));
        assert_eq!(default.database, DatabaseConfig::sqlite(current_folder().join("data/tnv.db")));
        config.database = default.database.clone();
        assert_eq!(config, default);

        assert_eq!(written.left_out_of_file(), Vec::<&str>::new());
        written.finish().unwrap();
    }

    fn current_folder() -> PathBuf {
        std::env::current_dir().unwrap()
    }
}
