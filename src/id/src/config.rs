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
            step: settings.number("step", 1000, 10..=1_000_000),
            max_keys: settings.number("max_keys", 10_000, 1..=10_000_000),
            database: DatabaseConfig::read(settings),
            limits: Limits::read(settings),
        }
    }
}
