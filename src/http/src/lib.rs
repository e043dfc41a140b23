//! The gateway: stored files over HTTP/1.1, with everything that players and browsers need to seek in them.
//!
//! [`Server::bind`] opens the socket, [`Server::run`] serves it. A request is routed, the file's attributes
//! are asked for, conditions and ranges are decided on, the first download is opened, and only then does the
//! answer begin; its bytes are pulled from the storage as the client takes them. Storages are reached only
//! through `tnv-client`, which tries each replica and goes on at another one in mid-file.

mod config;
mod server;
mod service;

mod cors;
mod file;
mod pages;
mod route;

mod condition;
mod disposition;
mod media;
mod multipart;
mod range;

mod access;
mod body;
mod refusal;
mod stream;

pub use config::Config;
pub use server::{HttpError, Server};
