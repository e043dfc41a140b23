//! UPLOAD and STORE. Order: header, limits, room, bytes into a temporary name with checksums in passing, sync, rows,
//! rename, reply. The rows come before the rename so that bytes under a final name always have a row; whatever a
//! crash leaves under a temporary name, the next start gives its final name or removes, as the catalog says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tnv_common::clock;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_common::database::DbError;
use tnv_proto::{
    Attributes, Checksum, ErrorCode, Failure, FileKey, Labels, NewUpload, NewUploadFixed, Request, Store,
    Upload,
};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::catalog::{FileRow, Location, NewFile};
use crate::files::Files;
use crate::layout::Place;
use crate::pump::{BrokenOff, pump};
use crate::service::StorageService;
use crate::volume::{Incoming, Received, Reservation, StorePath};

/// Between two attempts to find out what became of an upload.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// A blocking step lost with its thread: the runtime is going down.
pub(crate) fn lost(error: tokio::task::JoinError) -> io::Error {
    io::Error::other(error)
}

/// What comes behind the bytes of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trailer {
    Nothing,
    Checksum,
}

impl StorageService {
    pub(crate) async fn upload(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let Upload { key, size } = Upload::decode(&connection.fixed_part(Upload::LEN).await?)?;
        let new = NewUpload { key, size, labels: Labels::default() };
        self.take_in(connection, new, Trailer::Nothing).await?;
        Ok(Reply::empty())
    }

    pub(crate) async fn store(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let fixed = NewUploadFixed::decode(&connection.fixed_part(NewUploadFixed::LEN).await?)?;
        let labels = connection.fixed_part(fixed.labels_len()).await?;
        let stored = self.take_in(connection, fixed.with_labels(&labels)?, Trailer::Checksum).await?;
        let mut body = BytesMut::with_capacity(256);
        stored.encode(&mut body);
        Ok(Reply::Body(body))
    }

    async fn take_in(
        &self,
        connection: &mut Connection,
        new: NewUpload,
        trailer: Trailer,
    ) -> Result<Attributes, Interrupt> {
        let behind = if trailer == Trailer::Checksum { Store::TRAILER_LEN as u64 } else { 0 };
        if new.size.checked_add(behind) != Some(connection.body_left()) {
            let text = format!("the upload says {} bytes, its body has {}", new.size, connection.body_left());
            return Err(Failure::bad_request(text).into());
        }
        self.admit(&new.key, new.size).await?;
        let reservation = self.volume.reserve(new.size)?;
        let (place, created_ms) = self.next_place(reservation.path()).await?;
        let incoming = Incoming::new(reservation.path().clone(), place, new.size);
        let incoming =
            pump(connection, new.size, incoming, &self.buffers, &self.counters).await.map_err(discard)?;
        let received =
            incoming.received().cloned().ok_or_else(|| io::Error::other("an upload was not finished"))?;
        if trailer == Trailer::Checksum
            && let Err(interrupt) = check_trailer(connection, received.blake3).await
        {
            return Err(discard(BrokenOff { sink: Some(incoming), why: interrupt }));
        }
        let (path, place) = incoming.hand_over();
        let file = self.describe(new, &path, &place, &received, created_ms);
        let key = file.key.clone();
        let attributes = self.commit(file, path, place, Some(reservation)).await?;
        tracing::info!(peer = %connection.peer(), file = %key, size = attributes.size, blake3 = %attributes.blake3,
            "uploaded");
        self.counters.uploads.add(1);
        Ok(attributes)
    }

    /// What can be refused before a byte is taken, is.
    pub(crate) async fn admit(&self, key: &FileKey, size: u64) -> Result<(), Failure> {
        if size > self.max_file_size {
            return Err(Failure::new(
                ErrorCode::TOO_LARGE,
                format!("{size} bytes are more than max_file_size = {}", self.max_file_size),
            ));
        }
        if self.files.catalog().is_taken(key).await? {
            return Err(taken(key));
        }
        Ok(())
    }

    /// A place of its own for a new file, and the time that is part of its name, in milliseconds since 1970.
    pub(crate) async fn next_place(&self, path: &StorePath) -> Result<(Place, i64), Failure> {
        let created_ms = clock::unix_millis();
        let number = self.numbers.next(path).await?;
        let place = Place::new(number, created_ms / 1000).ok_or_else(|| {
            let text = format!("the id server gave the number {number}, which has no path");
            Failure::new(ErrorCode::INTERNAL, text)
        })?;
        Ok((place, created_ms))
    }

    pub(crate) fn describe(
        &self,
        new: NewUpload,
        path: &StorePath,
        place: &Place,
        received: &Received,
        created_ms: i64,
    ) -> NewFile {
        let content_type = match new.labels.content_type() {
            "" => received.content_type,
            told => told,
        };
        NewFile {
            group: self.group.to_string(),
            file_path: format!("{}/{}", path.written(), place.path()),
            path_index: path.index(),
            path: place.path(),
            size: new.size,
            created_ms,
            crc32: received.crc32,
            blake3: received.blake3,
            content_type: content_type.to_owned(),
            name: new.labels.name().to_owned(),
            key: new.key,
        }
    }

    /// Writes the rows of bytes that are durable under their temporary name, and gives them their final one. Begun it
    /// is finished, even if a stop cuts off the connection.
    pub(crate) async fn commit(
        &self,
        file: NewFile,
        path: Arc<StorePath>,
        place: Place,
        reservation: Option<Reservation>,
    ) -> Result<Attributes, Interrupt> {
        let attributes = file.attributes();
        let commit = commit(self.files.clone(), file, path, place, reservation);
        self.commits.spawn(commit).await.map_err(lost)??;
        Ok(attributes)
    }
}

/// Removes what came of an upload that failed.
fn discard(broken: BrokenOff<Incoming>) -> Interrupt {
    if let Interrupt::Broken(error) = &broken.why {
        tracing::info!(%error, "an upload broke off");
    }
    drop(broken.sink);
    broken.why
}

async fn check_trailer(connection: &mut Connection, found: Checksum) -> Result<(), Interrupt> {
    let mut told = Checksum::UNKNOWN;
    connection.read_bulk(&mut told.0).await?;
    check_expected(told, found).map_err(Interrupt::from)
}

/// Refuses bytes that are not those their sender meant.
pub(crate) fn check_expected(expected: Checksum, found: Checksum) -> Result<(), Failure> {
    if !expected.is_known() || expected == found {
        return Ok(());
    }
    let text =
        format!("the bytes that came have BLAKE3 {found}, those that were meant {expected}; send them again");
    Err(Failure::new(ErrorCode::CHANGED, text))
}

/// From here on a row may stand for the bytes, whatever becomes of this process.
async fn commit(
    files: Arc<Files>,
    file: NewFile,
    path: Arc<StorePath>,
    place: Place,
    reservation: Option<Reservation>,
) -> Result<(), Interrupt> {
    let key = file.key.clone();
    match files.catalog().insert(file).await {
        Ok(true) => {}
        Ok(false) => {
            remove(path, place).await;
            return Err(taken(&key).into());
        }
        Err(error) => match stands_after(&error, &files, &key, &path, &place).await {
            Ok(true) => {}
            Ok(false) => {
                remove(path, place).await;
                return Err(Failure::from(error).into());
            }
            // Nobody knows yet. A refusal would say that the file was not taken: no answer is the honest one, and the
            // client asks what became of it.
            Err(_) => {
                tracing::error!(file = %key, %error, "the outcome of an upload is not known");
                // Not waited for by anybody: if the process ends before, the next start does it.
                tokio::spawn(settle_later(files, path, place));
                return Err(io::Error::other(error).into());
            }
        },
    }
    if let Some(reservation) = reservation {
        reservation.keep();
    }
    publish(path, place).await;
    Ok(())
}

/// Finds out whether a row stands for these bytes as soon as the catalog answers, and keeps or removes them.
async fn settle_later(files: Arc<Files>, path: Arc<StorePath>, place: Place) {
    loop {
        sleep(SETTLE_INTERVAL).await;
        let Ok(kept) = files.catalog().seal(path.index(), &place.path()).await else { continue };
        tracing::info!(path = path.written(), place = place.path(), kept, "settled an unfinished upload");
        return if kept { publish(path, place).await } else { remove(path, place).await };
    }
}

/// Gives bytes that a row stands for their final name.
async fn publish(path: Arc<StorePath>, place: Place) {
    let published = spawn_blocking(move || (path.publish(&place), place)).await;
    if let Ok((Err(error), place)) = published {
        tracing::warn!(place = place.path(), %error, "a file keeps its temporary name until the next start");
    }
}

/// Whether an insert that failed with this error left a row all the same.
async fn stands_after(
    error: &DbError,
    files: &Files,
    key: &FileKey,
    path: &StorePath,
    place: &Place,
) -> Result<bool, DbError> {
    if error.is_in_doubt() {
        // Its commit may still be on its way: it arrives before this, or never.
        return files.catalog().seal(path.index(), &place.path()).await;
    }
    if let DbError::Away { .. } = error {
        return Ok(false);
    }
    Ok(files.catalog().find(key).await?.is_some_and(|row| is_at(&row, path, place)))
}

/// Whether this row stands for the bytes at this place.
fn is_at(row: &FileRow, path: &StorePath, place: &Place) -> bool {
    row.location == Location::Here { path_index: path.index(), path: place.path() }
}

/// Removes bytes that no row stands for.
async fn remove(path: Arc<StorePath>, place: Place) {
    let removed = spawn_blocking(move || (path.remove(&place), place)).await;
    if let Ok((Err(error), place)) = removed {
        tracing::warn!(place = place.path(), %error, "cannot remove a refused upload");
    }
}

pub(crate) fn taken(key: &FileKey) -> Failure {
    Failure::new(
        ErrorCode::CONFLICT,
        format!("the file id {} is taken; files are never overwritten", key.file),
    )
}
