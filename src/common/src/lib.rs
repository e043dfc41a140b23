//! What every tnv server shares: configuration, telemetry, the accept loop and its connections, database and cache.

pub mod admin;
pub mod args;
pub mod background;
pub mod batch;
pub mod cache;
pub mod clients;
pub mod clock;
pub mod config;
pub mod connection;
pub mod database;
pub mod disk;
pub mod host;
pub mod limits;
pub mod metrics;
pub mod mysql;
pub mod reactors;
pub mod scratch;
pub mod server;
pub mod socket;
pub mod sqlite;
pub mod telemetry;
