//! The one connection that writes, the thread that does so for those who must not block, and what it is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::ballast::Ballast;
use super::statement_error;
use crate::database::DbError;

/// Writes on their way that came together: run inside a transaction, more than once if it has to be undone, then told
/// how that ended.
pub(super) trait Write: Send {
    fn len(&self) -> usize;
    fn run(&mut self, n: usize, connection: &Connection) -> rusqlite::Result<()>;
    fn settle(self: Box<Self>, outcomes: &mut dyn Iterator<Item = Result<(), DbError>>);
}

pub(super) struct WriteJobs<T, F> {
    /// Each with what it came to, when it has run.
    pub(super) jobs: Vec<(F, Option<T>)>,
    pub(super) answer: oneshot::Sender<Vec<Result<T, DbError>>>,
}

impl<T: Send, F: FnMut(&Connection) -> rusqlite::Result<T> + Send> Write for WriteJobs<T, F> {
    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn run(&mut self, n: usize, connection: &Connection) -> rusqlite::Result<()> {
        if let Some((job, value)) = self.jobs.get_mut(n) {
            // One broken write must not take the writer with it.
            let outcome = catch_unwind(AssertUnwindSafe(|| job(connection)));
            let broken = |_| rusqlite::Error::ToSqlConversionFailure("the write broke off".into());
            *value = Some(outcome.map_err(broken)??);
        }
        Ok(())
    }

    fn settle(self: Box<Self>, outcomes: &mut dyn Iterator<Item = Result<(), DbError>>) {
        let WriteJobs { jobs, answer } = *self;
        let values = jobs.into_iter().zip(outcomes);
        let settled = values.map(|((_, value), outcome)| outcome.and_then(|()| value.ok_or(DbError::Closed)));
        // Whoever asked may have gone; the writes stand all the same.
        let _ = answer.send(settled.collect());
    }
}

/// Carries out what comes, until nobody can send any more.
pub(super) fn write_loop(writer: &Mutex<Writer>, mut jobs: mpsc::Receiver<Box<dyn Write>>, max_batch: usize) {
    let mut batch: Vec<Box<dyn Write>> = Vec::new();
    let mut next = None;
    while let Some(first) = next.take().or_else(|| jobs.blocking_recv()) {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writes = first.len();
        batch.push(first);
        while let Ok(job) = jobs.try_recv() {
            if writes + job.len() > max_batch {
                next = Some(job);
                break;
            }
            writes += job.len();
            batch.push(job);
        }
        writer.carry_out(&mut batch);
    }
}

/// The connection for writing. Whoever has it may write.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) ballast: Ballast,
}

impl Writer {
    /// Carries out the writes in one transaction, tells each what it came to, and leaves none behind.
    pub(super) fn carry_out(&mut self, batch: &mut Vec<Box<dyn Write>>) {
        self.ballast.release_if_full();
        let outcomes = run_batch(&mut self.connection, batch);
        if let Err(error) = &outcomes {
            let writes: usize = batch.iter().map(|job| job.len()).sum();
            tracing::error!(%error, writes, "a transaction failed");
        }
        let path = &self.path;
        let mut outcomes: Box<dyn Iterator<Item = Result<(), DbError>>> = match outcomes {
            Ok(outcomes) => Box::new(
                outcomes.into_iter().map(|outcome| outcome.map_err(|error| statement_error(path, &error))),
            ),
            Err(error) => {
                let error = statement_error(path, &error);
                Box::new(std::iter::repeat_with(move || Err(error.clone())))
            }
        };
        for job in batch.drain(..) {
            job.settle(&mut *outcomes);
        }
        drop(outcomes);
        self.ballast.restore();
    }
}

/// Runs the batch in one transaction: what each write came to. Hardly ever one fails, so the first attempt does without
/// savepoints.
fn run_batch(
    connection: &mut Connection,
    batch: &mut [Box<dyn Write>],
) -> rusqlite::Result<Vec<rusqlite::Result<()>>> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let writes: usize = batch.iter().map(|job| job.len()).sum();
    let failed = batch.iter_mut().find_map(|job| (0..job.len()).find_map(|n| job.run(n, &tx).err()));
    match failed {
        None => tx.commit().map(|()| (0..writes).map(|_| Ok(())).collect()),
        // Some failures have undone it already.
        Some(error) if writes == 1 => tx.finish().map(|()| vec![Err(error)]),
        Some(_) => {
            tx.finish()?;
            run_each(connection, batch)
        }
    }
}

/// The same with each write in a savepoint.
fn run_each(
    connection: &mut Connection,
    batch: &mut [Box<dyn Write>],
) -> rusqlite::Result<Vec<rusqlite::Result<()>>> {
    let mut outcomes = Vec::new();
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in batch {
        for n in 0..job.len() {
            tx.execute_batch("SAVEPOINT job")?;
            let outcome = job.run(n, &tx);
            if outcome.is_err() {
                tx.execute_batch("ROLLBACK TO job")?;
            }
            tx.execute_batch("RELEASE job")?;
            outcomes.push(outcome);
        }
    }
    tx.commit()?;
    Ok(outcomes)
}
