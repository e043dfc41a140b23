//! How much room a store path has, and promises of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StorePath;

/// Room as last measured, and what has been promised since.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Figures>);

#[derive(Debug, Default)]
struct Figures {
    free: u64,
    /// Bytes of all uploads that run now.
    reserved: u64,
    /// Bytes promised since `free` was measured; never less than what is really missing from `free`.
    taken: u64,
}

impl Room {
    /// Bytes that nobody was promised.
    pub(super) fn free(&self) -> u64 {
        let figures = self.figures();
        figures.free.saturating_sub(figures.taken)
    }

    /// Takes the system's figure, which `ask` gets. What is promised meanwhile may or may not be in its answer: it
    /// counts as missing.
    pub(super) fn measure<E>(&self, ask: impl FnOnce() -> Result<u64, E>) -> Result<(), E> {
        let (reserved, taken) = {
            let figures = self.figures();
            (figures.reserved, figures.taken)
        };
        let free = ask()?;
        let mut figures = self.figures();
        figures.free = free;
        figures.taken = reserved + figures.taken.saturating_sub(taken);
        Ok(())
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room set aside for one upload; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    path: Arc<StorePath>,
    size: u64,
    kept: bool,
}

impl Reservation {
    /// Sets `size` bytes aside; `None` when there are not so many above the reserved space.
    pub fn take(path: &Arc<StorePath>, size: u64) -> Option<Reservation> {
        let mut figures = path.room().figures();
        let free = figures.free.saturating_sub(figures.taken).saturating_sub(path.reserved_space());
        if size > free {
            return None;
        }
        figures.reserved += size;
        figures.taken += size;
        drop(figures);
        Some(Reservation { path: path.clone(), size, kept: false })
    }

    /// The store path it is in.
    pub fn path(&self) -> &Arc<StorePath> {
        &self.path
    }

    /// The bytes are on the disk and stay there.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut figures = self.path.room().figures();
        figures.reserved = figures.reserved.saturating_sub(self.size);
        if !self.kept {
            figures.taken = figures.taken.saturating_sub(self.size);
        }
    }
}
