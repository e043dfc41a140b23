//! What trackers said of where the files of each user are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tnv_proto::{AppId, StorageAddresses, UserId};

use crate::StorageClient;

/// Users that are remembered at most; beyond it all are forgotten, and those in use come back at once.
const MAX_USERS: usize = 10_000;

/// A tracker's answer for one user.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) answer: StorageAddresses,
    /// The same as clients, in the same order.
    pub(crate) storages: Arc<[StorageClient]>,
    told: Instant,
    /// How often it was used: a tracker begins with another storage each time, and so does its answer.
    uses: AtomicUsize,
}

impl Place {
    pub(crate) fn new(answer: StorageAddresses, storages: Arc<[StorageClient]>) -> Place {
        Place { answer, storages, told: Instant::now(), uses: AtomicUsize::new(0) }
    }

    /// Which storage to begin with this time.
    pub(crate) fn turn(&self) -> usize {
        self.uses.fetch_add(1, Ordering::Relaxed) % self.storages.len().max(1)
    }
}

/// The last answer for each user: taken for true while it is young, and when no tracker answers. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    users: Arc<Mutex<Users>>,
    ttl: Duration,
}

#[derive(Debug, Default)]
struct Users {
    // Two levels, so that a look-up needs no key of its own.
    apps: HashMap<AppId, HashMap<UserId, Entry>>,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    place: Arc<Place>,
    /// Whether something was wrong with it.
    doubted: bool,
}

impl Located {
    pub(crate) fn new(ttl: Duration) -> Located {
        Located { users: Arc::default(), ttl }
    }

    pub(crate) fn remember(&self, app: &AppId, user: &UserId, place: Arc<Place>) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len >= MAX_USERS {
            *users = Users::default();
        }
        let of_app = users.apps.entry(app.clone()).or_default();
        if of_app.insert(user.clone(), Entry { place, doubted: false }).is_none() {
            users.len += 1;
        }
    }

    /// What was said recently.
    pub(crate) fn recent(&self, app: &AppId, user: &UserId) -> Option<Arc<Place>> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = users.apps.get(app)?.get(user)?;
        (!entry.doubted && entry.place.told.elapsed() < self.ttl).then(|| Arc::clone(&entry.place))
    }

    /// What was said last, however long ago.
    pub(crate) fn recall(&self, app: &AppId, user: &UserId) -> Option<Arc<Place>> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&users.apps.get(app)?.get(user)?.place))
    }

    /// Has a tracker asked the next time.
    pub(crate) fn doubt(&self, app: &AppId, user: &UserId) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = users.apps.get_mut(app).and_then(|users| users.get_mut(user)) {
            entry.doubted = true;
        }
    }
}
