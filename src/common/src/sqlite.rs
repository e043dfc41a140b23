//! The embedded database: one SQLite file in WAL mode that several processes of one machine may share.
//!
//! All writes of a process go through one connection, and most of them through one thread. Those that arrive there while
//! a commit is running are put into the next transaction together, and are answered when that transaction is durable:
//! many small writes share one sync, and a single one waits for nobody. Who may block, and brings a group or finds the
//! connection free, writes on the spot, without the two wake-ups of a trip to the thread and back. Where a write fails,
//! its transaction is undone and run again with each write in a savepoint of its own.
//!
//! Reads have connections of their own, and go on beside a write.

mod ballast;
mod readers;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode as SqliteCode, OpenFlags, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use self::ballast::Ballast;
use self::readers::Readers;
use self::writer::{Write, WriteJobs, Writer, write_loop};
use crate::database::{DbError, Schema};

/// Writes that may wait for the writer; more wait at their sender.
const WRITE_QUEUE: usize = 1024;
/// Pages that the connection for writing keeps, in KiB.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// So many pages of 4 KiB in the log make a checkpoint.
const CHECKPOINT_PAGES: i64 = 4096;
/// How long SQLite waits for another process's lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// When a commit is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPolicy {
    /// When it would survive a power cut.
    Durable,
    /// When it would survive a crash of the process. A power cut may take the last commits with it, in their order; the
    /// file stays whole.
    Relaxed,
}

/// A handle on the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sqlite {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Arc<Mutex<Writer>>,
    /// To the thread that writes for those who must not block.
    queue: mpsc::Sender<Box<dyn Write>>,
    /// Those who wait for it.
    queued: AtomicUsize,
    max_batch: usize,
    readers: Arc<Readers>,
}

impl Sqlite {
    /// Opens the file, makes it if it is not there, and applies the migrations it lacks. Blocks; meant for start-up.
    ///
    /// # Errors
    /// [`DbError::Open`].
    pub fn open(path: &Path, schema: &Schema) -> Result<Sqlite, DbError> {
        Sqlite::open_with(path, schema, 256, CommitPolicy::Durable)
    }

    /// The same, with at most `max_batch` writes in a transaction.
    pub(crate) fn open_with(
        path: &Path,
        schema: &Schema,
        max_batch: usize,
        policy: CommitPolicy,
    ) -> Result<Sqlite, DbError> {
        let failed = |reason: String| open_error(path, reason);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| failed(format!("cannot make the folder {}: {error}", folder.display())))?;
        }
        let mut ballast = Ballast::of(path);
        ballast.release_if_full();
        let mut connection = connect(path).map_err(|error| failed(error.to_string()))?;
        migrate(&mut connection, schema).map_err(failed)?;
        make_writer(&connection, policy).map_err(|error| failed(error.to_string()))?;
        ballast.restore();
        let readers = Readers::open(path.to_owned()).map_err(|error| failed(error.to_string()))?;
        let writer = Arc::new(Mutex::new(Writer { connection, path: path.to_owned(), ballast }));
        let (queue, jobs) = mpsc::channel(WRITE_QUEUE);
        let shared_writer = writer.clone();
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || write_loop(&shared_writer, jobs, max_batch))
            .map_err(|error| failed(format!("cannot start the writer thread: {error}")))?;
        Ok(Sqlite {
            shared: Arc::new(Shared {
                writer,
                queue,
                queued: AtomicUsize::new(0),
                max_batch,
                readers: Arc::new(readers),
            }),
        })
    }

    /// Looks at the file without changing it: what was found.
    ///
    /// # Errors
    /// [`DbError::Open`]: what opening it would stumble over.
    pub(crate) fn check(path: &Path, schema: &Schema) -> Result<String, DbError> {
        let shown = path.display();
        if !path.exists() {
            return Ok(format!("database {shown}: not there yet, will be made"));
        }
        let version = || -> rusqlite::Result<i64> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let is_ours = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 't_schema')";
            if !connection.query_row(is_ours, [], |row| row.get(0))? {
                return Ok(0);
            }
            let version = "SELECT COALESCE((SELECT version FROM t_schema WHERE component = ?), 0)";
            connection.query_row(version, [schema.component], |row| row.get(0))
        };
        let version = version().map_err(|error| open_error(path, error.to_string()))?;
        let of = schema.sqlite.len();
        if version > of as i64 {
            return Err(open_error(path, too_new(schema, version)));
        }
        Ok(format!("database {shown}: SQLite, {} tables at version {version} of {of}", schema.component))
    }

    /// Runs `job` in a transaction and returns when that is durable, or as safe as the policy asks. A job that fails
    /// leaves nothing behind and does not disturb the others of its transaction; they may make that be undone, and the
    /// job be run again.
    ///
    /// # Errors
    /// [`DbError`]; after [`DbError::Statement`] nothing was written.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let (answer, answered) = oneshot::channel();
        let write = Box::new(WriteJobs { jobs: vec![(job, None)], answer });
        let _queued = self.shared.enter_queue();
        self.shared.queue.send(write).await.map_err(|_| DbError::Closed)?;
        answered.await.ok().and_then(|mut settled| settled.pop()).ok_or(DbError::Closed)?
    }

    /// The same for several jobs, which share a transaction as far as its size allows: an outcome for each, in their
    /// order. Blocks, and writes on this thread if it can.
    pub fn write_all<T: Send + 'static>(
        &self,
        jobs: Vec<impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static>,
    ) -> Vec<Result<T, DbError>> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter().map(|job| (job, None)).peekable();
        while jobs.peek().is_some() {
            let (answer, answered) = oneshot::channel();
            let jobs: Vec<_> = jobs.by_ref().take(self.shared.max_batch).collect();
            let count = jobs.len();
            let settled = self.shared.write_now(Box::new(WriteJobs { jobs, answer }), answered);
            let closed = std::iter::repeat_with(|| Err(DbError::Closed));
            outcomes.extend(settled.into_iter().chain(closed).take(count));
        }
        outcomes
    }

    /// Runs `job` on a connection for reading, off the reactor.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        self.shared.readers.read(job).await
    }
}

impl Shared {
    /// Carries out writes and returns what `answered` says of them. A group waits for the connection; a single write
    /// that cannot have it at once goes into the next transaction with those that wait already.
    fn write_now<T>(
        &self,
        write: Box<dyn Write>,
        mut answered: oneshot::Receiver<Vec<Result<T, DbError>>>,
    ) -> Vec<Result<T, DbError>> {
        let writer = if write.len() > 1 { Some(self.lock_writer()) } else { self.try_lock_writer() };
        if let Some(mut writer) = writer {
            writer.carry_out(&mut vec![write]);
            return answered.try_recv().unwrap_or_default();
        }
        let _queued = self.enter_queue();
        match self.queue.blocking_send(write) {
            Ok(()) => answered.blocking_recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if it is free and nobody waits for it.
    fn try_lock_writer(&self) -> Option<MutexGuard<'_, Writer>> {
        if self.queued.load(Ordering::Relaxed) > 0 {
            return None;
        }
        match self.writer.try_lock() {
            Ok(writer) => Some(writer),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn enter_queue(&self) -> Queued<'_> {
        self.queued.fetch_add(1, Ordering::Relaxed);
        Queued(&self.queued)
    }
}

/// Somebody who waits for the thread that writes, and no longer when this is dropped.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open_error(path: &Path, reason: String) -> DbError {
    DbError::Open { server: path.display().to_string(), reason }
}

fn statement_error(path: &Path, error: &rusqlite::Error) -> DbError {
    DbError::Statement {
        server: path.display().to_string(),
        reason: error.to_string(),
        is_full: error.sqlite_error_code() == Some(SqliteCode::DiskFull),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    set_wal(&connection)?;
    // A commit must survive a power cut: WAL with NORMAL would only promise it against crashes of the process.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // Else SQLite plans a cached statement anew at each use, where the values of parameters could make it choose another plan:
    // that takes several times as long as to carry it out.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// What only the connection for writing needs.
fn make_writer(connection: &Connection, policy: CommitPolicy) -> rusqlite::Result<()> {
    if policy == CommitPolicy::Relaxed {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
    }
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // Pages that change again and again are written back once per checkpoint.
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
}

/// Switching to WAL needs the file for itself and does not honour the busy timeout, so servers that start together
/// may collide here.
fn set_wal(connection: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(_) => return Ok(()),
            Err(error) if tries < 200 && error.sqlite_error_code() == Some(SqliteCode::DatabaseBusy) => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
        }
    }
}

fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), String> {
    let component = schema.component;
    let apply = |connection: &mut Connection| -> rusqlite::Result<Option<i64>> {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS t_schema (component TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
        )?;
        let have: i64 = tx.query_row(
            "SELECT COALESCE((SELECT version FROM t_schema WHERE component = ?), 0)",
            [component],
            |row| row.get(0),
        )?;
        let known = usize::try_from(have).ok().and_then(|have| schema.sqlite.get(have..));
        let Some(missing) = known else { return Ok(Some(have)) };
        if missing.is_empty() {
            return Ok(None);
        }
        for step in missing {
            tx.execute_batch(step)?;
        }
        tx.execute(
            "INSERT INTO t_schema (component, version) VALUES (?, ?)
             ON CONFLICT (component) DO UPDATE SET version = excluded.version",
            (component, schema.sqlite.len() as i64),
        )?;
        tx.commit()?;
        Ok(None)
    };
    match apply(connection) {
        Ok(None) => Ok(()),
        Ok(Some(have)) => Err(too_new(schema, have)),
        Err(error) => Err(format!("cannot bring the {component} tables up to date: {error}")),
    }
}

fn too_new(schema: &Schema, have: i64) -> String {
    format!(
        "the {} tables have version {have}, this program knows {}; run the version that made them",
        schema.component,
        schema.sqlite.len()
    )
}

#[cfg(test)]
mod tests;
