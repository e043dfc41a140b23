//! Full buffers on their way to the thread that writes them, and empty ones on their way back.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::Sink;
use crate::buffer::Buffer;

/// How long a thread waits for the next buffer before it is given back. A client that sends slower than this needs a
/// thread for each of its buffers, and holds none in between.
const LINGER: Duration = Duration::from_millis(1);

/// A sink and whatever has come of the bytes that went into it.
type Ended<S> = (S, io::Result<()>);

/// The end where buffers are filled. Dropped, it lets go of the sink with what has come.
pub(super) struct Belt<S: Sink> {
    shared: Arc<Shared<S>>,
    empty: mpsc::Receiver<Buffer>,
    /// Buffers that may still be made.
    left: usize,
}

struct Shared<S> {
    state: Mutex<State<S>>,
    /// A buffer is full, or the last one was.
    arrived: Condvar,
    emptied: mpsc::Sender<Buffer>,
}

struct State<S> {
    /// While no thread has it.
    idle: Option<S>,
    /// Full buffers: no more than were made.
    full: VecDeque<(Buffer, usize)>,
    /// Nothing is written after a failure.
    failed: Option<io::Error>,
    end: Option<End<S>>,
}

struct End<S> {
    /// Whether the sink is to be told that this was all.
    is_whole: bool,
    answer: Option<oneshot::Sender<Ended<S>>>,
}

impl<S: Sink> Belt<S> {
    /// A belt with up to `buffers` of them.
    pub(super) fn new(sink: S, buffers: usize) -> Belt<S> {
        let (emptied, empty) = mpsc::channel(buffers);
        let state = State { idle: Some(sink), full: VecDeque::new(), failed: None, end: None };
        let shared = Shared { state: Mutex::new(state), arrived: Condvar::new(), emptied };
        Belt { shared: Arc::new(shared), empty, left: buffers }
    }

    /// A buffer to be filled: one that has come back, or a new one that is empty.
    pub(super) async fn empty(&mut self) -> Buffer {
        if let Ok(buffer) = self.empty.try_recv() {
            return buffer;
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return Buffer::small(0);
        }
        // The sender is ours as well.
        self.empty.recv().await.unwrap_or_else(|| Buffer::small(0))
    }

    /// Takes the first `len` bytes of a buffer along. `false`: an earlier one could not be written.
    pub(super) fn send(&self, buffer: Buffer, len: usize) -> bool {
        let mut state = self.shared.lock();
        if state.failed.is_some() {
            return false;
        }
        state.full.push_back((buffer, len));
        self.shared.wake(state);
        true
    }

    /// Waits until all is written and, if it is the whole, the sink has ended. The sink comes back with how that went.
    pub(super) async fn end(self, is_whole: bool) -> io::Result<Ended<S>> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            state.end = Some(End { is_whole, answer: Some(answer) });
            self.shared.wake(state);
        }
        answered.await.map_err(|_| io::Error::other("an upload lost its file"))
    }
}

impl<S: Sink> Drop for Belt<S> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.end.is_none() {
            state.end = Some(End { is_whole: false, answer: None });
            state.full.clear();
            // A sink lets go of its files aside.
            drop(state.idle.take());
            self.shared.arrived.notify_one();
        }
    }
}

impl<S: Sink> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a thread looks at what has come.
    fn wake(self: &Arc<Self>, mut state: MutexGuard<'_, State<S>>) {
        match state.idle.take() {
            Some(sink) => {
                let shared = self.clone();
                spawn_blocking(move || shared.write(sink));
            }
            None => self.arrived.notify_one(),
        }
    }

    /// Writes as long as buffers keep coming.
    fn write(&self, mut sink: S) {
        loop {
            match self.next() {
                Next::Write(buffer, len) => {
                    if let Err(error) = sink.write(buffer.filled(len)) {
                        let mut state = self.lock();
                        state.failed = Some(error);
                        state.full.clear();
                    }
                    // There is room for all that were made, unless nobody fills them any more.
                    let _ = self.emptied.try_send(buffer);
                }
                Next::End(end, failed) => {
                    let outcome = match failed {
                        Some(error) => Err(error),
                        None if end.is_whole => sink.end(),
                        None => Ok(()),
                    };
                    if let Some(answer) = end.answer {
                        let _ = answer.send((sink, outcome));
                    }
                    return;
                }
                Next::Pause => {
                    let mut state = self.lock();
                    if state.full.is_empty() && state.end.is_none() {
                        state.idle = Some(sink);
                        return;
                    }
                }
            }
        }
    }

    fn next(&self) -> Next<S> {
        let mut state = self.lock();
        loop {
            if let Some((buffer, len)) = state.full.pop_front() {
                return Next::Write(buffer, len);
            }
            if let Some(end) = state.end.take() {
                return Next::End(end, state.failed.take());
            }
            let waited = self.arrived.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
            if waited.1.timed_out() {
                return Next::Pause;
            }
            state = waited.0;
        }
    }
}

enum Next<S> {
    Write(Buffer, usize),
    End(End<S>, Option<io::Error>),
    Pause,
}

#[cfg(test)]
mod tests;
