//! Copies of files that this storage lacks: it fetches them from those that have them. Each storage alone changes the rows
//! of its own copies, so a copy counts when who has it says so, with the bytes durable and their checksums right.

mod attempt;
mod pulled;
mod rate;
mod resumed;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tnv_client::{ClientError, StorageClient};
use tnv_common::clock;
use tnv_common::database::DbError;
use tnv_proto::FileKey;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::attempt::fulfil;
pub(crate) use self::pulled::Pulled;
pub(crate) use self::rate::Rate;
use crate::catalog::{Backlog, PendingCopy};
use crate::metrics::StorageMetrics;
use crate::service::StorageService;

/// Between two looks for orders, if nobody tells of any.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Orders that are read at once, beside those under way.
const BATCH: usize = 64;
/// Files that somebody waits for; more are found in their turn.
const WANTED: usize = 256;

/// What the copier is told by others.
#[derive(Default)]
pub(crate) struct Orders {
    /// Files that somebody has asked for meanwhile.
    wanted: Mutex<VecDeque<FileKey>>,
    wake: Notify,
    /// What was left of them a moment ago.
    backlog: Mutex<Backlog>,
    /// Whether it was said already that there is no room.
    is_full: AtomicBool,
}

impl Orders {
    /// There may be some.
    pub(crate) fn look(&self) {
        self.wake.notify_one();
    }

    /// This one before all others.
    pub(crate) fn want(&self, key: &FileKey) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.len() < WANTED && !wanted.contains(key) {
            wanted.push_back(key.clone());
        }
        drop(wanted);
        self.look();
    }

    /// What was left of them a moment ago.
    pub(crate) fn backlog(&self) -> Backlog {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_backlog(&self, backlog: Backlog) {
        StorageMetrics::global().note_backlog(&backlog);
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
    }

    fn next_wanted(&self) -> Option<FileKey> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Fetches what this storage is ordered to have, `parallel` files at once, until `shutdown`.
pub(crate) async fn copy_all(service: Arc<StorageService>, parallel: usize, shutdown: CancellationToken) {
    let mut copier = Copier { service, parallel, running: JoinSet::new(), under_way: HashSet::new() };
    tokio::select! {
        () = copier.run() => {}
        // What is at its commit is waited for elsewhere; the rest is fetched again.
        () = shutdown.cancelled() => {}
    }
}

struct Copier {
    service: Arc<StorageService>,
    parallel: usize,
    running: JoinSet<FileKey>,
    under_way: HashSet<FileKey>,
}

impl Copier {
    async fn run(&mut self) {
        loop {
            let more = match self.start_due().await {
                Ok(more) => more,
                Err(error) => {
                    tracing::warn!(%error, "cannot read what is to be copied; trying again");
                    false
                }
            };
            let wake = self.service.clone();
            tokio::select! {
                Some(done) = self.running.join_next() => self.note(done),
                () = wake.orders.wake.notified(), if !more => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// Starts as many as may run. Whether there are more.
    async fn start_due(&mut self) -> Result<bool, DbError> {
        self.start_wanted().await?;
        if self.running.len() < self.parallel {
            let limit = u32::try_from(BATCH + self.under_way.len()).unwrap_or(u32::MAX);
            let due = self.service.files.catalog().pending(clock::unix_millis(), limit).await?;
            for order in due {
                self.start(order).await;
                self.start_wanted().await?;
            }
        }
        Ok(self.running.len() >= self.parallel)
    }

    /// Starts those that somebody waits for.
    async fn start_wanted(&mut self) -> Result<(), DbError> {
        while let Some(key) = self.service.orders.next_wanted() {
            if let Some(order) = self.service.files.catalog().pending_of(&key).await? {
                self.start(order).await;
            }
        }
        Ok(())
    }

    /// Starts one as soon as it may run, unless it is under way.
    async fn start(&mut self, order: PendingCopy) {
        if self.under_way.contains(&order.key) {
            return;
        }
        while self.running.len() >= self.parallel {
            let Some(done) = self.running.join_next().await else { break };
            self.note(done);
        }
        self.under_way.insert(order.key.clone());
        let service = self.service.clone();
        self.running.spawn(async move {
            let key = order.key.clone();
            fulfil(&service, order).await;
            key
        });
    }

    fn note(&mut self, done: Result<FileKey, tokio::task::JoinError>) {
        match done {
            Ok(key) => {
                self.under_way.remove(&key);
            }
            Err(error) => {
                tracing::error!(%error, "a copy broke down");
                // Whose it was is not known; nothing is done twice at once as long as others run.
                if self.running.is_empty() {
                    self.under_way.clear();
                }
            }
        }
    }
}

/// Looks again and again at what is left to be copied, until `shutdown`.
pub(crate) async fn watch_backlog(service: Arc<StorageService>, shutdown: CancellationToken) {
    let watch = async {
        loop {
            if let Ok(backlog) = service.files.catalog().backlog().await {
                service.orders.note_backlog(backlog);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = shutdown.cancelled() => {}
    }
}

impl StorageService {
    /// Those who have a file, in the order in which to ask them.
    pub(crate) async fn holders(&self, key: &FileKey) -> Result<Vec<StorageClient>, DbError> {
        Ok(self.peers.find(&self.files.catalog().holders(key).await?).await)
    }

    /// Notes who has failed.
    pub(crate) fn doubt(&self, error: &ClientError) {
        self.peers.doubt_all(error.out_of_reach());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_bounded_and_each_file_stands_there_once() {
        let orders = Orders::default();
        for n in 0..2 * WANTED {
            let key = FileKey::new("a", "b", &n.to_string()).unwrap();
            orders.want(&key);
            orders.want(&key);
        }
        assert_eq!(std::iter::from_fn(|| orders.next_wanted()).count(), WANTED);
    }
}
