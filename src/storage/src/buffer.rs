//! Memory for transfers. Each has a small buffer; those that move fast get large ones as long as the budget lasts, so
//! that a thousand stalled clients cost little and a fast one few system calls.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every transfer has.
pub(crate) const SMALL: usize = 16 * 1024;
/// What a transfer that fills its buffer gets.
pub(crate) const LARGE: usize = 256 * 1024;
/// What one gets that writes past the page cache, where each piece is a trip to the disk.
pub(crate) const HUGE: usize = 1024 * 1024;
/// Buffers begin where a page of memory does, so that disks can take bytes out of them.
pub(crate) const ALIGNMENT: usize = 4096;

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
        self.shares(LARGE)
    }

    /// Memory for this many bytes.
    fn shares(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(u32::try_from(bytes.div_ceil(LARGE)).ok()?).ok()
    }
}

/// A transfer's buffer; its share of the budget goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    /// Where in the memory a large buffer begins.
    start: usize,
    len: usize,
    share: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// A small buffer, or smaller if no more than `needed` bytes will come.
    pub(crate) fn small(needed: u64) -> Buffer {
        let len = usize::try_from(needed).unwrap_or(usize::MAX).min(SMALL);
        Buffer::of(len, None)
    }

    /// Makes it large, if `needed` bytes are worth it and the budget allows, or else at least small. Large is what is
    /// `wanted`, or [`LARGE`] if there is less left.
    pub(crate) fn grow(&mut self, budget: &Budget, needed: u64, wanted: usize) {
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        if self.share.is_some() || needed.min(LARGE) <= self.len {
            return;
        }
        let share = |len| Some((len, budget.shares(len)?));
        match share(needed.min(wanted)).or_else(|| share(needed.min(LARGE))) {
            Some((len, share)) => *self = Buffer::of(len, Some(share)),
            None if needed.min(SMALL) > self.len => *self = Buffer::small(needed as u64),
            None => {}
        }
    }

    /// Makes it small, if it is less; or less, if no more than `needed` bytes will come.
    pub(crate) fn ensure_small(&mut self, needed: u64) {
        if self.len == 0 {
            *self = Buffer::small(needed);
        }
    }

    /// The memory.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }

    /// Its first `len` bytes.
    pub(crate) fn filled(&self, len: usize) -> &[u8] {
        &self.memory[self.start..][..len]
    }

    fn of(len: usize, share: Option<OwnedSemaphorePermit>) -> Buffer {
        let spare = if len < LARGE { 0 } else { ALIGNMENT - 1 };
        let memory = vec![0; len + spare];
        let start = if spare == 0 { 0 } else { memory.as_ptr().addr().wrapping_neg() % ALIGNMENT };
        Buffer { memory, start, len, share }
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes()
    }
}

impl From<Vec<u8>> for Buffer {
    /// A small buffer with something in it.
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer { len: bytes.len(), memory: bytes, start: 0, share: None }
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
            buffer.grow(&budget, needed, LARGE);
            buffer
        };
        assert_eq!(grown(10).bytes().len(), 10);
        let mut held = [grown(1 << 30), grown(1 << 30), grown(1 << 30)];
        assert_eq!(held.each_mut().map(|buffer| buffer.bytes().len()), [LARGE, LARGE, SMALL]);
        let mut empty = Buffer::small(0);
        empty.grow(&budget, 1 << 30, LARGE);
        assert_eq!(empty.bytes().len(), SMALL);
        drop(held);
        assert_eq!(grown(1 << 30).bytes().len(), LARGE);
    }
    #[test]
    fn who_wants_more_gets_it_while_there_is_enough() {
        let budget = Budget::new((HUGE + LARGE) as u64);
        let grown = || {
            let mut buffer = Buffer::small(SMALL as u64);
            buffer.grow(&budget, 1 << 30, HUGE);
            buffer
        };
        let mut held = [grown(), grown(), grown()];
        assert_eq!(held.each_mut().map(|buffer| buffer.bytes().len()), [HUGE, LARGE, SMALL]);
        assert!(held[..2].iter_mut().all(|buffer| buffer.bytes().as_ptr().addr().is_multiple_of(ALIGNMENT)));
    }
}
