//! The file service node: it keeps the packages of meetings near those who download them.
//!
//! A round asks the hub which meetings run ([`sync`]). A package that is missing or old is pulled ([`pulls`]): its
//! manifest is checked, a plan says which members are here already ([`plan`]), the others are fetched straight to their
//! places in the new file ([`draft`]), and when every byte is proven the file takes the place of the old one. A client
//! who asks for a package that is not here joins its pull and gets each member as soon as that is proven.

mod server;
mod service;

mod config;
mod durable;
mod password;

mod folder;
mod journal;
mod package;
mod store;

mod draft;
mod intake;
mod plan;
mod pull;
mod pulls;
mod verified;

mod access;
mod download;
mod logs;
mod metrics;
mod page;
mod refusal;
mod route;
mod served;
mod status;

mod clean;
mod health;
mod hub;
mod membership;
mod node;
mod scrub;
mod supply;
mod sync;

pub use config::{Config, ConfigError, ConfigFile, Overrides};
pub use node::StartError;
pub use server::{FileNode, log_config};
pub use store::StoreError;
