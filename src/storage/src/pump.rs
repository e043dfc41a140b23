//! Bytes of a body into a file: while one buffer is being written the other one fills.

use std::io;
use std::sync::Arc;

use tnv_common::connection::{Connection, Interrupt};
use tnv_proto::{ErrorCode, Failure};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::buffer::{Budget, Buffer};
use crate::load::Counters;
use crate::upload::lost;
use crate::volume::{Incoming, StorePath, explain, is_unreachable};

/// Where the bytes go. Every method blocks.
pub(crate) trait Sink: Send + 'static {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was taken durable: nothing more will come.
    fn end(&mut self) -> io::Result<()>;

    /// The store path it writes to, to be blamed for errors.
    fn path(&self) -> &Arc<StorePath>;
}

impl Sink for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        Incoming::write(self, bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        self.finish()
    }

    fn path(&self) -> &Arc<StorePath> {
        Incoming::path(self)
    }
}

/// Why the bytes did not all arrive, and the sink with what did, if it is still good for something.
pub(crate) struct BrokenOff<S> {
    pub(crate) sink: Option<S>,
    pub(crate) why: Interrupt,
}

/// A refusal before the first byte.
impl<S> From<Interrupt> for BrokenOff<S> {
    fn from(why: Interrupt) -> Self {
        BrokenOff { sink: None, why }
    }
}

type Writing<S> = JoinHandle<(S, Buffer, io::Result<()>)>;

/// Moves `len` bytes of the body into the sink and ends it.
pub(crate) async fn pump<S: Sink>(
    connection: &mut Connection,
    len: u64,
    sink: S,
    budget: &Budget,
    counters: &Counters,
) -> Result<S, BrokenOff<S>> {
    let mut left = len;
    let mut buffer = Buffer::small(left);
    let mut idle = Some((sink, Buffer::small(0)));
    let mut writing: Option<Writing<S>> = None;
    loop {
        // Large memory is for those who have filled a small one.
        if left < len {
            buffer.grow(budget, left);
        }
        let (filled, broken) = fill(connection, buffer.bytes(), left).await;
        if let Some(write) = writing.take() {
            idle = Some(settled(write).await?);
        }
        let Some((mut sink, spare)) = idle.take() else {
            return Err(BrokenOff { sink: None, why: io::Error::other("an upload lost its file").into() });
        };
        left -= filled as u64;
        counters.bytes_in.add(filled as u64);
        let last = left == 0;
        let full = std::mem::replace(&mut buffer, spare);
        let write = spawn_blocking(move || {
            let written = sink.write(full.filled(filled));
            let outcome = if last { written.and_then(|()| sink.end()) } else { written };
            (sink, full, outcome)
        });
        if last || broken.is_some() {
            let (sink, _) = settled(write).await?;
            // What came is with the sink, down to the last byte.
            return match broken {
                None => Ok(sink),
                Some(error) => Err(BrokenOff { sink: Some(sink), why: error.into() }),
            };
        }
        writing = Some(write);
    }
}

/// Fills the buffer as far as `left` bytes go; less, and why, if the client stops before.
async fn fill(connection: &mut Connection, buffer: &mut [u8], left: u64) -> (usize, Option<io::Error>) {
    let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let mut filled = 0;
    while filled < wanted {
        match connection.read_some(&mut buffer[filled..wanted]).await {
            Ok(got) => filled += got,
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

async fn settled<S: Sink>(write: Writing<S>) -> Result<(S, Buffer), BrokenOff<S>> {
    match write.await {
        Ok((sink, buffer, Ok(()))) => Ok((sink, buffer)),
        Ok((sink, _, Err(error))) => {
            let why = write_failure(sink.path(), &error).into();
            Err(BrokenOff { sink: Some(sink), why })
        }
        Err(error) => Err(BrokenOff { sink: None, why: lost(error).into() }),
    }
}

/// Says what failed on the disk, and leaves the store path out if it is to blame.
pub(crate) fn write_failure(path: &StorePath, error: &io::Error) -> Failure {
    path.note_error(error);
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NO_SPACE,
        // Another storage of the group may reach it, or has removed what belonged to a storage that it took for dead.
        _ if is_unreachable(error) => ErrorCode::UNAVAILABLE,
        io::ErrorKind::NotFound if path.is_shared() => ErrorCode::UNAVAILABLE,
        _ => ErrorCode::INTERNAL,
    };
    Failure::new(code, format!("cannot write to {}: {}", path.written(), explain(error)))
}
