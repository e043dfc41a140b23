//! The gateway: stored files over HTTP, with everything that players and browsers need to seek in them, uploads,
//! and a page for people.
//!
//! [`Server::bind`] opens the socket, [`Server::run`] serves it. A request is routed, and its method held against
//! the route. For a file its attributes are asked for, conditions and ranges are decided on, the first download is
//! opened, and only then does the answer begin; its bytes are pulled from the storage as the client takes them. An
//! upload is pushed to a storage as it comes. Storages are reached only through `tnv-client`, which tries each
//! replica and goes on at another one in mid-file.

mod config;
mod copies;
mod server;
mod service;

mod route;

mod description;
mod file;
mod files;
mod list;
mod metalink;
mod page;
mod pages;
mod session;
mod tus;
mod unfinished;
mod upload;
mod view;

pub use config::Config;
pub use server::{HttpError, Server};
