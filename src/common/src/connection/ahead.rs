//! What has come of a request beside what was asked for.

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::scratch;

/// Bytes that were read and not taken yet; no memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    taken: usize,
}

impl Ahead {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads what has come, at least one byte. Returns how many; 0 at the end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
    ) -> Poll<io::Result<usize>> {
        scratch::poll_read(cx, stream, |bytes| self.bytes.extend_from_slice(bytes))
    }

    /// Moves bytes into `target`, as many as there are and fit. Returns how many.
    pub(super) fn take(&mut self, target: &mut [u8]) -> usize {
        let len = target.len().min(self.len());
        target[..len].copy_from_slice(&self.bytes[self.taken..self.taken + len]);
        self.skip(len);
        len
    }

    /// The next `len` bytes, which are there.
    pub(super) fn take_vec(&mut self, len: usize) -> Vec<u8> {
        if len == self.len() {
            let taken = std::mem::take(&mut self.taken);
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.drain(..taken);
            return bytes;
        }
        let mut bytes = vec![0; len];
        self.take(&mut bytes);
        bytes
    }

    /// Drops `len` bytes, which are there.
    pub(super) fn skip(&mut self, len: usize) {
        self.taken += len;
        if self.is_empty() {
            *self = Ahead::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_and_leave_no_memory_behind() {
        let mut ahead = Ahead { bytes: (0..100).collect(), taken: 0 };
        let mut first = [0; 10];
        assert_eq!(ahead.take(&mut first), 10);
        assert_eq!(first.to_vec(), (0..10).collect::<Vec<u8>>());
        assert_eq!(ahead.take_vec(40), (10..50).collect::<Vec<u8>>());
        ahead.skip(10);
        assert_eq!(ahead.len(), 40);
        assert_eq!(ahead.take_vec(40), (60..100).collect::<Vec<u8>>());
        assert!(ahead.is_empty());
        let mut ahead = Ahead { bytes: vec![7; 5], taken: 0 };
        assert_eq!(ahead.take(&mut [0; 100]), 5);
        assert_eq!((ahead.bytes.capacity(), ahead.take(&mut [0; 100])), (0, 0));
    }
}
