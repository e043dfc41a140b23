//! The end of an upload: rows for bytes that are durable under their temporary name, then the final name. Begun it is
//! finished, whatever becomes of the connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tnv_common::connection::Interrupt;
use tnv_common::database::DbError;
use tnv_proto::{ErrorCode, Failure, FileKey};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::catalog::{FileRow, Location, NewFile};
use crate::files::Files;
use crate::layout::Place;
use crate::volume::{Reservation, StorePath};

/// Between two attempts to find out what became of an upload.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// What bytes lie on under either of their names. Every method but `index` blocks.
pub(crate) trait Names: Send + Sync + 'static {
    /// The store path's number in the catalog.
    fn index(&self) -> u32;

    /// Gives bytes their final name.
    fn publish(&self, place: &Place) -> io::Result<()>;

    /// Removes bytes, under whichever name they have.
    fn remove(&self, place: &Place) -> io::Result<()>;
}

impl Names for StorePath {
    fn index(&self) -> u32 {
        StorePath::index(self)
    }

    fn publish(&self, place: &Place) -> io::Result<()> {
        StorePath::publish(self, place)
    }

    fn remove(&self, place: &Place) -> io::Result<()> {
        StorePath::remove(self, place)
    }
}

/// Bytes that are durable under their temporary name, and the room that was set aside for them.
pub(crate) struct Placed<N> {
    pub(crate) key: FileKey,
    pub(crate) names: Arc<N>,
    pub(crate) place: Place,
    pub(crate) reservation: Option<Reservation>,
}

/// Writes the rows of a file and gives its bytes their final name. From here on a row may stand for them, whatever
/// becomes of this process.
pub(crate) async fn commit<N: Names>(
    files: Arc<Files>,
    file: NewFile,
    placed: Placed<N>,
) -> Result<(), Interrupt> {
    let outcome = files.catalog().insert(file).await;
    conclude(files, placed, outcome).await
}

/// Does what the outcome of an insert asks for.
pub(crate) async fn conclude<N: Names>(
    files: Arc<Files>,
    placed: Placed<N>,
    outcome: Result<bool, DbError>,
) -> Result<(), Interrupt> {
    let Placed { key, names, place, reservation } = placed;
    match outcome {
        Ok(true) => {}
        Ok(false) => {
            aside(names, place, discard).await;
            return Err(taken(&key).into());
        }
        Err(error) => match stands_after(&error, &files, &key, &*names, &place).await {
            Ok(true) => {}
            Ok(false) => {
                aside(names, place, discard).await;
                return Err(Failure::from(error).into());
            }
            // Nobody knows yet. A refusal would say that the file was not taken: no answer is the honest one, and the
            // client asks what became of it.
            Err(_) => {
                tracing::error!(file = %key, %error, "the outcome of an upload is not known");
                // Not waited for by anybody: if the process ends before, the next start does it.
                tokio::spawn(settle_later(files, names, place));
                return Err(io::Error::other(error).into());
            }
        },
    }
    if let Some(reservation) = reservation {
        reservation.keep();
    }
    aside(names, place, publish).await;
    Ok(())
}

/// Finds out whether a row stands for these bytes as soon as the catalog answers, and keeps or removes them.
async fn settle_later<N: Names>(files: Arc<Files>, names: Arc<N>, place: Place) {
    loop {
        sleep(SETTLE_INTERVAL).await;
        let Ok(kept) = files.catalog().seal(names.index(), &place.path()).await else { continue };
        tracing::info!(index = names.index(), place = place.path(), kept, "settled an unfinished upload");
        return aside(names, place, if kept { publish } else { discard }).await;
    }
}

/// Gives bytes that a row stands for their final name. Blocks.
pub(crate) fn publish<N: Names + ?Sized>(names: &N, place: &Place) {
    if let Err(error) = names.publish(place) {
        tracing::warn!(place = place.path(), %error, "a file keeps its temporary name until the next start");
    }
}

/// Removes bytes that no row stands for. Blocks.
pub(crate) fn discard<N: Names + ?Sized>(names: &N, place: &Place) {
    if let Err(error) = names.remove(place) {
        tracing::warn!(place = place.path(), %error, "cannot remove a refused upload");
    }
}

async fn aside<N: Names>(names: Arc<N>, place: Place, work: fn(&N, &Place)) {
    // It is lost only with the runtime; the next start does it then.
    let _ = spawn_blocking(move || work(&names, &place)).await;
}

/// Whether an insert that failed with this error left a row all the same.
async fn stands_after(
    error: &DbError,
    files: &Files,
    key: &FileKey,
    names: &impl Names,
    place: &Place,
) -> Result<bool, DbError> {
    if error.is_in_doubt() {
        // Its commit may still be on its way: it arrives before this, or never.
        return files.catalog().seal(names.index(), &place.path()).await;
    }
    if let DbError::Away { .. } = error {
        return Ok(false);
    }
    Ok(files.catalog().find(key).await?.is_some_and(|row| is_at(&row, names.index(), place)))
}

/// Whether this row stands for the bytes at this place.
fn is_at(row: &FileRow, path_index: u32, place: &Place) -> bool {
    row.location == Location::Here { path_index, path: place.path() }
}

pub(crate) fn taken(key: &FileKey) -> Failure {
    Failure::new(
        ErrorCode::CONFLICT,
        format!("the file id {} is taken; files are never overwritten", key.file),
    )
}
