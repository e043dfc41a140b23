//! One try to get one copy: the bytes into a temporary name with checksums in passing, sync, rows, final name. The order goes with
//! the transaction of the rows, so a crash before costs no more than the bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tnv_client::{ClientError, Download, StorageClient};
use tnv_common::clock;
use tnv_common::connection::Interrupt;
use tnv_common::database::DbError;
use tnv_proto::{ErrorCode, Failure};
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use super::pulled::Pulled;
use super::rate::Paced;
use super::resumed;
use crate::catalog::{LandedCopy, PendingCopy};
use crate::commit::{Placed, conclude};
use crate::digest::{Digest, Received};
use crate::layout::Place;
use crate::metrics::StorageMetrics;
use crate::pump::{BrokenOff, Flow, Head, Sink, pump};
use crate::service::StorageService;
use crate::sums::Sums;
use crate::upload::{keep_sums, lost};
use crate::volume::{Incoming, Reservation, StorePath};

/// How long a file waits that could not be fetched: from the first to the second value, doubling.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// From this size on, in bytes, what has come of a file is gone on with after a break or a restart. Smaller ones are there
/// again sooner than it would take to look.
const RESUMED_FROM: u64 = 64 * 1024 * 1024;
/// The longest that a file waits which nobody gives: who has it may be back at any time.
const ABSENCE: Duration = Duration::from_secs(15);

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
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
            // An id server or the database that is away may be back as well.
            CopyError::Here(failure) if failure.code == ErrorCode::UNAVAILABLE => ABSENCE,
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

/// Makes one copy, or has it wait.
pub(super) async fn fulfil(service: &Arc<StorageService>, order: PendingCopy) {
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
        Ok(false) => {
            tracing::debug!(file = %order.key, "a copy is not wanted any more");
            if order.size >= RESUMED_FROM {
                resumed::forget(service, &order).await;
            }
        }
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
    if order.size >= RESUMED_FROM {
        return resumed::copy_from(service, order, holders).await;
    }
    let reservation = service.volume.reserve(order.size)?;
    let (place, _) = service.next_place(reservation.path()).await?;
    let incoming = Incoming::new(reservation.path().clone(), place, order.size);
    let Fetched { sink, received, senders } = fetch(service, order, holders, Begun::with(incoming)).await?;
    let incoming = sink.map_err(|broken| broken.why)?;
    if let Err(wrong) = compare(order, &received, &senders) {
        let _ = spawn_blocking(move || incoming.remove()).await;
        return Err(wrong);
    }
    let (names, place) = incoming.hand_over();
    land(service, order, (names, place), reservation, received.sums).await
}

/// Where a file goes, and what is there of it.
pub(super) struct Begun<S> {
    pub(super) sink: S,
    pub(super) offset: u64,
    /// Of the bytes before the offset.
    pub(super) digest: Digest,
}

impl<S> Begun<S> {
    /// Nothing is there yet.
    fn with(sink: S) -> Begun<S> {
        Begun { sink, offset: 0, digest: Digest::default() }
    }
}

/// A file that has come, or as much of it as came.
pub(super) struct Fetched<S> {
    pub(super) sink: Result<S, BrokenOff<S>>,
    pub(super) received: Received,
    /// The addresses of those whose bytes are among these.
    pub(super) senders: Vec<String>,
}

/// Moves what is missing of a file into the sink, with the checksums in passing. It takes no lock and reads no row, and so
/// stands back behind what clients wait for.
pub(super) async fn fetch<S: Sink>(
    service: &Arc<StorageService>,
    order: &PendingCopy,
    holders: Vec<StorageClient>,
    begun: Begun<S>,
) -> Result<Fetched<S>, CopyError> {
    let (owner, order) = (service.clone(), order.clone());
    let fetching = async move { fetch_here(&owner, &order, holders, begun).await };
    match &service.background {
        Some(background) => {
            AbortOnDropHandle::new(background.handle().spawn(fetching)).await.map_err(lost)?
        }
        None => fetching.await,
    }
}

async fn fetch_here<S: Sink>(
    service: &StorageService,
    order: &PendingCopy,
    holders: Vec<StorageClient>,
    begun: Begun<S>,
) -> Result<Fetched<S>, CopyError> {
    let Begun { sink, offset, mut digest } = begun;
    let opened = Download::from_storages(holders, &order.key, offset, 0, order.blake3).await;
    let mut pulled = Pulled::new(opened.inspect_err(|error| service.doubt(error))?);
    let offered = offset.saturating_add(pulled.size());
    if offered != order.size {
        let text = format!("{offered} bytes are offered, the catalog says {}", order.size);
        return Err(wrong(text, pulled.senders()));
    }
    let len = pulled.left();
    let flow = Flow { budget: &service.buffers, counters: &service.counters, digest: Some(&mut digest) };
    let mut paced = Paced { supply: &mut pulled, rate: &service.fill_rate };
    let sink = pump(&mut paced, Head::default(), len, sink, flow).await;
    service.peers.doubt_all(pulled.take_broken());
    Ok(Fetched { sink, received: digest.finish(), senders: pulled.senders().to_vec() })
}

/// Whether what came is the file.
pub(super) fn compare(order: &PendingCopy, received: &Received, senders: &[String]) -> Result<(), CopyError> {
    if received.blake3 == order.blake3 && received.crc32 == order.crc32 {
        return Ok(());
    }
    let text = format!("the bytes have BLAKE3 {}, the catalog says {}", received.blake3, order.blake3);
    Err(wrong(text, senders))
}

/// The rows of a copy that is durable under its temporary name, and then its final name. `false`: it is not ordered any
/// more, and gone.
pub(super) async fn land(
    service: &Arc<StorageService>,
    order: &PendingCopy,
    (names, place): (Arc<StorePath>, Place),
    reservation: Reservation,
    sums: Sums,
) -> Result<bool, CopyError> {
    keep_sums(&names, &place, sums, (order.size, order.blake3)).await;
    let copy = LandedCopy {
        key: order.key.clone(),
        blake3: order.blake3,
        path_index: names.index(),
        path: place.path(),
    };
    let placed = Placed { key: order.key.clone(), names, place, reservation: Some(reservation) };
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
fn wrong(text: String, senders: &[String]) -> CopyError {
    StorageMetrics::global().wrong_copies.inc();
    CopyError::Wrong { text, from: senders.to_vec() }
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
        let away = CopyError::Here(Failure::new(ErrorCode::UNAVAILABLE, "no number"));
        assert_eq!(pauses(&away), pauses(&CopyError::NoHolder));
        assert_eq!(here.back_off(0, 0.5), Duration::from_millis(500));
    }
}
