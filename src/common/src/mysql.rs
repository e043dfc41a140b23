//! MySQL and MariaDB, also as Galera or TiDB: several servers that hold the same rows.
//!
//! One server is used until it is dead, read-only or too slow; then the next one is. A server that was left is tried
//! again after a while, by one statement only, and longer each time it fails. Every piece of [`Work`] is safe to
//! repeat, so that it can go to another server when the answer to it got lost.

mod fault;
mod schema;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, sleep_until};

pub use mysql_async::{Conn, DriverError, Error, Row, ServerError, Value, prelude};

use self::fault::Fault;
use self::server::Server;
use crate::database::{DbError, MySqlConfig, Schema};

/// How often a transaction that others got in the way of is tried again.
const MAX_CONFLICTS: u32 = 10;

/// What a connection is asked to do. It may run more than once, so it must be safe to repeat.
#[async_trait]
pub trait Work: Send + Sync {
    /// What comes of it.
    type Output: Send;

    /// Does it. `again` says that an earlier run may have been committed without anybody having heard of it.
    async fn run(&self, connection: &mut Conn, again: bool) -> Result<Self::Output, Error>;
}

/// How a piece of work is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Without a transaction. Fails at once while no server answers.
    Read,
    /// In a transaction. Waits a little for a server, for there may be bytes that wait for their row.
    Write,
    /// Without a transaction, for statements that commit by themselves.
    Define,
}

/// A handle on the servers; cheap to clone.
#[derive(Debug, Clone)]
pub struct MySql {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    servers: Vec<Server>,
    /// The one in use.
    current: AtomicUsize,
    /// How long writes wait for a server.
    patience: Duration,
    max_batch: usize,
}

impl MySql {
    /// Opens the database of a component and, if `migrate` says so, brings its tables up to date. While no server
    /// answers it goes on trying for `patience`.
    ///
    /// # Errors
    /// [`DbError::Open`] if that cannot be, [`DbError::Away`] if no server answers.
    pub(crate) async fn open(
        config: &MySqlConfig,
        schema: &Schema,
        migrate: bool,
        patience: Duration,
    ) -> Result<MySql, DbError> {
        let deadline = Instant::now() + patience;
        let mut warned = false;
        loop {
            match schema::bring_up(&MySql::connect(config, None), config, schema, migrate).await {
                Ok(()) => return Ok(MySql::connect(config, Some(schema.mysql_database))),
                Err(error @ DbError::Away { .. }) if Instant::now() < deadline => {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(%error, "waiting for a database");
                    }
                    sleep(Duration::from_millis(250)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at every server: what was found, one line each.
    ///
    /// # Errors
    /// What a start would stumble over.
    pub(crate) async fn check(config: &MySqlConfig, schema: &Schema) -> Result<String, DbError> {
        let mut found = Vec::new();
        for server in &config.servers {
            let alone = MySqlConfig { servers: vec![server.clone()], ..config.clone() };
            found.push(schema::look(&MySql::connect(&alone, None), &alone, schema).await?);
        }
        Ok(found.join("\n"))
    }

    /// A handle on these servers that has not spoken to any. `database` is used where an address names none; without
    /// it none is chosen.
    fn connect(config: &MySqlConfig, database: Option<&str>) -> MySql {
        let servers = config.servers.iter().map(|server| Server::new(server, config, database)).collect();
        MySql {
            shared: Arc::new(Shared {
                servers,
                current: AtomicUsize::new(0),
                patience: config.timeout,
                max_batch: config.max_batch,
            }),
        }
    }

    /// Writes that should share one transaction, at most.
    pub fn max_batch(&self) -> usize {
        self.shared.max_batch
    }

    /// Runs work that only reads.
    ///
    /// # Errors
    /// [`DbError::Statement`] if a server refuses it, [`DbError::Away`] if none answers.
    pub async fn read<W: Work>(&self, work: &W) -> Result<W::Output, DbError> {
        self.run(work, Kind::Read).await
    }

    /// Runs work in a transaction, which is durable when this returns.
    ///
    /// # Errors
    /// As [`MySql::read`]; after [`DbError::Statement`] nothing was written.
    pub async fn write<W: Work>(&self, work: &W) -> Result<W::Output, DbError> {
        self.run(work, Kind::Write).await
    }

    async fn run<W: Work>(&self, work: &W, kind: Kind) -> Result<W::Output, DbError> {
        let deadline = Instant::now() + self.shared.patience;
        let (mut in_doubt, mut conflicts) = (false, 0);
        loop {
            let Some((index, server)) = self.shared.pick(kind) else {
                match self.shared.next_try() {
                    Some(at) if kind == Kind::Write && at < deadline => sleep_until(at).await,
                    _ => return Err(self.shared.away(in_doubt)),
                }
                continue;
            };
            match server.attempt(work, kind, &mut in_doubt).await {
                Ok(output) => {
                    self.shared.current.store(index, Ordering::Relaxed);
                    return Ok(output);
                }
                Err(Fault::Conflict(_)) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    // Those that got in each other's way must not meet again.
                    sleep(Duration::from_millis(rand::random_range(1..=10_u64 << conflicts.min(5)))).await;
                }
                Err(Fault::Conflict(reason)) => {
                    return Err(DbError::Statement {
                        server: server.address().to_owned(),
                        reason,
                        is_full: false,
                    });
                }
                Err(Fault::Refused { reason, is_full }) => {
                    return Err(DbError::Statement { server: server.address().to_owned(), reason, is_full });
                }
                // The server has been left; whoever is next may do it.
                Err(Fault::Gone { .. }) => {}
            }
        }
    }
}

impl Shared {
    /// The server to ask: the one in use, else one that nothing is known against, else one that may be tried again, else,
    /// if that will do, one that can only be read from: it may lag behind, so it comes last.
    fn pick(&self, kind: Kind) -> Option<(usize, &Server)> {
        let (count, first) = (self.servers.len(), self.current.load(Ordering::Relaxed));
        let order = || (0..count).map(move |n| (first + n) % count).map(|n| (n, &self.servers[n]));
        let now = Instant::now();
        let reads = kind == Kind::Read;
        let probe = |server: &Server| !(reads && server.is_read_only()) && server.may_probe(now);
        order()
            .find(|(_, server)| server.is_good())
            .or_else(|| order().find(|(_, server)| probe(server)))
            .or_else(|| order().find(|(_, server)| reads && server.is_read_only()))
    }

    /// When the next server may be tried again.
    fn next_try(&self) -> Option<Instant> {
        self.servers.iter().filter_map(Server::retry_at).min()
    }

    fn away(&self, in_doubt: bool) -> DbError {
        if let Some((server, reason)) =
            self.servers.iter().find_map(|server| Some((server, server.refusal()?)))
            && self.servers.iter().all(|server| server.refusal().is_some())
            && !in_doubt
        {
            return DbError::Open { server: server.address().to_owned(), reason };
        }
        let reasons: Vec<_> = self.servers.iter().map(Server::complaint).collect();
        DbError::Away { reasons: reasons.join("; "), in_doubt }
    }
}
