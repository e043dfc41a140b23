//! What trackers said last, for the time when none of them answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tnv_proto::{AppId, StorageAddresses, UserId};

/// Users that are remembered at most; beyond it all are forgotten, and those in use come back at once.
const MAX_USERS: usize = 10_000;

/// The last answer for each user. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Located(Arc<Mutex<HashMap<(AppId, UserId), StorageAddresses>>>);

impl Located {
    pub(crate) fn remember(&self, app: &AppId, user: &UserId, answer: StorageAddresses) {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= MAX_USERS {
            users.clear();
        }
        users.insert((app.clone(), user.clone()), answer);
    }

    pub(crate) fn recall(&self, app: &AppId, user: &UserId) -> Option<StorageAddresses> {
        let users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        users.get(&(app.clone(), user.clone())).cloned()
    }
}
