//! UPLOAD and STORE. Order: header, limits, room, bytes into a temporary name with checksums in passing, sync, rows,
//! rename, reply. The rows come before the rename so that bytes under a final name always have a row; whatever a
//! crash leaves under a temporary name, the next start gives its final name or removes, as the catalog says.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tnv_common::clock;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{
    Acknowledged, Attributes, Checksum, ErrorCode, Failure, FileKey, Labels, NewUpload, NewUploadFixed,
    Request, Store, Upload,
};
use tokio::task::spawn_blocking;

use crate::catalog::{CopyAt, NewFile};
use crate::commit::{Placed, commit, taken};
use crate::companions::Shared;
use crate::digest::{Digest, Received};
use crate::intake::{Arrived, End, Intake, describe};
use crate::layout::Place;
use crate::pump::{BrokenOff, Flow, Head, pump};
use crate::service::StorageService;
use crate::sums::Sums;
use crate::volume::{Incoming, Reservation, StorePath};

/// Files up to this size are in memory as a whole before anything is written, in bytes.
pub(crate) const IN_MEMORY: u64 = 64 * 1024;

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
        let new = NewUpload { key, size, labels: Labels::default(), ack_copies: 0 };
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
    ) -> Result<Acknowledged, Interrupt> {
        let behind = if trailer == Trailer::Checksum { Store::TRAILER_LEN as u64 } else { 0 };
        if new.size.checked_add(behind) != Some(connection.body_left()) {
            let text = format!("the upload says {} bytes, its body has {}", new.size, connection.body_left());
            return Err(Failure::bad_request(text).into());
        }
        let taking = self.standing.admit()?;
        let key = new.key.clone();
        let stored = if new.size <= IN_MEMORY {
            self.take_small(connection, new, trailer).await?
        } else {
            self.take_large(connection, new, trailer, Head::default()).await?
        };
        drop(taking);
        let Acknowledged { attributes, copies } = &stored;
        tracing::info!(peer = %connection.peer(), file = %key, size = attributes.size, blake3 = %attributes.blake3,
            copies, "uploaded");
        self.counters.uploads.add(1);
        self.tell_peers(&key);
        Ok(stored)
    }

    /// Whether the id is taken tells the insert: looking for it first would cost as much as the upload.
    async fn take_small(
        &self,
        connection: &mut Connection,
        new: NewUpload,
        trailer: Trailer,
    ) -> Result<Acknowledged, Interrupt> {
        self.check_len(new.size)?;
        let reservation = self.volume.reserve(new.size)?;
        let size = usize::try_from(new.size).unwrap_or(usize::MAX);
        let head = Head::read(connection, size, &self.buffers, &self.counters).await?;
        if head.bytes.len() < size {
            drop(reservation);
            return self.take_large(connection, new, trailer, head).await;
        }
        let Head { bytes, share } = head;
        let mut expected = Checksum::UNKNOWN;
        if trailer == Trailer::Checksum {
            connection.read_bulk(&mut expected.0).await?;
        }
        let (place, created_ms) = self.next_place(reservation.path()).await?;
        let copies = self.push_small(&new.key, &bytes, expected, new.ack_copies).await?;
        let intake = self.intake(reservation.path())?;
        let (reservation, end) = (Some(reservation), End::Rows(copies.clone()));
        let arrived = Arrived { new, bytes, share, expected, place, created_ms, reservation, end };
        let attributes = intake.store(arrived).await?;
        Ok(self.acknowledge(attributes, copies))
    }

    /// Where small files of this store path are handed in.
    pub(crate) fn intake(&self, path: &StorePath) -> io::Result<&Intake<StorePath>> {
        self.intakes.get(&path.index()).ok_or_else(|| io::Error::other("no intake"))
    }

    /// What the reply says of a file that this storage and these others have, who are told that its rows are there.
    pub(crate) fn acknowledge(&self, attributes: Attributes, copies: Vec<CopyAt>) -> Acknowledged {
        let others = u8::try_from(copies.len()).unwrap_or(u8::MAX);
        self.peers.have_kept(copies);
        Acknowledged { attributes, copies: if self.replicates { others.saturating_add(1) } else { 0 } }
    }

    async fn take_large(
        &self,
        connection: &mut Connection,
        new: NewUpload,
        trailer: Trailer,
        head: Head,
    ) -> Result<Acknowledged, Interrupt> {
        self.admit(&new.key, new.size).await?;
        let reservation = self.volume.reserve(new.size)?;
        let mut companions = self.companions(&new.key, new.size, new.ack_copies).await?;
        companions.write(&head.bytes).await;
        let (place, created_ms) = self.next_place(reservation.path()).await?;
        let incoming = Incoming::new(reservation.path().clone(), place, new.size);
        let mut digest = Digest::default();
        let flow = Flow { budget: &self.buffers, counters: &self.counters, digest: Some(&mut digest) };
        let mut shared = Shared { supply: connection, companions: &mut companions };
        let pumped = pump(&mut shared, head, new.size, incoming, flow).await;
        let incoming = match pumped {
            Ok(incoming) => incoming,
            Err(broken) => return Err(discard(broken).await),
        };
        let received = digest.finish();
        if trailer == Trailer::Checksum
            && let Err(interrupt) = check_trailer(connection, received.blake3).await
        {
            return Err(discard(BrokenOff { sink: Some(incoming), why: interrupt }).await);
        }
        let copies = match companions.finish(received.blake3).await {
            Ok(copies) => copies,
            Err(refusal) => {
                return Err(discard(BrokenOff { sink: Some(incoming), why: refusal.into() }).await);
            }
        };
        let (path, place) = incoming.hand_over();
        let mut file = self.describe(new, &path, &place, &received, created_ms);
        file.copies.clone_from(&copies);
        let attributes = self.commit(file, (path, place), Some(reservation), received.sums).await?;
        Ok(self.acknowledge(attributes, copies))
    }

    pub(crate) fn check_len(&self, size: u64) -> Result<(), Failure> {
        if size > self.max_file_size {
            return Err(Failure::new(
                ErrorCode::TOO_LARGE,
                format!("{size} bytes are more than max_file_size = {}", self.max_file_size),
            ));
        }
        Ok(())
    }

    /// What can be refused before a byte is taken, is.
    pub(crate) async fn admit(&self, key: &FileKey, size: u64) -> Result<(), Failure> {
        self.check_len(size)?;
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
        describe(new, self.group.as_str(), (path.index(), path.written()), place, received, created_ms)
    }

    /// Writes the rows of bytes that are durable under their temporary name, and gives them their final one. Begun it
    /// is finished, even if a stop cuts off the connection.
    pub(crate) async fn commit(
        &self,
        file: NewFile,
        (names, place): (Arc<StorePath>, Place),
        reservation: Option<Reservation>,
        sums: Sums,
    ) -> Result<Attributes, Interrupt> {
        let (attributes, blake3) = (file.attributes(), file.blake3);
        keep_sums(&names, &place, sums, (file.size, blake3)).await;
        let placed = Placed { key: file.key.clone(), names, place, reservation };
        self.commits.spawn(commit(self.files.clone(), file, placed)).await.map_err(lost)??;
        Ok(attributes)
    }
}

/// Keeps the sums of a file that is about to have its rows: they go with its bytes.
pub(crate) async fn keep_sums(
    path: &Arc<StorePath>,
    place: &Place,
    sums: Sums,
    (size, blake3): (u64, Checksum),
) {
    if !sums.is_empty() {
        let (path, place) = (path.clone(), place.clone());
        let _ = spawn_blocking(move || path.keep_sums(&place, &sums, size, &blake3)).await;
    }
}

/// Removes what came of an upload that failed. Whoever is told so may send it again at once: its room is free by then.
pub(crate) async fn discard(broken: BrokenOff<Incoming>) -> Interrupt {
    match (&broken.why, broken.sink) {
        (Interrupt::Broken(error), sink) => {
            tracing::info!(%error, "an upload broke off");
            drop(sink);
        }
        (Interrupt::Refused(_), Some(incoming)) => {
            let _ = spawn_blocking(move || incoming.remove()).await;
        }
        (Interrupt::Refused(_), None) => {}
    }
    broken.why
}

pub(crate) async fn check_trailer(connection: &mut Connection, found: Checksum) -> Result<(), Interrupt> {
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
