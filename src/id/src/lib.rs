//! The id server: numbers that never repeat, taken from the database block by block.

mod allocator;
mod config;
mod server;
mod service;
mod steps;

pub use allocator::{Allocator, Block};
pub use config::Config;
pub use server::{IdServer, StartError};
pub use steps::{MySqlSteps, SCHEMA, SqliteSteps, Steps, contract as steps_contract};
