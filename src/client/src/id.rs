//! Id servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tnv_proto::{IdGet, IdLease, IdRange, Request, Server};

use crate::connection::SMALL_REPLY;
use crate::error::Attempts;
use crate::pool::Pools;
use crate::{ClientError, Options};

/// The id servers of a cluster. Any of them will do: what keeps ids from repeating is theirs in common. Clones share
/// their connections.
#[derive(Debug, Clone)]
pub struct IdClient {
    servers: Arc<[IdServer]>,
    pools: Pools,
}

#[derive(Debug)]
struct IdServer {
    address: String,
    /// It answered GET after it had refused LEASE, so it is spared the question until it is restarted.
    knows_get_only: AtomicBool,
}

impl IdClient {
    /// The id servers at `addresses` (`host:port` each). Nothing is connected yet.
    pub fn new(addresses: Vec<String>, options: Options) -> Self {
        let server = |address| IdServer { address, knows_get_only: AtomicBool::new(false) };
        IdClient { servers: addresses.into_iter().map(server).collect(), pools: Pools::new(options) }
    }

    /// One number for `key` (1 to 64 bytes).
    ///
    /// # Errors
    /// If no id server gives one.
    pub async fn get(&self, key: &str) -> Result<i64, ClientError> {
        check_key(key)?;
        let mut attempts = Attempts::default();
        for server in self.servers_in_turn() {
            match self.get_from(server, key).await {
                Ok(number) => return Ok(number),
                Err(error) => attempts.push(error),
            }
        }
        Err(attempts.into_error())
    }

    /// Up to `count` consecutive numbers for `key` (1 to 64 bytes), at least 1. A server too old to know leases
    /// gives one number.
    ///
    /// # Errors
    /// If no id server gives one, or `count` is 0.
    pub async fn lease(&self, key: &str, count: u32) -> Result<IdRange, ClientError> {
        check_key(key)?;
        if count == 0 {
            return Err(ClientError::invalid_argument("a lease of ids", "the count is 0"));
        }
        let mut attempts = Attempts::default();
        for server in self.servers_in_turn() {
            match self.lease_or_get(server, key, count).await {
                Ok(range) => return Ok(range),
                Err(error) => attempts.push(error),
            }
        }
        Err(attempts.into_error())
    }

    fn servers_in_turn(&self) -> impl Iterator<Item = &IdServer> {
        let start = rand::random_range(0..self.servers.len().max(1));
        self.servers.iter().cycle().skip(start).take(self.servers.len())
    }

    async fn lease_or_get(&self, server: &IdServer, key: &str, count: u32) -> Result<IdRange, ClientError> {
        if !server.knows_get_only.load(Ordering::Relaxed) {
            match self.lease_from(server, key, count).await {
                Err(error) if error.is_unknown_command() => {}
                result => return result,
            }
        }
        let result = self.get_from(server, key).await;
        match &result {
            Ok(_) => server.knows_get_only.store(true, Ordering::Relaxed),
            // It may come back as a newer version.
            Err(ClientError::Unreachable { .. }) => server.knows_get_only.store(false, Ordering::Relaxed),
            Err(_) => {}
        }
        result.map(|first| IdRange { first, count: 1 })
    }

    async fn lease_from(&self, server: &IdServer, key: &str, count: u32) -> Result<IdRange, ClientError> {
        let request = IdLease { count, key: key.to_owned() };
        let body = self.pools.call(Server::Id, &server.address, &request.to_frame(), SMALL_REPLY).await?;
        let range = IdRange::decode(&body).map_err(|error| server.invalid(error))?;
        if range.count > count {
            return Err(server.invalid(format!("{} numbers, {count} were asked for", range.count)));
        }
        Ok(range)
    }

    async fn get_from(&self, server: &IdServer, key: &str) -> Result<i64, ClientError> {
        let request = IdGet { key: key.to_owned() };
        let body = self.pools.call(Server::Id, &server.address, &request.to_frame(), SMALL_REPLY).await?;
        match body.as_ref().try_into().map(i64::from_be_bytes) {
            Ok(number @ 0..) => Ok(number),
            Ok(number) => Err(server.invalid(format!("the number {number} is negative"))),
            Err(_) => Err(server.invalid(format!("a number of {} bytes", body.len()))),
        }
    }
}

impl IdServer {
    fn invalid(&self, what: impl std::fmt::Display) -> ClientError {
        ClientError::protocol(Server::Id, &self.address, what)
    }
}

fn check_key(key: &str) -> Result<(), ClientError> {
    if key.is_empty() || key.len() > IdGet::MAX_KEY || key.contains('\0') {
        let why = format!("\"{}\" is not 1 to {} bytes without NUL", key.escape_debug(), IdGet::MAX_KEY);
        return Err(ClientError::invalid_argument("the key of an id", why));
    }
    Ok(())
}
