//! etc/id.toml.

use std::net::SocketAddr;

use tnv_common::config::Settings;
use tnv_common::database::DatabaseConfig;
use tnv_common::limits::Limits;

/// What an id server is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where metrics can be had over HTTP, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// By how much the database moves at a time: 10 to 1,000,000. A restart skips the rest of a block.
    pub step: u32,
    /// Keys whose blocks are kept in memory at most.
    pub max_keys: usize,
    /// Where the numbers are kept.
    pub database: DatabaseConfig,
    /// What connections are held to.
    pub limits: Limits,
}

impl Config {
    /// Reads the keys, each with its default.
    pub fn read(settings: &mut Settings) -> Config {
        Config {
            listen: settings.parse("listen", SocketAddr::from(([127, 0, 0, 1], 22000))),
            admin_listen: settings.optional("admin_listen"),
            step: settings.number("step", 1000, 10..=1_000_000),
            max_keys: settings.number("max_keys", 10_000, 1..=10_000_000),
            database: DatabaseConfig::read(settings),
            limits: Limits::read(settings),
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
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/id.toml")
    }

    #[test]
    fn the_sample_file_says_every_default() {
        let sources = Sources { file: Some(sample()), required: true, ..Sources::default() };
        let (mut written, mut built_in) = (Settings::load("id", sources), Settings::built_in("id"));
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
