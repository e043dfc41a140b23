//! Bytes that go through memory. What a disk has to give is read while what came before is being sent.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crc32fast::Hasher;
use tnv_common::disk::DiskFile;
use tnv_proto::HEADER_LEN;

use super::{Halt, Sending, mismatch};
use crate::buffer::{Budget, Buffer, LARGE};

/// Bytes that can be sent.
struct Filled {
    buffer: Buffer,
    len: usize,
    /// Whether they had to come from a disk.
    waited: bool,
}

impl Sending<'_> {
    /// The last buffer of a file with a known checksum is kept back until it is known to be right.
    pub(super) async fn copy(&mut self, budget: &Budget) -> Result<(), Halt> {
        let mut check = self.crc32.take().map(|expected| (Hasher::new(), expected));
        let mut spare = Buffer::small(0);
        let source = self.source.clone();
        let first = fill(&source, Buffer::small(self.left()), self.range.clone(), budget);
        let mut filled = first.await.map_err(Halt::File)?;
        loop {
            let bytes = filled.buffer.filled(filled.len);
            let rest = self.range.start + filled.len as u64..self.range.end;
            let last = rest.is_empty();
            if let Some((hasher, expected)) = &mut check {
                hasher.update(bytes);
                let found = hasher.clone().finalize();
                if last && found != *expected {
                    return Err(mismatch(found, *expected));
                }
            }
            self.verify(filled.len as u64).await?;
            let in_advance = filled.waited && !last;
            let buffer =
                if in_advance { std::mem::replace(&mut spare, Buffer::small(0)) } else { Buffer::small(0) };
            let next = async {
                if !in_advance {
                    return Ok(None);
                }
                fill(&source, buffer, rest.clone(), budget).await.map(Some).map_err(Halt::File)
            };
            let ((), next) = tokio::try_join!(self.deliver(bytes), next)?;
            if last {
                return Ok(());
            }
            filled = match next {
                Some(next) => {
                    spare = filled.buffer;
                    next
                }
                None => fill(&source, filled.buffer, rest, budget).await.map_err(Halt::File)?,
            };
        }
    }

    /// Sends the next bytes, with the header in front of the first.
    async fn deliver(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        let sent = if self.header_sent == 0 {
            self.header_sent = HEADER_LEN;
            self.connection.begin_reply(self.len, bytes).await
        } else {
            if self.header_sent < HEADER_LEN {
                let header = self.connection.success(self.len);
                let rest = &header[std::mem::replace(&mut self.header_sent, HEADER_LEN)..];
                self.connection.send_ahead(rest).await.map_err(Halt::Peer)?;
            }
            self.connection.send_bulk(bytes).await
        };
        sent.map_err(Halt::Peer)?;
        self.advance(bytes.len());
        Ok(())
    }
}

/// Reads as much of `range` as the buffer can have, here if it is in memory.
async fn fill(
    source: &Arc<DiskFile>,
    mut buffer: Buffer,
    range: Range<u64>,
    budget: &Budget,
) -> io::Result<Filled> {
    let left = range.end - range.start;
    buffer.grow(budget, left, LARGE);
    let len = buffer.bytes().len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let cached = source.read_cached(&mut buffer.bytes()[..len], range.start);
    if cached {
        return Ok(Filled { buffer, len, waited: false });
    }
    let (buffer, waited) = source.read(buffer, len, range.start).await?;
    Ok(Filled { buffer, len, waited })
}
