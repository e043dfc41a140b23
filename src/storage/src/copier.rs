//! Copies of files that this storage lacks: it fetches them from those that have them. Each storage alone changes the rows
//! of its own copies, so a copy counts when who has it says so, with the bytes durable and their checksums right.

mod pulled;
mod rate;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tnv_client::{ClientError, Download, StorageClient};
use tnv_common::clock;
use tnv_common::connection::Interrupt;
use tnv_common::database::DbError;
use tnv_proto::{ErrorCode, Failure, FileKey};
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

pub(crate) use self::pulled::Pulled;
use self::rate::Paced;
pub(crate) use self::rate::Rate;
use crate::catalog::{Backlog, LandedCopy, PendingCopy};
use crate::commit::{Placed, conclude};
use crate::digest::Digest;
use crate::metrics::StorageMetrics;
use crate::pump::{Flow, Head, pump};
use crate::service::StorageService;
use crate::upload::lost;
use crate::volume::Incoming;

/// Between two looks for orders, if nobody tells of any.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a file waits that could not be fetched: from the first to the second value, doubling.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// The longest that a file waits which nobody gives: who has it may be back at any time.
const ABSENCE: Duration = Duration::from_secs(15);
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

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Catalog(#[from] DbError),
    /// Whoever has it is away.
    #[error("none of those who have it is known to be reachable")]
    NoHolder,
    #[error(transparent)]
    Peer(#[from] ClientError),
    /// What came is not the file.
    #[error("{text}, from {}", from.join(" and "))]
    Wrong {
        /// What is wrong.
        text: String,
        /// Whose bytes they were.
        from: Vec<String>,
    },
    /// There is no room or no number, or the disk failed.
    #[error("{}", .0.text)]
    Here(Failure),
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl CopyError {
    /// How long the file waits after so many tries; `share` of it, so that many do not come at once.
    fn back_off(&self, tries: u32, share: f64) -> Duration {
        let longest = match self {
            CopyError::NoHolder | CopyError::Peer(_) | CopyError::Broken(_) => ABSENCE,
            CopyError::Catalog(_) | CopyError::Wrong { .. } | CopyError::Here(_) => BACK_OFF.1,
        };
        BACK_OFF.0.saturating_mul(1 << tries.min(16)).min(longest).mul_f64(share)
    }

    fn is_no_space(&self) -> bool {
        matches!(self, CopyError::Here(failure) if failure.code == ErrorCode::NO_SPACE)
    }
}

impl From<Failure> for CopyError {
    fn from(failure: Failure) -> Self {
        CopyError::Here(failure)
    }
}

impl From<Interrupt> for CopyError {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Refused(failure) => CopyError::Here(failure),
            Interrupt::Broken(error) => CopyError::Broken(error),
        }
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

/// Makes one copy, or has it wait.
async fn fulfil(service: &Arc<StorageService>, order: PendingCopy) {
    let metrics = StorageMetrics::global();
    match copy(service, &order).await {
        Ok(true) => {
            metrics.copies.inc();
            service.orders.is_full.store(false, Ordering::Relaxed);
            metrics.copied_bytes.inc_by(order.size);
            service.files.evict(&order.key).await;
            service.leftovers.notify_one();
            tracing::info!(file = %order.key, size = order.size, "copied");
        }
        Ok(false) => tracing::debug!(file = %order.key, "a copy is not wanted any more"),
        Err(error) => {
            metrics.failed_copies.inc();
            postpone(service, &order, &error).await;
        }
    }
}

/// Has a file wait that could not be fetched, so that it holds up no other.
async fn postpone(service: &Arc<StorageService>, order: &PendingCopy, error: &CopyError) {
    let pause = error.back_off(order.tries, rand::rng().random_range(0.5..1.0));
    // A full disk is the same for all of them.
    if error.is_no_space() && service.orders.is_full.swap(true, Ordering::Relaxed) {
        tracing::debug!(file = %order.key, %error, "a file was not copied");
    } else {
        tracing::warn!(file = %order.key, tries = order.tries + 1, ?pause, %error, "a file was not copied");
    }
    let next_try_ms =
        clock::unix_millis().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
    if let Err(error) = service.files.catalog().postpone(&order.key, next_try_ms).await {
        tracing::warn!(file = %order.key, %error, "cannot postpone a copy");
        // Not in a tight loop.
        tokio::time::sleep(BACK_OFF.0).await;
    }
}

/// Fetches a file. `false`: it is not ordered any more.
async fn copy(service: &Arc<StorageService>, order: &PendingCopy) -> Result<bool, CopyError> {
    let holders = service.holders(&order.key).await?;
    if holders.is_empty() {
        // It may have been deleted meanwhile.
        return match service.files.catalog().pending_of(&order.key).await? {
            Some(_) => Err(CopyError::NoHolder),
            None => Ok(false),
        };
    }
    match copy_from(service, order, holders.clone()).await {
        Err(wrong @ CopyError::Wrong { .. }) if holders.len() > 1 => {
            tracing::warn!(file = %order.key, error = %wrong, "wrong bytes came; each who has it is asked alone");
            let mut last = wrong;
            for holder in holders {
                match copy_from(service, order, vec![holder.clone()]).await {
                    Ok(landed) => return Ok(landed),
                    Err(error) => {
                        tracing::warn!(file = %order.key, holder = holder.address(), %error, "not from this one");
                        last = error;
                    }
                }
            }
            Err(last)
        }
        result => result,
    }
}

async fn copy_from(
    service: &Arc<StorageService>,
    order: &PendingCopy,
    holders: Vec<StorageClient>,
) -> Result<bool, CopyError> {
    let PendingCopy { key, size, blake3, crc32, .. } = order;
    let reservation = service.volume.reserve(*size)?;
    let opened = Download::from_storages(holders, key, 0, 0, *blake3).await;
    let download = opened.inspect_err(|error| service.doubt(error))?;
    let mut pulled = Pulled::new(download);
    if pulled.size() != *size {
        let text = format!("{} bytes are offered, the catalog says {size}", pulled.size());
        return Err(wrong(text, &pulled));
    }
    let (place, _) = service.next_place(reservation.path()).await?;
    let incoming = Incoming::new(reservation.path().clone(), place, *size);
    let mut digest = Digest::default();
    let flow = Flow { budget: &service.buffers, counters: &service.counters, digest: Some(&mut digest) };
    let mut paced = Paced { supply: &mut pulled, rate: &service.fill_rate };
    let pumped = pump(&mut paced, Head::default(), *size, incoming, flow).await;
    service.peers.doubt_all(pulled.take_broken());
    let incoming = pumped.map_err(|broken| broken.why)?;
    let received = digest.finish();
    if received.blake3 != *blake3 || received.crc32 != *crc32 {
        let _ = spawn_blocking(move || incoming.remove()).await;
        let text = format!("the bytes have BLAKE3 {}, the catalog says {blake3}", received.blake3);
        return Err(wrong(text, &pulled));
    }
    let (names, place) = incoming.hand_over();
    let copy =
        LandedCopy { key: key.clone(), blake3: *blake3, path_index: names.index(), path: place.path() };
    let placed = Placed { key: key.clone(), names, place, reservation: Some(reservation) };
    let files = service.files.clone();
    // Begun it is finished, also by a stop.
    let landing = service.commits.spawn(async move {
        let outcome = files.catalog().land(copy).await;
        conclude(files, placed, outcome).await
    });
    match landing.await.map_err(lost)? {
        Ok(()) => Ok(true),
        Err(Interrupt::Refused(failure)) if failure.code == ErrorCode::CONFLICT => Ok(false),
        Err(interrupt) => Err(interrupt.into()),
    }
}

/// What came is not the file.
fn wrong(text: String, pulled: &Pulled) -> CopyError {
    StorageMetrics::global().wrong_copies.inc();
    CopyError::Wrong { text, from: pulled.senders().to_vec() }
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
    fn a_file_that_fails_waits_longer_each_time_and_not_for_ever() {
        let pauses = |error: &CopyError| {
            [0, 1, 2, 9, 10, 40, u32::MAX].map(|tries| error.back_off(tries, 1.0).as_secs())
        };
        let here = CopyError::Here(Failure::new(ErrorCode::NO_SPACE, "no room"));
        assert_eq!(pauses(&here), [1, 2, 4, 512, 600, 600, 600]);
        assert_eq!(pauses(&CopyError::NoHolder), [1, 2, 4, 15, 15, 15, 15]);
        assert_eq!(here.back_off(0, 0.5), Duration::from_millis(500));
    }

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
