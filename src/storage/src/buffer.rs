//! Memory for transfers. Each has a small buffer; those that move fast get large ones as long as the budget lasts, so
//! that a thousand stalled clients cost little and a fast one few system calls.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every transfer has.
pub(crate) const SMALL: usize = 16 * 1024;
/// What a transfer that fills its buffer gets.
const LARGE: usize = 256 * 1024;

/// Memory that all large buffers share.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: u64) -> Budget {
        let large = usize::try_from(bytes).unwrap_or(usize::MAX) / LARGE;
        Budget(Arc::new(Semaphore::new(large.min(Semaphore::MAX_PERMITS))))
    }

    /// Memory for one large buffer, if there is any left.
    pub(crate) fn share(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// A transfer's buffer; its share of the budget goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// A small buffer, or smaller if no more than `needed` bytes will come.
    pub(crate) fn small(needed: u64) -> Buffer {
        let len = usize::try_from(needed).unwrap_or(usize::MAX).min(SMALL);
        Buffer { bytes: vec![0; len], share: None }
    }

    /// Makes it large, if `needed` bytes are worth it and the budget allows, or else at least small.
    pub(crate) fn grow(&mut self, budget: &Budget, needed: u64) {
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        if self.share.is_none() && needed.min(LARGE) > self.bytes.len() {
            self.share = budget.share();
            let len = needed.min(if self.share.is_some() { LARGE } else { SMALL });
            if len > self.bytes.len() {
                self.bytes = vec![0; len];
            }
        }
    }

    /// Makes it small, if it is less; or less, if no more than `needed` bytes will come.
    pub(crate) fn ensure_small(&mut self, needed: u64) {
        if self.bytes.is_empty() {
            *self = Buffer::small(needed);
        }
    }

    /// The memory.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Its first `len` bytes.
    pub(crate) fn filled(&self, len: usize) -> &[u8] {
        &self.bytes[..len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl From<Vec<u8>> for Buffer {
    /// A small buffer with something in it.
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer { bytes, share: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_end_with_the_budget_and_come_back() {
        let budget = Budget::new(2 * LARGE as u64);
        let grown = |needed| {
            let mut buffer = Buffer::small(needed);
            buffer.grow(&budget, needed);
            buffer
        };
        assert_eq!(grown(10).bytes().len(), 10);
        let mut held = [grown(1 << 30), grown(1 << 30), grown(1 << 30)];
        assert_eq!(held.each_mut().map(|buffer| buffer.bytes().len()), [LARGE, LARGE, SMALL]);
        let mut empty = Buffer::small(0);
        empty.grow(&budget, 1 << 30);
        assert_eq!(empty.bytes().len(), SMALL);
        drop(held);
        assert_eq!(grown(1 << 30).bytes().len(), LARGE);
    }
}
