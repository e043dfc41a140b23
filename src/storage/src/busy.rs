//! One writer at a time for an upload in parts: in this process, and among all storages that share the volume.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tnv_common::connection::Interrupt;
use tnv_common::disk::drop_aside;
use tnv_proto::{ErrorCode, Failure, FileKey};
use tokio::task::spawn_blocking;

use crate::pump::write_failure;
use crate::upload::lost;
use crate::volume::{PartsLock, Volume};

/// Uploads in parts that somebody is writing to right now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Busy(Arc<Mutex<HashSet<FileKey>>>);

impl Busy {
    /// Keeps everybody else out until the guard leaves or is dropped.
    ///
    /// # Errors
    /// 423 when somebody is in; what the store path's failure comes to.
    pub(crate) async fn enter(&self, volume: &Arc<Volume>, key: &FileKey) -> Result<Guard, Interrupt> {
        if !volume.is_shared() {
            return Ok(self.enter_blocking(volume, key)?);
        }
        let (busy, volume, key) = (self.clone(), volume.clone(), key.clone());
        let entering = spawn_blocking(move || busy.enter_blocking(&volume, &key));
        Ok(entering.await.map_err(lost)??)
    }

    /// The same on a blocking thread.
    pub(crate) fn enter_blocking(&self, volume: &Volume, key: &FileKey) -> Result<Guard, Failure> {
        if !self.keys().insert(key.clone()) {
            return Err(locked(key));
        }
        let entry = Entry { busy: self.clone(), key: key.clone() };
        match PartsLock::take(volume, key) {
            Ok(Some(lock)) => Ok(Guard(Some(Inside { lock, _entry: entry }))),
            Ok(None) => Err(locked(key)),
            Err((path, error)) => Err(write_failure(path, &error)),
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<FileKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal for an upload that somebody else is writing to.
pub(crate) fn locked(key: &FileKey) -> Failure {
    let text = format!("somebody else is writing to {key}; try again when that has ended");
    Failure::new(ErrorCode::LOCKED, text)
}

/// Keeps others out.
pub(crate) struct Guard(Option<Inside>);

/// Dropped in this order: whoever is let in here next must find the file unlocked.
struct Inside {
    lock: PartsLock,
    _entry: Entry,
}

struct Entry {
    busy: Busy,
    key: FileKey,
}

impl Guard {
    /// Lets others in; when this returns they may come.
    pub(crate) async fn leave(mut self) {
        match self.0.take() {
            Some(inside) if inside.lock.is_held() => {
                let _ = spawn_blocking(move || drop(inside)).await;
            }
            inside => drop(inside),
        }
    }

    /// The same on a blocking thread.
    pub(crate) fn leave_blocking(mut self) {
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.0.take() {
            Some(inside) if inside.lock.is_held() => drop_aside(inside),
            inside => drop(inside),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.busy.keys().remove(&self.key);
    }
}
