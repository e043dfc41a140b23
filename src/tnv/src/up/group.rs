//! Several storages in one process, each with a copy of every file.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tnv_common::config::WrittenPath;

use super::{Running, is_taken, start, text};
use crate::role::Config;

/// Starts the first storage as it is configured, and others with folders of their own beside it, each at the next port that
/// is free.
pub(super) async fn start_storages(
    first: tnv_storage::Config,
    count: u16,
    data: &Path,
) -> anyhow::Result<Vec<Running>> {
    let mut storages = vec![start(Config::Storage(first.clone()), "--storage").await?];
    let mut listen = first.listen;
    for number in 2..=count {
        let folder = data.join(format!("store-{number}"));
        let store_path = WrittenPath { written: text(&folder)?.to_owned(), resolved: folder };
        let config = tnv_storage::Config { store_paths: vec![store_path], ..first.clone() };
        storages.push(start_at_next(config, &mut listen).await?);
    }
    Ok(storages)
}

/// Port 0 stays 0: any that is free.
async fn start_at_next(config: tnv_storage::Config, listen: &mut SocketAddr) -> anyhow::Result<Running> {
    loop {
        if listen.port() != 0 {
            listen.set_port(listen.port().checked_add(1).context("no port is free for a storage")?);
        }
        let config = tnv_storage::Config { listen: *listen, ..config.clone() };
        match Config::Storage(config).bind().await {
            Err(error) if listen.port() != 0 && is_taken(&error) => {}
            server => return Ok(Running::of(server?)),
        }
    }
}
