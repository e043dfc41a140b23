//! The tracker: which storages are alive, and which group is whose.

mod config;
mod registry;
mod routes;
mod server;
mod service;

pub use config::Config;
pub use registry::{Identity, Now, Registry, Status};
pub use routes::{MySqlRoutes, Routes, SCHEMA, SqliteRoutes, contract as routes_contract};
pub use server::{StartError, Tracker};
