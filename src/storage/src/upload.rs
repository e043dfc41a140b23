//! UPLOAD. Order: header, limits, room, bytes into a temporary name with checksums in passing, sync, rows, rename,
//! reply. The rows come before the rename so that bytes under a final name always have a row; whatever a crash
//! leaves under a temporary name, the next start gives its final name or removes, as the catalog says.

use std::io;
use std::sync::Arc;

use tnv_common::clock;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{ErrorCode, Failure, FileKey, Request, Upload};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::buffer::Buffer;
use crate::catalog::{FileRow, Location, NewFile};
use crate::files::Files;
use crate::layout::Place;
use crate::service::StorageService;
use crate::volume::{Incoming, Received, Reservation, StorePath};

/// A blocking step lost with its thread: the runtime is going down.
pub(crate) fn lost(error: tokio::task::JoinError) -> io::Error {
    io::Error::other(error)
}

impl StorageService {
    pub(crate) async fn upload(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let request = Upload::decode(&connection.fixed_part(Upload::LEN).await?)?;
        self.admit(&request, connection.body_left()).await?;
        let reservation = self.volume.reserve(request.size)?;
        let path = reservation.path().clone();
        let created_ms = clock::unix_millis();
        let number = self.numbers.next(&path).await?;
        let place = Place::new(number, created_ms / 1000).ok_or_else(|| {
            Failure::new(
                ErrorCode::INTERNAL,
                format!("the id server gave the number {number}, which has no path"),
            )
        })?;
        let (incoming, received) = self.receive(connection, Incoming::new(path, place, request.size)).await?;
        let file = self.describe(&request, &incoming, &received, created_ms);
        let commit = commit(self.files.clone(), file, incoming, reservation);
        // Begun it is finished, even if a stop cuts off this connection.
        self.commits.spawn(commit).await.map_err(lost)??;
        self.counters.uploads.add(1);
        self.counters.bytes_in.add(request.size);
        tracing::info!(peer = %connection.peer(), file = %request.key, size = request.size, number,
            blake3 = %received.blake3, "uploaded");
        Ok(Reply::empty())
    }

    /// What can be refused before a byte is taken, is.
    async fn admit(&self, request: &Upload, body_left: u64) -> Result<(), Failure> {
        if request.size != body_left {
            return Err(Failure::bad_request(format!(
                "the upload says {} bytes, its body has {body_left}",
                request.size
            )));
        }
        if request.size > self.max_file_size {
            return Err(Failure::new(
                ErrorCode::TOO_LARGE,
                format!("{} bytes are more than max_file_size = {}", request.size, self.max_file_size),
            ));
        }
        if self.files.catalog().is_taken(&request.key).await? {
            return Err(taken(&request.key));
        }
        Ok(())
    }

    /// Takes the bytes off the connection. While one buffer is being written the other one fills.
    async fn receive(
        &self,
        connection: &mut Connection,
        incoming: Incoming,
    ) -> Result<(Incoming, Received), Interrupt> {
        let mut buffer = Buffer::small(connection.body_left());
        let mut idle = Some((incoming, Buffer::small(0)));
        let mut writing: Option<Writing> = None;
        let mut moves = false;
        loop {
            // Large memory is for those who have filled a small one.
            if moves {
                buffer.grow(&self.buffers, connection.body_left());
            }
            moves = true;
            let filled = match connection.read_bulk(buffer.bytes()).await {
                Ok(filled) => filled,
                Err(error) => {
                    // Removing a large file takes a moment: not here.
                    drop(spawn_blocking(move || drop(idle)));
                    return Err(error.into());
                }
            };
            if let Some(write) = writing.take() {
                let written = write.await.map_err(lost)?;
                idle = Some(written.map_err(|(path, error)| write_failure(&path, &error))?);
            }
            let Some((mut incoming, spare)) = idle.take() else {
                return Err(io::Error::other("an upload lost its file").into());
            };
            if connection.body_left() == 0 {
                let finish = move || {
                    let outcome = incoming.write(buffer.filled(filled)).and_then(|()| incoming.finish());
                    // A file that failed is removed here, off the reactor.
                    outcome
                        .map_err(|error| (incoming.path().clone(), error))
                        .map(|received| (incoming, received))
                };
                let finished = spawn_blocking(finish).await.map_err(lost)?;
                return finished.map_err(|(path, error)| write_failure(&path, &error).into());
            }
            let full = std::mem::replace(&mut buffer, spare);
            writing = Some(spawn_blocking(move || {
                let outcome = incoming.write(full.filled(filled));
                outcome.map_err(|error| (incoming.path().clone(), error)).map(|()| (incoming, full))
            }));
        }
    }

    fn describe(
        &self,
        request: &Upload,
        incoming: &Incoming,
        received: &Received,
        created_ms: i64,
    ) -> NewFile {
        let (path, place) = (incoming.path(), incoming.place());
        NewFile {
            key: request.key.clone(),
            group: self.group.to_string(),
            file_path: format!("{}/{}", path.written(), place.path()),
            path_index: path.index(),
            path: place.path(),
            size: request.size,
            created_ms,
            crc32: received.crc32,
            blake3: received.blake3,
            content_type: received.content_type.to_owned(),
        }
    }
}

/// Writes the rows and gives the bytes their final name.
async fn commit(
    files: Arc<Files>,
    file: NewFile,
    incoming: Incoming,
    reservation: Reservation,
) -> Result<(), Failure> {
    let (path, place, key) = (incoming.path().clone(), incoming.place().clone(), file.key.clone());
    // From here on a row may stand for the bytes, whatever becomes of this process.
    incoming.hand_over();
    match files.catalog().insert(file).await {
        Ok(true) => {}
        Ok(false) => {
            remove(path, place).await;
            return Err(taken(&key));
        }
        Err(error) => match files.catalog().find(&key).await {
            Ok(Some(row)) if is_at(&row, &path, &place) => {}
            Ok(_) => {
                remove(path, place).await;
                return Err(error.into());
            }
            // Nobody knows; the next start will.
            Err(_) => return Err(error.into()),
        },
    }
    reservation.keep();
    let publish = spawn_blocking(move || (path.publish(&place), place));
    if let Ok((Err(error), place)) = publish.await {
        tracing::warn!(place = place.path(), %error, "a file keeps its temporary name until the next start");
    }
    Ok(())
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

type Writing = JoinHandle<Result<(Incoming, Buffer), (Arc<StorePath>, io::Error)>>;

fn taken(key: &FileKey) -> Failure {
    Failure::new(
        ErrorCode::CONFLICT,
        format!("the file id {} is taken; files are never overwritten", key.file),
    )
}

/// Says what failed on the disk, and leaves the store path out if it is to blame.
fn write_failure(path: &StorePath, error: &io::Error) -> Failure {
    path.note_error(error);
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NO_SPACE,
        _ => ErrorCode::INTERNAL,
    };
    Failure::new(code, format!("cannot write to {}: {error}", path.written()))
}
