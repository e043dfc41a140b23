//! Bytes that are held against the checksums of their blocks before they are sent.

use crc32fast::Hasher;
use tokio::task::yield_now;

use super::{Halt, Sending};
use crate::buffer::{Buffer, LARGE};

impl Sending<'_> {
    /// Holds the blocks that the next `len` bytes lie in against their checksums, as far as they were not yet. They are read
    /// whole, and are in memory then.
    pub(super) async fn verify(&mut self, len: u64) -> Result<(), Halt> {
        let Some(check) = self.check.clone() else { return Ok(()) };
        let wanted = self.range.start..self.range.end.min(self.range.start.saturating_add(len));
        let mut buffer = None;
        for block in check.open_blocks(&wanted) {
            let bytes = check.bytes_of(block);
            let mut hasher = Hasher::new();
            let mut at = bytes.start;
            while at < bytes.end {
                let mut piece = buffer.take().unwrap_or_else(|| Buffer::small(bytes.end - bytes.start));
                piece.grow(self.budget, bytes.end - bytes.start, LARGE);
                let len = piece.bytes().len().min(usize::try_from(bytes.end - at).unwrap_or(usize::MAX));
                if !self.source.read_cached(&mut piece.bytes()[..len], at) {
                    piece = self.source.read(piece, len, at).await.map_err(Halt::File)?.0;
                }
                hasher.update(piece.filled(len));
                at += len as u64;
                buffer = Some(piece);
            }
            check.compare(block, hasher.finalize()).map_err(Halt::File)?;
            // Others have their turn.
            yield_now().await;
        }
        Ok(())
    }
}
