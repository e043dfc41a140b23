//! Bytes of a body into a file: while one buffer is being written the others fill.

mod belt;

use std::io;
use std::sync::Arc;

use tnv_common::connection::{Connection, Interrupt};
use tnv_proto::{ErrorCode, Failure};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::yield_now;

use self::belt::Belt;
use crate::buffer::{Budget, Buffer, LARGE, SMALL};
use crate::digest::Digest;
use crate::load::Counters;
use crate::volume::{Incoming, StorePath, explain, is_unreachable};

/// Buffers of one upload: one is filled, one is written, and one lies between the two.
const BUFFERS: usize = 3;

/// Bytes whose checksums are taken at once, which takes less than a tenth of a millisecond: as many as the processor's cache
/// still holds, and enough for BLAKE3 to work on several of its chunks side by side.
const DIGESTED: usize = 128 * 1024;

/// Where the bytes go. Every method blocks.
pub(crate) trait Sink: Send + 'static {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was taken durable: nothing more will come.
    fn end(&mut self) -> io::Result<()>;

    /// How many bytes it wants at a time, where there is memory for them.
    fn piece(&self) -> usize {
        LARGE
    }

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

    fn piece(&self) -> usize {
        Incoming::piece(self)
    }

    fn path(&self) -> &Arc<StorePath> {
        Incoming::path(self)
    }
}

/// Where the bytes come from.
pub(crate) trait Supply {
    /// What has come, at least one byte of it, as far as it fits into the buffer, which is not empty.
    fn read_some(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

impl Supply for Connection {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Connection::read_some(self, buffer).await
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

/// The first bytes of a body; all of a small one, if there is memory for it.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) bytes: Vec<u8>,
    /// Its share of the memory that transfers have together.
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

impl Head {
    /// Reads `size` bytes, or the first of them if there is no memory for more.
    pub(crate) async fn read(
        connection: &mut Connection,
        size: usize,
        budget: &Budget,
        counters: &Counters,
    ) -> io::Result<Head> {
        let mut head = Head { bytes: vec![0; size.min(SMALL)], share: None };
        let mut filled = connection.read_bulk(&mut head.bytes).await?;
        if filled < size {
            head.share = budget.share();
            if head.share.is_some() {
                head.bytes.resize(size, 0);
                filled += connection.read_bulk(&mut head.bytes[filled..]).await?;
            }
        }
        counters.bytes_in.add(filled as u64);
        Ok(head)
    }
}

/// What bytes meet on their way.
pub(crate) struct Flow<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) counters: &'a Counters,
    /// Takes them in where they have just been read, for there they still are in the processor's cache. What is left of
    /// a body that breaks off is not taken in.
    pub(crate) digest: Option<&'a mut Digest>,
}

/// Moves the body, whose first bytes are in `head` already, into the sink and ends it.
pub(crate) async fn pump<S: Sink>(
    supply: &mut impl Supply,
    head: Head,
    len: u64,
    sink: S,
    flow: Flow<'_>,
) -> Result<S, BrokenOff<S>> {
    let Flow { budget, counters, mut digest } = flow;
    let mut left = len - head.bytes.len() as u64;
    let piece = sink.piece();
    let mut belt = Belt::new(sink, BUFFERS);
    let mut broken = None;
    if !head.bytes.is_empty() {
        let filled = head.bytes.len();
        if let Some(digest) = &mut digest {
            digest.update(&head.bytes);
        }
        belt.send(Buffer::from(head.bytes), filled);
    }
    let mut is_first = left == len;
    while left > 0 && broken.is_none() {
        let mut buffer = belt.empty().await;
        // Large memory is for those who have filled a small one.
        if is_first {
            buffer.ensure_small(left)
        } else {
            buffer.grow(budget, left, piece)
        }
        is_first = false;
        let filled;
        (filled, broken) = fill(supply, buffer.bytes(), left, digest.as_deref_mut()).await;
        left -= filled as u64;
        counters.bytes_in.add(filled as u64);
        if !belt.send(buffer, filled) {
            break;
        }
    }
    // What came is with the sink, down to the last byte.
    match belt.end(left == 0 && broken.is_none()).await {
        Ok((sink, Ok(()))) => match broken {
            None => Ok(sink),
            Some(error) => Err(BrokenOff { sink: Some(sink), why: error.into() }),
        },
        Ok((sink, Err(error))) => {
            let why = write_failure(sink.path(), &error).into();
            Err(BrokenOff { sink: Some(sink), why })
        }
        Err(error) => Err(BrokenOff { sink: None, why: error.into() }),
    }
}

/// Fills the buffer as far as `left` bytes go; less, and why, if no more comes before.
async fn fill(
    supply: &mut impl Supply,
    buffer: &mut [u8],
    left: u64,
    mut digest: Option<&mut Digest>,
) -> (usize, Option<io::Error>) {
    let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let mut filled = 0;
    for piece in buffer[..wanted].chunks_mut(DIGESTED) {
        let mut len = 0;
        while len < piece.len() {
            match supply.read_some(&mut piece[len..]).await {
                Ok(got) => len += got,
                Err(error) => return (filled + len, Some(error)),
            }
        }
        if let Some(digest) = &mut digest {
            digest.update(piece);
        }
        filled += len;
    }
    // A fast client keeps its reactor busy: others have their turn.
    yield_now().await;
    (filled, None)
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
