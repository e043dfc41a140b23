//! Bytes of a file onto a connection: small ones at once and in one write, many without a copy.

mod copy;
mod small;
mod verify;
mod zero_copy;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use tnv_common::connection::Connection;
use tnv_common::disk::DiskFile;

use crate::buffer::Budget;
use crate::load::Counters;
use crate::verified::Check;

/// How the bytes of files get to their readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendMode {
    /// Small ones through memory, others from the page cache.
    Auto,
    /// All from the page cache, where the file system allows it: no memory, no copy, no checksum.
    Sendfile,
    /// All through memory. Whole files are held against their checksum on the way.
    Copy,
}

/// Why a body did not get to its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The connection is of no more use.
    Peer(io::Error),
    /// The file cannot be read.
    File(io::Error),
}

/// A reply whose body is bytes of a file.
pub(crate) struct Sending<'a> {
    connection: &'a mut Connection,
    source: Arc<DiskFile>,
    /// What is still to be sent.
    range: Range<u64>,
    /// The body's length.
    len: u64,
    /// Bytes of the header that are out.
    header_sent: usize,
    /// What the CRC32 of the bytes must be, where it is known and no byte is out.
    crc32: Option<u32>,
    /// What their blocks are held against, where that is known.
    check: Option<Check>,
    budget: &'a Budget,
    counters: &'a Counters,
}

impl<'a> Sending<'a> {
    /// The bytes of `range`, whose CRC32 must be `crc32` if that is known. Large memory comes from the budget.
    pub(crate) fn new(
        connection: &'a mut Connection,
        source: DiskFile,
        range: Range<u64>,
        crc32: Option<u32>,
        (budget, counters): (&'a Budget, &'a Counters),
    ) -> Sending<'a> {
        let (source, len) = (Arc::new(source), range.end - range.start);
        Sending { connection, source, range, len, header_sent: 0, crc32, check: None, budget, counters }
    }

    /// Has the bytes' blocks held against this before they are sent.
    pub(crate) fn checked(self, check: Option<Check>) -> Sending<'a> {
        Sending { check, ..self }
    }

    /// Sends header and bytes.
    ///
    /// # Errors
    /// [`Halt::File`] without [`Sending::is_begun`]: nothing is out yet, and the request can still be refused.
    pub(crate) async fn run(&mut self, mode: SendMode) -> Result<(), Halt> {
        // What cannot be looked at in advance would be waited for in the middle of a sendfile.
        let mode = if self.source.disk().tells_what_is_cached() { mode } else { SendMode::Copy };
        if mode != SendMode::Sendfile && self.send_small().await? {
            return Ok(());
        }
        match mode {
            SendMode::Copy => self.copy(self.budget).await,
            SendMode::Auto | SendMode::Sendfile => self.zero_copy().await,
        }
    }

    /// Whether bytes of the reply are out.
    pub(crate) fn is_begun(&self) -> bool {
        self.header_sent > 0
    }

    fn left(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Bytes of the body are out.
    fn advance(&mut self, sent: usize) {
        self.range.start += sent as u64;
        self.counters.bytes_out.add(sent as u64);
    }
}

/// The error of bytes that are not those that were stored.
fn mismatch(found: u32, expected: u32) -> Halt {
    let text = format!("the bytes have CRC32 {found:08x}, the catalog says {expected:08x}");
    Halt::File(io::Error::new(io::ErrorKind::InvalidData, text))
}

#[cfg(test)]
mod tests;
