//! The bounded queue between those who log and the one thread that writes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait. As many again are held while they are written.
const MAX_WAITING: usize = 4 * 1024 * 1024;

/// Between two looks for lines while some keep coming: to be woken for each would cost those who log more than the line.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the end of the process may be held up by lines that are still waiting.
const DRAIN: Duration = Duration::from_secs(2);

/// Takes finished lines from any thread, without waiting for the writer.
pub(super) struct Queue(Arc<Shared>);

/// Ends the log when dropped: waits up to two seconds until every waiting line is written.
#[must_use = "the log ends when the guard is dropped"]
pub struct Guard(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There are lines to write, or the log ends.
    wake: Condvar,
    /// The writer has stopped.
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    waiting: usize,
    dropped: u64,
    /// Of the dropped lines, those the log does not mention yet.
    unreported: u64,
    /// The writer waits to be woken.
    idle: bool,
    closed: bool,
    stopped: bool,
}

impl Queue {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<(Queue, Guard)> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), stopped: Condvar::new() });
        let queue = Queue(Arc::clone(&shared));
        let guard = Guard(Arc::clone(&shared));
        std::thread::Builder::new().name("log".to_owned()).spawn(move || shared.run(output))?;
        Ok((queue, guard))
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// One event: the subscriber hands over a finished line in one piece.
pub(super) struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(one_line(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Guard {
    /// How many lines were dropped so far, for want of room or because they could not be written.
    pub fn dropped_lines(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        self.0.wake.notify_one();
        // If the time is up, the output is stuck; the process ends without it. There is nowhere left to say so.
        let waited = self.0.stopped.wait_timeout_while(state, DRAIN, |state| !state.stopped);
        drop(waited);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent at every point where it is locked, whoever panicked elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.closed || state.waiting + line.len() > MAX_WAITING {
            state.dropped += 1;
            state.unreported += 1;
            return;
        }
        state.waiting += line.len();
        state.lines.push_back(line);
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.wake.notify_one();
        }
    }

    fn run(&self, mut output: impl Write) {
        let mut failing = false;
        while let Some(lines) = self.next_lines() {
            let lost = write_lines(&mut output, &lines, &mut failing);
            let report = {
                let mut state = self.lock();
                state.dropped += lost;
                state.unreported += lost;
                // A report that cannot be written would be lost itself, and reported, for ever.
                if failing { 0 } else { std::mem::take(&mut state.unreported) }
            };
            if report > 0 {
                tracing::warn!(lines = report, "log lines were dropped");
            }
            std::thread::sleep(PAUSE);
        }
        self.lock().stopped = true;
        self.stopped.notify_all();
    }

    /// Waits for lines and takes them all; `None` once the log has ended and every line is taken.
    fn next_lines(&self) -> Option<VecDeque<Vec<u8>>> {
        let idle = |state: &mut State| {
            state.idle = state.lines.is_empty() && !state.closed;
            state.idle
        };
        let waited = self.wake.wait_while(self.lock(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting = 0;
        let lines = std::mem::take(&mut state.lines);
        (!lines.is_empty()).then_some(lines)
    }
}

/// An event as one line: a line break inside it, perhaps from a file name, would pass for the end of the event.
fn one_line(event: &[u8]) -> Vec<u8> {
    let (text, end) = match event.strip_suffix(b"\n") {
        Some(text) => (text, &b"\n"[..]),
        None => (event, &b""[..]),
    };
    let mut line = Vec::with_capacity(event.len());
    for byte in text {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            _ => line.push(*byte),
        }
    }
    line.extend_from_slice(end);
    line
}

/// Writes what it can and returns how many lines were lost. The first of several failures is told to standard error,
/// for the log itself cannot.
fn write_lines(output: &mut impl Write, lines: &VecDeque<Vec<u8>>, failing: &mut bool) -> u64 {
    let mut lost = 0;
    for line in lines {
        match output.write_all(line) {
            Ok(()) => *failing = false,
            Err(error) => {
                lost += 1;
                if !std::mem::replace(failing, true) {
                    let _ = writeln!(io::stderr(), "cannot write the log: {error}");
                }
            }
        }
    }
    if let Err(error) = output.flush()
        && !std::mem::replace(failing, true)
    {
        let _ = writeln!(io::stderr(), "cannot write the log: {error}");
    }
    lost
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that announces each line, then waits until it is let on.
    struct Stuck {
        begun: Sender<Vec<u8>>,
        let_on: Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(line.to_vec());
            let _ = self.let_on.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_waiting_line_is_written_before_the_log_ends() {
        let (begun, written) = channel();
        let (let_on, gate) = channel();
        let (queue, guard) = Queue::start(Stuck { begun, let_on: gate }).unwrap();
        for line in ["one", "two", "three"] {
            queue.make_writer().write_all(line.as_bytes()).unwrap();
            let_on.send(()).unwrap();
        }
        drop(guard);
        assert_eq!(written.try_iter().collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);

        queue.make_writer().write_all(b"late").unwrap();
        assert_eq!(queue.0.lock().dropped, 1, "nobody writes any more");
    }

    #[test]
    fn a_stuck_output_costs_lines_not_memory_or_time() {
        let (begun, written) = channel();
        let (let_on, gate) = channel();
        let (queue, guard) = Queue::start(Stuck { begun, let_on: gate }).unwrap();
        queue.make_writer().write_all(b"first").unwrap();
        assert_eq!(written.recv().unwrap(), b"first");

        // The writer is stuck in the first line from here on.
        let line = vec![b'x'; MAX_WAITING / 4];
        for _ in 0..6 {
            queue.make_writer().write_all(&line).unwrap();
        }
        assert_eq!(guard.dropped_lines(), 2);
        assert_eq!(queue.0.lock().waiting, MAX_WAITING);
        drop(let_on);
        drop(guard);
        assert_eq!(written.try_iter().count(), 4);
    }

    #[test]
    fn an_event_cannot_pass_for_two() {
        assert_eq!(one_line(b"INFO name=x\r\nERROR forged\n"), b"INFO name=x\\r\\nERROR forged\n");
        assert_eq!(one_line(b""), b"");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (queue, guard) = Queue::start(Full).unwrap();
        queue.make_writer().write_all(b"one").unwrap();
        queue.make_writer().write_all(b"two").unwrap();
        drop(guard);
        assert_eq!(queue.0.lock().dropped, 2);
    }
}
