//! One package on its way from the hub: only what is nowhere here is fetched, everything is checked, and what takes the
//! place of the old one is whole.

mod fetch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tnv_package::MeetingId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Network;
use crate::draft::{self, Draft};
use crate::hub::{Hub, HubError, Told};
use crate::package::{self, Package};
use crate::plan::{self, Origin};

use fetch::Fetch;

/// Why a package has not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// The hub, or what it says.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The bytes of a member are other than the manifest says, however often it is fetched.
    #[error("the bytes of {path:?} are not those that the hub's manifest says")]
    Wrong { path: String },
    /// There is no room for it.
    #[error("there is no room for {need} more bytes: {reason}")]
    Full { need: u64, reason: &'static str },
    /// The disk.
    #[error("cannot write the package: {0}")]
    Io(#[from] std::io::Error),
    /// What is here is not what its manifest says.
    #[error("the package on the disk is damaged: {0}")]
    Damaged(String),
    /// The node stops, or its storage is another one now.
    #[error("the node has stopped pulling it")]
    Cancelled,
    /// Something broke that should not.
    #[error("a task broke: {0}")]
    Broken(String),
}

impl PullError {
    /// Whether the disk has no room.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            PullError::Full { .. } => true,
            PullError::Io(error) => draft::is_full(error),
            _ => false,
        }
    }
}

/// Everything that pulls have in common.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) hub: Arc<Hub>,
    pub(crate) network: Network,
    /// One for each member that may be on its way.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) cancel: CancellationToken,
}

/// How far a pull has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes that had to be fetched, once that is known.
    pub(crate) wanted: AtomicU64,
    /// Bytes that were fetched, those that had to be thrown away included.
    pub(crate) fetched: AtomicU64,
}

/// Makes a draft whole and publishes it.
///
/// # Errors
/// [`PullError`]; what has come stays for the next time.
pub(crate) async fn complete(
    draft: &Arc<Draft>,
    told: &Told,
    before: Option<Arc<Package>>,
    means: &Means,
    progress: &Arc<Progress>,
) -> Result<Package, PullError> {
    let origins = take_over(draft.clone(), before).await?;
    let wanted = |(index, origin): (usize, &Origin)| match origin {
        Origin::Fetched => draft.member(index).map_or(0, |member| member.size),
        _ => 0,
    };
    progress.wanted.store(origins.iter().enumerate().map(wanted).sum(), Ordering::Relaxed);
    fetch_all(draft, told, &origins, means, progress).await?;
    let (draft, now_ms) = (draft.clone(), tnv_common::clock::unix_millis());
    blocking(move || {
        repeat_all(&draft, &origins)?;
        draft.publish(now_ms).inspect_err(|error| {
            if error.kind() == std::io::ErrorKind::InvalidData {
                draft.discard();
            }
        })
    })
    .await
}

/// Copies what is here already. What cannot be had that way, or turns out to be wrong, is to be fetched.
async fn take_over(draft: Arc<Draft>, before: Option<Arc<Package>>) -> Result<Vec<Origin>, PullError> {
    blocking(move || {
        let quarries = draft.quarries(before.as_deref())?;
        let sources: Vec<plan::Source> = quarries.iter().map(|quarry| quarry.source.clone()).collect();
        let contents = package::contents(&draft.layout);
        let mut origins = plan::plan(&contents, |index| draft.verified.has(index), &sources);
        for (index, origin) in origins.iter_mut().enumerate() {
            let Origin::Copied { source, at } = *origin else { continue };
            let Some(quarry) = quarries.get(source) else { continue };
            *origin = if draft.copy(index, quarry.file.file(), at)? { Origin::Kept } else { Origin::Fetched };
        }
        Ok(origins)
    })
    .await
}

/// Fetches what is missing, several members at once. The first failure ends it.
async fn fetch_all(
    draft: &Arc<Draft>,
    told: &Told,
    origins: &[Origin],
    means: &Means,
    progress: &Arc<Progress>,
) -> Result<(), PullError> {
    let mut tasks = JoinSet::new();
    for (index, _) in origins.iter().enumerate().filter(|(_, origin)| **origin == Origin::Fetched) {
        let permit = tokio::select! {
            biased;
            () = means.cancel.cancelled() => return Err(PullError::Cancelled),
            Some(ended) = tasks.join_next() => {
                settled(ended)?;
                // It has given its permit back.
                means.permits.clone().acquire_owned().await
            }
            permit = means.permits.clone().acquire_owned() => permit,
        };
        let permit = permit.map_err(|_| PullError::Cancelled)?;
        let place = told.places.get(index).cloned().unwrap_or_default();
        let fetch = Fetch {
            draft: draft.clone(),
            index,
            place,
            hub: means.hub.clone(),
            network: means.network.clone(),
            progress: progress.clone(),
        };
        tasks.spawn(async move {
            let fetched = fetch.run().await;
            drop(permit);
            fetched
        });
    }
    loop {
        tokio::select! {
            biased;
            () = means.cancel.cancelled() => return Err(PullError::Cancelled),
            ended = tasks.join_next() => match ended {
                Some(ended) => settled(ended)?,
                None => return Ok(()),
            },
        }
    }
}

/// Copies members that stand in the package more than once.
fn repeat_all(draft: &Draft, origins: &[Origin]) -> std::io::Result<()> {
    for (index, origin) in origins.iter().enumerate() {
        if let Origin::Like(like) = origin {
            // Should it be wrong, the last look at the whole finds that.
            draft.repeat(index, *like)?;
        }
    }
    Ok(())
}

fn settled(ended: Result<Result<(), PullError>, tokio::task::JoinError>) -> Result<(), PullError> {
    ended.unwrap_or_else(|error| Err(PullError::Broken(error.to_string())))
}

/// Runs work for the disk on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, PullError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(PullError::Broken(error.to_string())),
    }
}

/// What a log line calls a pull.
pub(crate) fn describe(meeting: &MeetingId, version: &blake3::Hash) -> String {
    format!("{meeting} [{}]", &version.to_hex()[..12])
}
