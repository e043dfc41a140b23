//! What this storage has done since it was started.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, read by the heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) uploads: Counter,
    pub(crate) downloads: Counter,
    pub(crate) deletes: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
