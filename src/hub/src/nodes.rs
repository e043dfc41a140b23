//! The registry as the hub's tasks share it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::registry::Registry;

/// The nodes. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Nodes(Arc<Mutex<Registry>>);

impl Nodes {
    pub(crate) fn new(registry: Registry) -> Nodes {
        Nodes(Arc::new(Mutex::new(registry)))
    }

    /// Never for long: nothing in it waits.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
