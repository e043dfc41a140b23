//! Uploads in parts that nobody could go on with: they are forgotten at once, not when they expire.

use std::time::Duration;

use tnv_client::{Client, ClientError};
use tnv_proto::{ErrorCode, FileKey};
use tokio::time::sleep;

/// How often a storage is asked again to forget what somebody is writing to, and how soon: a client that is gone leaves
/// bytes on their way.
const TRIES: usize = 15;
const PAUSE: Duration = Duration::from_secs(2);

/// An upload that is forgotten unless it is kept, even if its client is gone and the future dropped.
pub(crate) struct Unfinished {
    /// `None` once it is kept.
    upload: Option<(Client, FileKey)>,
}

impl Unfinished {
    /// One that begins now.
    pub(crate) fn new(client: &Client, key: &FileKey) -> Unfinished {
        Unfinished { upload: Some((client.clone(), key.clone())) }
    }

    /// Leaves it to its client; or it has become a file, or was never begun.
    pub(crate) fn keep(mut self) {
        self.upload = None;
    }

    /// Forgets it now; in the background if somebody still writes to it.
    pub(crate) async fn forget(mut self) {
        if let Some((client, key)) = &self.upload {
            let outcome = client.discard(key).await;
            if !is_locked(&outcome) {
                tell(key, outcome);
                self.upload = None;
            }
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some((client, key)) = self.upload.take() {
            tokio::spawn(forget(client, key));
        }
    }
}

async fn forget(client: Client, key: FileKey) {
    for _ in 1..TRIES {
        let outcome = client.discard(&key).await;
        if !is_locked(&outcome) {
            return tell(&key, outcome);
        }
        sleep(PAUSE).await;
    }
    tell(&key, client.discard(&key).await);
}

fn is_locked(outcome: &Result<(), ClientError>) -> bool {
    outcome.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::LOCKED))
}

fn tell(key: &FileKey, outcome: Result<(), ClientError>) {
    match outcome {
        Ok(()) => tracing::debug!(%key, "an upload that broke off was forgotten"),
        Err(error) if error.is_not_found() => {}
        // The storage forgets it by itself after a while.
        Err(error) => tracing::info!(%key, %error, "an upload that broke off was not forgotten"),
    }
}
