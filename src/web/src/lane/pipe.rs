//! Pipes, through which bytes go from one socket to another without being copied.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How much a pipe should hold, in bytes. Without privileges the kernel gives a user 64 MiB in pipes; what comes beyond
/// that is smaller.
const SIZE: usize = 256 * 1024;
/// Through a smaller pipe it is quicker to copy.
const MIN_SIZE: usize = 64 * 1024;
/// Pipes that are kept for the next ones.
const MAX_IDLE: usize = 32;

static IDLE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// A pipe, empty between two uses.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    size: usize,
    held: usize,
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// If there are no more descriptors, or the user has so many pipes that more of them are small.
    pub(super) fn take() -> io::Result<Pipe> {
        if let Some(pipe) = idle().pop() {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let size = fcntl_setpipe_size(&write, SIZE).or_else(|_| fcntl_getpipe_size(&write))?;
        if size < MIN_SIZE {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Pipe { read, write, size, held: 0 })
    }

    /// Keeps it for others, if it is empty.
    pub(super) fn put_back(self) {
        let mut idle = idle();
        if self.held == 0 && idle.len() < MAX_IDLE {
            idle.push(self);
        }
    }

    /// How many bytes are in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes up to `limit` bytes that have come on a socket, at least one of them. The pipe must be empty: one that is
    /// full could not be told from a socket that is.
    ///
    /// # Errors
    /// If the socket fails or has come to its end.
    pub(super) async fn fill(&mut self, from: &TcpStream, limit: u64) -> io::Result<usize> {
        let len = self.size.min(usize::try_from(limit).unwrap_or(usize::MAX));
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = from
            .async_io(Interest::READABLE, || Ok(splice(from, None, &self.write, None, len, flags)?))
            .await?;
        self.held += moved;
        if moved == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed in mid-body",
            ));
        }
        Ok(moved)
    }

    /// Gives what it holds to a socket, as much as that takes now.
    ///
    /// # Errors
    /// If the socket fails, or with [`io::ErrorKind::WouldBlock`] if it takes nothing now.
    pub(super) fn try_drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        // Not MORE: it would only have the kernel wait for what it cannot know to be there soon.
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved =
            to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, self.held, flags)?))?;
        self.held -= moved;
        Ok(moved)
    }
}

fn idle() -> MutexGuard<'static, Vec<Pipe>> {
    // A vector is never half changed.
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}
