//! Pools of connections, one for each server.

mod idle;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tnv_proto::Server;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::connection::{Connection, Peer, SMALL_READ};
use crate::{ClientError, Options};
use idle::Idle;

/// Servers with a pool at once. Addresses come from trackers, so their number must have an end.
const MAX_POOLS: usize = 256;

/// The pools of a client; clones share them.
#[derive(Clone)]
pub(crate) struct Pools {
    shared: Arc<Shared>,
}

struct Shared {
    options: Arc<Options>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trackers: ByAddress,
    ids: ByAddress,
    storages: ByAddress,
    sweeper: Option<AbortHandle>,
}

type ByAddress = HashMap<Arc<str>, Arc<Pool>>;

/// The connections to one server.
struct Pool {
    peer: Peer,
    /// Those at rest.
    idle: Mutex<Idle>,
    /// One for each connection on loan, and there are never more connections than permits: where one is opened, others
    /// may have to go that rest on other runtimes.
    permits: Arc<Semaphore>,
}

/// A connection on loan: back to its pool if it is at rest when dropped, else closed.
pub(crate) struct Pooled {
    // Always there until the drop, which must move it out.
    connection: Option<Connection>,
    pool: Arc<Pool>,
    /// Given back behind the connection, so that who waits for it finds that one.
    _permit: OwnedSemaphorePermit,
}

impl Pools {
    pub(crate) fn new(options: Options) -> Self {
        Pools { shared: Arc::new(Shared { options: Arc::new(options), state: Mutex::default() }) }
    }

    pub(crate) fn options(&self) -> &Arc<Options> {
        &self.shared.options
    }

    /// Sends a frame and reads the reply, whose body may have up to `limit` bytes. The request may be sent twice.
    pub(crate) async fn call(
        &self,
        kind: Server,
        address: &str,
        frame: &[u8],
        limit: u64,
    ) -> Result<Bytes, ClientError> {
        let (mut connection, len) = self.request(kind, address, frame, SMALL_READ).await?;
        connection.body(len, limit).await
    }

    /// Sends a frame and reads the reply's header: the length of the body that follows on the connection, whose first
    /// bytes are read along, up to `ahead` of them. If a pooled connection turns out to be dead, the request is sent
    /// once more on a new one.
    pub(crate) async fn request(
        &self,
        kind: Server,
        address: &str,
        frame: &[u8],
        ahead: usize,
    ) -> Result<(Pooled, u64), ClientError> {
        self.request_within(kind, address, frame, ahead, self.options().reply_timeout).await
    }

    /// The same, with this much time until the first byte of the reply.
    pub(crate) async fn request_within(
        &self,
        kind: Server,
        address: &str,
        frame: &[u8],
        ahead: usize,
        patience: Duration,
    ) -> Result<(Pooled, u64), ClientError> {
        let mut connection = self.get(kind, address).await?;
        let reused = connection.is_reused();
        match connection.request(frame, ahead, patience).await {
            Ok(len) => Ok((connection, len)),
            Err(error) if reused && error.is_broken_connection() => {
                drop(connection);
                let mut connection = self.get_new(kind, address).await?;
                let len = connection.request(frame, ahead, patience).await?;
                Ok((connection, len))
            }
            Err(error) => Err(error),
        }
    }

    /// A connection from the pool, or a new one.
    pub(crate) async fn get(&self, kind: Server, address: &str) -> Result<Pooled, ClientError> {
        self.pool(kind, address)?.get().await
    }

    /// A new connection; idle ones are closed, for they are probably as dead as the one before.
    pub(crate) async fn get_new(&self, kind: Server, address: &str) -> Result<Pooled, ClientError> {
        self.pool(kind, address)?.idle().retain(|_| false);
        self.get_younger(kind, address, Duration::ZERO).await
    }

    /// A connection that was used less than `idle` ago, or a new one.
    pub(crate) async fn get_younger(
        &self,
        kind: Server,
        address: &str,
        idle: Duration,
    ) -> Result<Pooled, ClientError> {
        loop {
            let mut connection = self.get(kind, address).await?;
            if !connection.is_reused() || connection.idle().is_some_and(|rested| rested < idle) {
                return Ok(connection);
            }
            // Not at rest: it is closed instead of going back.
            connection.begin();
        }
    }

    fn pool(&self, kind: Server, address: &str) -> Result<Arc<Pool>, ClientError> {
        let mut state = self.shared.state();
        if let Some(pool) = state.of(kind).get(address) {
            return Ok(Arc::clone(pool));
        }
        let interval = self.options().idle.min(self.options().life) / 2;
        // Started here and not in `new`, which may be called outside of a runtime.
        if state.sweeper.as_ref().is_none_or(AbortHandle::is_finished) {
            let sweep = sweep(Arc::downgrade(&self.shared), interval.max(Duration::from_millis(10)));
            state.sweeper = Some(tokio::spawn(sweep).abort_handle());
        }
        if state.len() >= MAX_POOLS {
            state.drop_unused(|_| false);
        }
        if state.len() >= MAX_POOLS {
            let why = format!("connections to {MAX_POOLS} other servers are in use");
            return Err(ClientError::unreachable(kind, address, io::Error::other(why)));
        }
        let address: Arc<str> = address.into();
        let peer = Peer { kind, address: Arc::clone(&address), options: Arc::clone(self.options()) };
        let pool = Arc::new(Pool::new(peer));
        state.of(kind).insert(address, Arc::clone(&pool));
        Ok(pool)
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("options", self.options()).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock leaves the maps half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(sweeper) = self.state().sweeper.take() {
            sweeper.abort();
        }
    }
}

impl State {
    /// A map for each kind, for an address alone can be looked up without making a key of it first.
    fn of(&mut self, kind: Server) -> &mut ByAddress {
        match kind {
            Server::Tracker => &mut self.trackers,
            Server::Id => &mut self.ids,
            Server::Storage => &mut self.storages,
        }
    }

    fn len(&self) -> usize {
        self.trackers.len() + self.ids.len() + self.storages.len()
    }

    /// Closes the idle connections that `keep` does not want, and drops pools without connections.
    fn drop_unused(&mut self, keep: impl Fn(&Connection) -> bool) {
        for pools in [&mut self.trackers, &mut self.ids, &mut self.storages] {
            pools.retain(|_, pool| {
                let mut idle = pool.idle();
                idle.retain(&keep);
                // Whoever has a connection of it, or waits for one, has the pool as well.
                !idle.is_empty() || Arc::strong_count(pool) > 1
            });
        }
    }
}

/// Closes what has been idle for too long, until the client is gone.
async fn sweep(shared: Weak<Shared>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.state().drop_unused(Connection::is_worth_keeping);
    }
}

impl Pool {
    fn new(peer: Peer) -> Pool {
        let limit = peer.options.max_per_server.clamp(1, Semaphore::MAX_PERMITS);
        Pool { peer, idle: Mutex::default(), permits: Arc::new(Semaphore::new(limit)) }
    }

    async fn get(self: Arc<Self>) -> Result<Pooled, ClientError> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.permit().await?,
        };
        let connection = match self.take_idle() {
            Some(connection) => connection,
            None => {
                self.idle().shrink(self.permits.available_permits());
                Connection::open(self.peer.clone()).await?
            }
        };
        Ok(Pooled { connection: Some(connection), pool: self, _permit: permit })
    }

    /// Waits for somebody to give a connection back.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, ClientError> {
        let options = &self.peer.options;
        match timeout(options.reply_timeout, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // It is never closed, so this is the time that has run out.
            _ => {
                let why = format!("all {} connections to it are in use", options.max_per_server);
                Err(self.peer.unreachable(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
        }
    }

    /// The connection at rest that was used last on this runtime; what is closed, too old or not quiet is closed on the
    /// way.
    fn take_idle(&self) -> Option<Connection> {
        let home = Handle::current().id();
        loop {
            let connection = self.idle().take(home)?;
            if connection.is_worth_keeping() && connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing under this lock panics.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pooled({})", self.pool.peer.address)
    }
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(Connection::is_worth_keeping) else { return };
        let mut idle = self.pool.idle();
        idle.put(connection);
        idle.shrink(self.pool.peer.options.max_idle_per_server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_number_of_pools_is_limited() {
        let pools = Pools::new(Options::default());
        for port in 1..=2 * MAX_POOLS {
            pools.pool(Server::Storage, &format!("127.0.0.1:{port}")).unwrap();
            assert!(pools.shared.state().len() <= MAX_POOLS);
        }
    }

    #[tokio::test]
    async fn the_sweeper_ends_with_the_pools() {
        let pools = Pools::new(Options::default());
        pools.pool(Server::Storage, "127.0.0.1:1").unwrap();
        let sweeper = pools.shared.state().sweeper.clone().unwrap();
        assert!(!sweeper.is_finished());
        drop(pools);
        while !sweeper.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}
