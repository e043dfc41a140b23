//! The connections that read, and the threads that use them: each reads on as long as somebody waits, so under load a read
//! costs no other thread's wake-up.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use super::{connect, statement_error};
use crate::database::DbError;

/// Connections, and so reads at once.
pub(super) const READERS: usize = 4;
/// Reads that may wait for a connection; more wait at their sender.
const READ_QUEUE: usize = 1024;

/// A read on its way, told of a connection or why there is none.
type Read = Box<dyn FnOnce(Result<&Connection, DbError>) + Send>;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    state: Mutex<State>,
    room: Arc<Semaphore>,
}

struct State {
    /// Connections at rest.
    resting: Vec<Connection>,
    /// Threads that read, or are about to.
    threads: usize,
    waiting: VecDeque<Read>,
}

impl Readers {
    /// # Errors
    /// If the file cannot be opened.
    pub(super) fn open(path: PathBuf) -> rusqlite::Result<Readers> {
        let resting = (0..READERS).map(|_| connect(&path)).collect::<Result<_, _>>()?;
        let state = State { resting, threads: 0, waiting: VecDeque::new() };
        Ok(Readers { path, state: Mutex::new(state), room: Arc::new(Semaphore::new(READ_QUEUE)) })
    }

    /// Runs `job` on one of the connections, off the reactor.
    ///
    /// # Errors
    /// [`DbError`].
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let room = self.room.clone().acquire_owned().await.map_err(|_| DbError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let readers = self.clone();
        self.enter(Box::new(move |connection| {
            let read = |connection| job(connection).map_err(|error| statement_error(&readers.path, &error));
            // Whoever asked may have gone.
            let _ = answer.send(connection.and_then(read));
            drop(room);
        }));
        answered.await.map_err(|_| DbError::Closed)?
    }

    /// Has a thread read, a further one unless there is one for each connection.
    fn enter(self: &Arc<Self>, read: Read) {
        let mut state = self.lock();
        state.waiting.push_back(read);
        if state.threads < READERS {
            state.threads += 1;
            let thread = Thread { readers: self.clone(), is_counted: true };
            drop(state);
            spawn_blocking(move || thread.run());
        }
    }

    /// Connections that nobody uses.
    #[cfg(test)]
    pub(super) fn at_rest(&self) -> usize {
        self.lock().resting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("threads", &self.threads).field("waiting", &self.waiting.len()).finish()
    }
}

/// A thread that reads as long as somebody waits.
struct Thread {
    readers: Arc<Readers>,
    /// Whether it stands in [`State::threads`].
    is_counted: bool,
}

impl Thread {
    fn run(mut self) {
        let mut connection = self.readers.lock().resting.pop();
        while let Some(read) = self.next(&mut connection) {
            let path = &self.readers.path;
            // One that a panic lost is opened anew.
            let open = connection.take().map_or_else(|| connect(path), Ok);
            match open {
                // One broken read must not take those with it that wait, and what it left of the connection is not known.
                Ok(open) => {
                    connection = catch_unwind(AssertUnwindSafe(|| read(Ok(&open)))).is_ok().then_some(open)
                }
                Err(error) => read(Err(statement_error(path, &error))),
            }
        }
    }

    /// Who waits longest. Nobody: the connection goes to rest, and the next one who comes has a thread started.
    fn next(&mut self, connection: &mut Option<Connection>) -> Option<Read> {
        let mut state = self.readers.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.resting.extend(connection.take());
            state.threads -= 1;
            self.is_counted = false;
        }
        next
    }
}

impl Drop for Thread {
    /// A runtime that is being shut down starts no threads: those who wait for one are told so.
    fn drop(&mut self) {
        if self.is_counted {
            let mut state = self.readers.lock();
            state.threads -= 1;
            let waiting =
                if state.threads == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
            drop((state, waiting));
        }
    }
}
