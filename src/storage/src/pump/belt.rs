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
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tnv_common::config::WrittenPath;
    use tnv_proto::GroupName;

    use super::*;
    use crate::config::Replication;
    use crate::volume::{Candidate, StorePath};

    /// Takes bytes as fast as permits come, and fails where the permit says so.
    struct Slow {
        path: Arc<StorePath>,
        permits: Receiver<bool>,
        taken: Vec<u8>,
        dropped: Sender<Vec<u8>>,
        has_ended: bool,
    }

    impl Sink for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            if !self.permits.recv().unwrap_or(true) {
                return Err(io::Error::other("as told"));
            }
            self.taken.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self) -> io::Result<()> {
            self.has_ended = true;
            Ok(())
        }

        fn path(&self) -> &Arc<StorePath> {
            &self.path
        }
    }

    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.dropped.send(std::mem::take(&mut self.taken));
        }
    }

    struct Lab {
        _folder: tempfile::TempDir,
        belt: Belt<Slow>,
        permits: Sender<bool>,
        dropped: Receiver<Vec<u8>>,
    }

    fn lab(buffers: usize) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let store = WrittenPath { written: "../store".to_owned(), resolved: folder.path().to_owned() };
        let group = GroupName::new("group001").unwrap();
        let candidate = Candidate::inspect(&[store], "tnv", &group, Replication::None, "fresh").unwrap();
        let path = candidate.open(0, None).unwrap().paths()[0].clone();
        let (permits, permitted) = channel();
        let (dropped, seen) = channel();
        let sink = Slow { path, permits: permitted, taken: Vec::new(), dropped, has_ended: false };
        Lab { _folder: folder, belt: Belt::new(sink, buffers), permits, dropped: seen }
    }

    async fn until(mut reached: impl FnMut() -> bool) {
        while !reached() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_whether_they_come_fast_or_slowly() {
        let mut lab = lab(3);
        for n in 0..100_u8 {
            lab.permits.send(true).unwrap();
            let mut buffer = lab.belt.empty().await;
            buffer.ensure_small(4);
            buffer.bytes().fill(n);
            assert!(lab.belt.send(buffer, 1 + usize::from(n) % 4));
            if n % 10 == 0 {
                // No thread waits for a client that has nothing to send.
                let shared = lab.belt.shared.clone();
                until(|| shared.lock().idle.is_some()).await;
            }
        }
        let (sink, outcome) = lab.belt.end(true).await.unwrap();
        assert!(outcome.is_ok() && sink.has_ended);
        let sent = (0..100_u8).flat_map(|n| std::iter::repeat_n(n, 1 + usize::from(n) % 4));
        assert_eq!(sink.taken, sent.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn no_more_buffers_are_made_than_may_be() {
        let mut lab = lab(2);
        for _ in 0..2 {
            let mut buffer = lab.belt.empty().await;
            buffer.ensure_small(1);
            assert!(lab.belt.send(buffer, 1));
        }
        let mut third = Box::pin(lab.belt.empty());
        assert!(futures_util::poll!(&mut third).is_pending());
        lab.permits.send(true).unwrap();
        assert_eq!(third.await.bytes().len(), 1, "one that has come back");
    }

    #[tokio::test]
    async fn after_a_failure_nothing_is_taken_and_the_sink_comes_back_with_it() {
        let mut lab = lab(3);
        for permit in [true, false] {
            lab.permits.send(permit).unwrap();
            let mut buffer = lab.belt.empty().await;
            buffer.ensure_small(1);
            assert!(lab.belt.send(buffer, 1));
        }
        let shared = lab.belt.shared.clone();
        until(|| shared.lock().failed.is_some()).await;
        assert!(!lab.belt.send(Buffer::small(1), 1));
        let (sink, outcome) = lab.belt.end(true).await.unwrap();
        assert_eq!(outcome.unwrap_err().to_string(), "as told");
        assert_eq!((sink.taken.len(), sink.has_ended), (1, false));
    }

    #[tokio::test]
    async fn a_belt_that_is_dropped_lets_go_of_the_sink() {
        for sent in [0, 1] {
            let lab = lab(3);
            for _ in 0..sent {
                assert!(lab.belt.send(Buffer::small(1), 1));
            }
            drop(lab.belt);
            lab.permits.send(true).ok();
            let dropped = tokio::task::spawn_blocking(move || lab.dropped.recv()).await.unwrap();
            assert!(dropped.unwrap().len() <= sent);
        }
    }
}
