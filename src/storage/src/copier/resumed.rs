//! Large copies: what has come of them is durable from time to time, as in uploads in parts, and outlives a broken connection
//! and this process.

use std::io;
use std::sync::Arc;

use tnv_client::StorageClient;
use tnv_proto::{ErrorCode, Failure};
use tokio::task::spawn_blocking;

use super::attempt::{Begun, CopyError, Fetched, compare, fetch, land};
use crate::catalog::PendingCopy;
use crate::digest::{Digest, Received};
use crate::pump::{Sink, write_failure};
use crate::service::StorageService;
use crate::upload::lost;
use crate::volume::{Parts, Reservation, StorePath};

/// Fetches what is missing of a file. `false`: it is not ordered any more.
pub(super) async fn copy_from(
    service: &Arc<StorageService>,
    order: &PendingCopy,
    holders: Vec<StorageClient>,
) -> Result<bool, CopyError> {
    let (parts, digest) = begin(service, order).await?;
    let path = parts.path().clone();
    let left = order.size - parts.offset();
    let Some(reservation) = Reservation::take(&path, left) else {
        let text =
            format!("no room for {left} bytes: {} has {} above reserved_space", path.written(), path.free());
        return Err(Failure::new(ErrorCode::NO_SPACE, text).into());
    };
    let received = if left > 0 {
        pull(service, order, holders, &parts, digest).await?
    } else {
        // It was all there, and its process ended before its row.
        let received = digest.finish();
        if received.blake3 != order.blake3 || received.crc32 != order.crc32 {
            remove(parts).await?;
            let text =
                format!("the bytes that came before have BLAKE3 {}: they are fetched anew", received.blake3);
            return Err(Failure::new(ErrorCode::INTERNAL, text).into());
        }
        received
    };
    let (place, _) = service.next_place(&path).await?;
    let (linked, link) = (parts.clone(), place.clone());
    blocking(&path, move || linked.link_to(&link)).await?;
    let landed = land(service, order, (path, place), reservation, received.sums).await?;
    if landed {
        remove(parts).await?;
    }
    Ok(landed)
}

/// What has come of the file before, with the checksums as far as it goes; or nothing yet.
async fn begin(service: &StorageService, order: &PendingCopy) -> Result<(Parts, Digest), CopyError> {
    let (volume, key, blake3, size) = (service.volume.clone(), order.key.clone(), order.blake3, order.size);
    let found = spawn_blocking(move || {
        let found = Parts::find_copy(&volume, &key, &blake3)?.filter(|parts| parts.new_upload().size == size);
        found.map(|parts| io::Result::Ok((parts.digest()?, parts))).transpose()
    });
    match found.await.map_err(lost)? {
        Ok(Some((digest, parts))) => {
            tracing::info!(file = %order.key, offset = parts.offset(), size, "a copy goes on");
            return Ok((parts, digest));
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(file = %order.key, %error, "what has come of a copy cannot be read: it begins anew")
        }
    }
    // The room is not kept by it: see `copy_from`.
    let path = service.volume.reserve(size)?.path().clone();
    let (begun, key) = (path.clone(), order.key.clone());
    let parts = blocking(&path, move || Parts::begin_copy(&begun, key, size, &blake3)).await?;
    Ok((parts, Digest::default()))
}

/// Fetches the rest. What comes before a break stays; all of it goes if it is not the file.
async fn pull(
    service: &Arc<StorageService>,
    order: &PendingCopy,
    holders: Vec<StorageClient>,
    parts: &Parts,
    digest: Digest,
) -> Result<Received, CopyError> {
    let opened = parts.clone();
    let sink = blocking(parts.path(), move || opened.writer()).await?.leaving_cache();
    let begun = Begun { sink, offset: parts.offset(), digest };
    let Fetched { sink, received, senders } = fetch(service, order, holders, begun).await?;
    let (writer, why) = match sink {
        Ok(writer) => (Some(writer), None),
        Err(broken) => (broken.sink, Some(broken.why)),
    };
    let is_whole = why.is_none();
    if let Some(mut writer) = writer {
        let ended = spawn_blocking(move || {
            let ended = if is_whole { Ok(()) } else { writer.end() };
            writer.close();
            ended
        });
        if let Err(error) = ended.await.map_err(lost)? {
            tracing::warn!(file = %order.key, %error, "the last bytes of a copy that broke off are not kept");
        }
    }
    if let Some(why) = why {
        return Err(why.into());
    }
    let compared = compare(order, &received, &senders);
    if compared.is_err() {
        remove(parts.clone()).await?;
    }
    compared.map(|()| received)
}

/// Removes what has come of a file that is not wanted any more.
pub(super) async fn forget(service: &StorageService, order: &PendingCopy) {
    let (volume, key, blake3) = (service.volume.clone(), order.key.clone(), order.blake3);
    let forgotten = spawn_blocking(move || match Parts::find_copy(&volume, &key, &blake3)? {
        Some(parts) => parts.remove(),
        None => Ok(()),
    });
    if let Ok(Err(error)) = forgotten.await {
        // It expires.
        tracing::warn!(file = %order.key, %error, "cannot remove what has come of a copy");
    }
}

async fn remove(parts: Parts) -> Result<(), CopyError> {
    let path = parts.path().clone();
    blocking(&path, move || parts.remove()).await
}

/// Runs blocking work on a store path, whose fault an error is.
async fn blocking<T: Send + 'static>(
    path: &StorePath,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CopyError> {
    let outcome = spawn_blocking(work).await.map_err(lost)?;
    outcome.map_err(|error| write_failure(path, &error).into())
}
