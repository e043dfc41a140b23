//! Pools of connections, one for each server.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use tnv_proto::Server;
use tokio::task::AbortHandle;

use crate::connection::{Connection, Peer};
use crate::{ClientError, Options};

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
    pools: HashMap<(Server, Arc<str>), Pool>,
    sweeper: Option<AbortHandle>,
}

type Pool = managed::Pool<Connector>;

/// A connection on loan: back to its pool if it is at rest when dropped, else closed.
pub(crate) struct Pooled {
    // Always there until the drop, which must move it out.
    object: Option<Object<Connector>>,
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
        let (mut connection, len) = self.request(kind, address, frame).await?;
        connection.body(len, limit).await
    }

    /// Sends a frame and reads the reply's header: the length of the body that follows on the connection. If a
    /// pooled connection turns out to be dead, the request is sent once more on a new one.
    pub(crate) async fn request(
        &self,
        kind: Server,
        address: &str,
        frame: &[u8],
    ) -> Result<(Pooled, u64), ClientError> {
        self.request_within(kind, address, frame, self.options().reply_timeout).await
    }

    /// The same, with this much time until the first byte of the reply.
    pub(crate) async fn request_within(
        &self,
        kind: Server,
        address: &str,
        frame: &[u8],
        patience: Duration,
    ) -> Result<(Pooled, u64), ClientError> {
        let mut connection = self.get(kind, address).await?;
        let reused = connection.is_reused();
        match connection.request(frame, patience).await {
            Ok(len) => Ok((connection, len)),
            Err(error) if reused && error.is_broken_connection() => {
                drop(connection);
                let mut connection = self.get_new(kind, address).await?;
                let len = connection.request(frame, patience).await?;
                Ok((connection, len))
            }
            Err(error) => Err(error),
        }
    }

    /// A connection from the pool, or a new one.
    pub(crate) async fn get(&self, kind: Server, address: &str) -> Result<Pooled, ClientError> {
        let pool = self.pool(kind, address)?;
        match pool.get().await {
            Ok(object) => Ok(Pooled { object: Some(object) }),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(_)) => {
                let why = format!("all {} connections to it are in use", self.options().max_per_server);
                Err(ClientError::unreachable(kind, address, io::Error::new(io::ErrorKind::TimedOut, why)))
            }
            Err(error) => Err(ClientError::unreachable(kind, address, io::Error::other(error.to_string()))),
        }
    }

    /// A new connection; idle ones are closed, for they are probably as dead as the one before.
    pub(crate) async fn get_new(&self, kind: Server, address: &str) -> Result<Pooled, ClientError> {
        self.pool(kind, address)?.retain(|_, _| false);
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

    fn pool(&self, kind: Server, address: &str) -> Result<Pool, ClientError> {
        let mut state = self.shared.state();
        let interval = self.options().idle.min(self.options().life) / 2;
        // Started here and not in `new`, which may be called outside of a runtime.
        if state.sweeper.as_ref().is_none_or(AbortHandle::is_finished) {
            let sweep = sweep(Arc::downgrade(&self.shared), interval.max(Duration::from_millis(10)));
            state.sweeper = Some(tokio::spawn(sweep).abort_handle());
        }
        let address: Arc<str> = address.into();
        let key = (kind, Arc::clone(&address));
        if let Some(pool) = state.pools.get(&key) {
            return Ok(pool.clone());
        }
        if state.pools.len() >= MAX_POOLS {
            state.drop_unused(|_| false);
        }
        if state.pools.len() >= MAX_POOLS {
            let why = format!("connections to {MAX_POOLS} other servers are in use");
            return Err(ClientError::unreachable(kind, &address, io::Error::other(why)));
        }
        let pool = self.new_pool(Peer { kind, address, options: Arc::clone(self.options()) })?;
        state.pools.insert(key, pool.clone());
        Ok(pool)
    }

    fn new_pool(&self, peer: Peer) -> Result<Pool, ClientError> {
        Pool::builder(Connector { peer: peer.clone() })
            .max_size(self.options().max_per_server.max(1))
            .queue_mode(managed::QueueMode::Lifo)
            .wait_timeout(Some(self.options().reply_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| peer.unreachable(io::Error::other(error)))
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("options", self.options()).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock leaves the map half changed.
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
    /// Closes the idle connections that `keep` does not want, and drops pools without connections.
    fn drop_unused(&mut self, keep: impl Fn(&Connection) -> bool) {
        self.pools.retain(|_, pool| {
            pool.retain(|connection, _| keep(connection));
            let status = pool.status();
            status.size > 0 || status.waiting > 0
        });
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

/// Opens the connections of one pool and checks them before they are used again.
pub(crate) struct Connector {
    peer: Peer,
}

impl managed::Manager for Connector {
    type Type = Connection;
    type Error = ClientError;

    async fn create(&self) -> Result<Connection, ClientError> {
        Connection::open(self.peer.clone()).await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<ClientError> {
        if connection.is_worth_keeping() && connection.is_quiet() {
            Ok(())
        } else {
            Err(RecycleError::message("closed, too old or not at rest"))
        }
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pooled({})", self.peer().address)
    }
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.object.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        self.object.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let room = |pool: Pool| pool.status().available < object.peer().options.max_idle_per_server;
        let keep = object.is_worth_keeping() && Object::pool(&object).is_some_and(room);
        if !keep {
            drop(Object::take(object));
        }
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
            assert!(pools.shared.state().pools.len() <= MAX_POOLS);
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
