//! One server: its connections, and whether it is any good at the moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleResult};
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, ServerError};
use tokio::time::{Instant, timeout};

use super::fault::{Fault, plain};
use super::{Kind, Work};
use crate::database::{MySqlConfig, MySqlServer, Tls};

/// How long a server is left alone after its first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What every connection begins with: the same rules for all, whatever the server's own settings are.
const SETTINGS: [&str; 2] = [
    // Nothing is cut short or made up.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    // Statements look at what is committed, and lock rows, not the gaps between them.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// The error of a transaction that others got in the way of.
const CONFLICT: u16 = 1213;

/// A server and what is known of it.
#[derive(Debug)]
pub(super) struct Server {
    address: String,
    pool: Pool<Connector>,
    timeout: Duration,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// In a row.
    failures: u32,
    /// Not to be asked before then; `None` while it is good.
    retry_at: Option<Instant>,
    reason: String,
    /// Whether it will go on failing until somebody changes something.
    is_lasting: bool,
    /// Whether it does everything but write.
    is_read_only: bool,
}

impl Server {
    /// Nothing is connected yet.
    pub(super) fn new(server: &MySqlServer, config: &MySqlConfig, database: Option<&str>) -> Server {
        let named = server.opts().db_name().map(str::to_owned);
        let connector = Connector {
            // Chosen by a statement, so that a missing database is told from a server that is away.
            opts: OptsBuilder::from_opts(server.opts().clone()).db_name(None::<String>).into(),
            database: database.map(|database| named.unwrap_or_else(|| database.to_owned())),
            tls: config.tls,
            connect_timeout: config.connect_timeout,
            lock_wait: config.timeout.as_secs().max(1),
        };
        let pool = Pool::builder(connector).max_size(config.connections).build();
        Server {
            address: server.address(),
            // Only a timeout of the pool's own would need its runtime.
            pool: pool.unwrap_or_else(|_| unreachable!("no timeout is set")),
            timeout: config.timeout,
            health: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is known against it.
    pub(super) fn is_good(&self) -> bool {
        self.health().retry_at.is_none()
    }

    /// Whether it can be read from, for want of one that can do all.
    pub(super) fn is_read_only(&self) -> bool {
        self.health().is_read_only
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.health().retry_at
    }

    /// Whether it may be tried again, by the one who asks; for others its time begins anew.
    pub(super) fn may_probe(&self, now: Instant) -> bool {
        let mut health = self.health();
        let due = health.retry_at.is_some_and(|at| at <= now);
        if due {
            health.retry_at = Some(now + self.timeout);
        }
        due
    }

    /// What was the matter last.
    pub(super) fn complaint(&self) -> String {
        format!("{}: {}", self.address, self.health().reason)
    }

    /// What was the matter last, if it will not pass by itself.
    pub(super) fn refusal(&self) -> Option<String> {
        let health = self.health();
        health.is_lasting.then(|| health.reason.clone())
    }

    fn succeeded(&self, kind: Kind) {
        let mut health = self.health();
        // That it can be read says nothing about writes.
        if health.retry_at.is_some() && !(health.is_read_only && kind == Kind::Read) {
            tracing::info!(server = self.address, "the database answers again");
            *health = Health::default();
        }
    }

    fn failed(&self, reason: &str, is_lasting: bool, is_read_only: bool) {
        if !is_read_only {
            // Its other connections are no better.
            self.pool.retain(|_, _| false);
        }
        let mut health = self.health();
        if health.failures == 0 {
            tracing::warn!(server = self.address, reason, "the database is left");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << health.failures.min(10)).min(LONGEST_PAUSE);
        health.failures = health.failures.saturating_add(1);
        health.retry_at = Some(Instant::now() + pause);
        health.reason = reason.to_owned();
        health.is_lasting = is_lasting;
        health.is_read_only = is_read_only;
    }

    /// Runs work on a connection. `in_doubt` becomes true when a commit was sent and not answered, or the transaction got
    /// lost; work that runs when it is true is told so.
    pub(super) async fn attempt<W: Work>(
        &self,
        work: &W,
        kind: Kind,
        in_doubt: &mut bool,
    ) -> Result<W::Output, Fault> {
        loop {
            let mut lease = match self.lease().await {
                Ok(lease) => lease,
                Err(fault) => return Err(self.left(fault)),
            };
            let mut step = Step::Work;
            let running = run(lease.connection(), work, kind, *in_doubt, &mut step);
            let outcome = timeout(self.timeout, running).await;
            let fault = match outcome {
                Ok(Ok(output)) => {
                    lease.give_back();
                    self.succeeded(kind);
                    return Ok(output);
                }
                Ok(Err(error)) => Fault::of(&error),
                Err(_) => Fault::gone(format!("no answer within {} s", self.timeout.as_secs_f64())),
            };
            match fault {
                Fault::Gone { .. } => {
                    *in_doubt |= step == Step::Commit;
                    // It may have died at any time since it was used last: that says nothing about the server.
                    if outcome_is_stale(&lease, &fault) {
                        self.pool.retain(|_, _| false);
                        continue;
                    }
                    return Err(self.left(fault));
                }
                fault => {
                    *in_doubt |= step == Step::Lost;
                    if step == Step::RolledBack || kind != Kind::Write {
                        lease.give_back();
                    }
                    self.succeeded(kind);
                    return Err(fault);
                }
            }
        }
    }

    fn left(&self, fault: Fault) -> Fault {
        if let Fault::Gone { reason, is_lasting, is_read_only } = &fault {
            self.failed(reason, *is_lasting, *is_read_only);
        }
        fault
    }

    async fn lease(&self) -> Result<Lease, Fault> {
        match timeout(self.timeout, self.pool.get()).await {
            Ok(Ok(object)) => {
                let is_new = Object::metrics(&object).recycle_count == 0;
                Ok(Lease { object: Some(object), is_new })
            }
            Ok(Err(PoolError::Backend(fault))) => Err(fault),
            Ok(Err(_)) => Err(Fault::gone("its connections are being closed")),
            Err(_) => Err(Fault::gone(format!("all {} connections are busy", self.pool.status().max_size))),
        }
    }
}

/// Whether the connection may have been dead before it was asked.
fn outcome_is_stale(lease: &Lease, fault: &Fault) -> bool {
    !lease.is_new && matches!(fault, Fault::Gone { reason, .. } if reason.starts_with("the connection broke"))
}

/// How far a piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Work,
    Commit,
    RolledBack,
    /// The transaction ended by itself in the middle of the work.
    Lost,
}

async fn run<W: Work>(
    connection: &mut Conn,
    work: &W,
    kind: Kind,
    again: bool,
    step: &mut Step,
) -> Result<W::Output, Error> {
    if kind != Kind::Write {
        return work.run(connection, again).await;
    }
    connection.query_drop("START TRANSACTION").await?;
    match work.run(connection, again).await {
        // A node of a Galera cluster may give a transaction up for another node's while a statement is being prepared, and
        // not say so: what followed was committed by itself, so the work is repeated like one that was committed unheard.
        Ok(_) if !is_in_transaction(connection) => {
            *step = Step::Lost;
            let message = "the transaction was given up in its middle".to_owned();
            Err(Error::Server(ServerError { code: CONFLICT, message, state: "40001".to_owned() }))
        }
        Ok(output) => {
            *step = Step::Commit;
            connection.query_drop("COMMIT").await?;
            Ok(output)
        }
        Err(error) => {
            if !error.is_fatal() {
                connection.query_drop("ROLLBACK").await?;
                *step = Step::RolledBack;
            }
            Err(error)
        }
    }
}

/// Whether the last statement was one of a transaction.
fn is_in_transaction(connection: &Conn) -> bool {
    let last = connection.last_ok_packet();
    last.is_none_or(|ok| ok.status_flags().contains(StatusFlags::SERVER_STATUS_IN_TRANS))
}

/// A connection that is closed, not given back, unless its work came to an end: whoever waits for an answer may give
/// up at any moment, and must not leave the answer to the next one.
struct Lease {
    object: Option<Object<Connector>>,
    is_new: bool,
}

impl Lease {
    fn connection(&mut self) -> &mut Conn {
        match &mut self.object {
            Some(object) => object,
            None => unreachable!("it is there until it is given back"),
        }
    }

    fn give_back(mut self) {
        drop(self.object.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// Makes connections.
#[derive(Debug)]
struct Connector {
    opts: Opts,
    database: Option<String>,
    tls: Tls,
    connect_timeout: Duration,
    /// How long a statement waits for a lock, in seconds.
    lock_wait: u64,
}

impl Connector {
    async fn connect(&self) -> Result<Conn, Fault> {
        let mut connection = match Conn::new(self.opts.clone()).await {
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) if self.tls == Tls::On => {
                Conn::new(OptsBuilder::from_opts(self.opts.clone()).ssl_opts(None)).await
            }
            made => made,
        }
        .map_err(|error| Fault::of_connect(&error))?;
        self.prepare(&mut connection).await.map_err(|error| Fault::of_connect(&error))?;
        Ok(connection)
    }

    async fn prepare(&self, connection: &mut Conn) -> Result<(), Error> {
        for setting in SETTINGS {
            connection.query_drop(setting).await?;
        }
        // A read at one node sees what was committed at another; only Galera knows this.
        for setting in [
            "SET SESSION wsrep_sync_wait = 1".to_owned(),
            format!("SET SESSION innodb_lock_wait_timeout = {}", self.lock_wait),
        ] {
            match connection.query_drop(setting).await {
                Err(error @ Error::Server(_)) => tracing::debug!(error = plain(&error), "not known there"),
                outcome => outcome?,
            }
        }
        if let Some(database) = &self.database {
            connection.query_drop(format!("USE {}", quoted(database))).await?;
        }
        Ok(())
    }
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl managed::Manager for Connector {
    type Type = Conn;
    type Error = Fault;

    async fn create(&self) -> Result<Conn, Fault> {
        timeout(self.connect_timeout, self.connect()).await.unwrap_or_else(|_| {
            Err(Fault::gone(format!("no connection within {} s", self.connect_timeout.as_secs_f64())))
        })
    }

    async fn recycle(&self, _: &mut Conn, _: &Metrics) -> RecycleResult<Fault> {
        // No ping: it would cost each statement a round trip. A connection that has died shows it, and is replaced.
        Ok(())
    }
}
