//! BEGIN, APPEND, PROGRESS, FINISH, ABORT: uploads that come in parts and go on after every break. What a reply calls
//! done is durable; a part that breaks off keeps what has come.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{
    Acknowledged, Append, Begin, Checksum, ErrorCode, Failure, FileKey, Finish, KnownUpload, NewUpload,
    NewUploadFixed, Request, UploadProgress,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::busy::{Busy, Guard, locked};
use crate::catalog::CopyAt;
use crate::commit::taken;
use crate::pump::{BrokenOff, Flow, Head, Sink, pump, write_failure};
use crate::service::StorageService;
use crate::upload::{check_expected, lost};
use crate::volume::{PartWriter, Parts, Reservation, StorePath, Volume, explain, is_unreachable};

/// Between two looks for uploads that have expired.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

impl StorageService {
    pub(crate) async fn begin(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let fixed = NewUploadFixed::decode(&connection.fixed_part(NewUploadFixed::LEN).await?)?;
        if fixed.labels_len() as u64 != connection.body_left() {
            return Err(Failure::bad_request("the labels are not as long as the body says").into());
        }
        let Begin(new) = Begin(fixed.with_labels(&connection.whole_body().await?)?);
        let guard = self.enter(&new.key).await?;
        let begun = self.begin_alone(connection, new).await;
        guard.leave().await;
        begun
    }

    async fn begin_alone(&self, connection: &Connection, new: NewUpload) -> Result<Reply, Interrupt> {
        // Alone, or a FINISH could take the id behind this look.
        self.admit(&new.key, new.size).await?;
        if let Some(parts) = self.find_parts(&new.key).await? {
            return if parts.new_upload().size == new.size {
                Ok(progress_reply(self.progress_of(&parts)))
            } else {
                Err(other_size(&parts))
            };
        }
        let _taking = self.standing.admit()?;
        // The room is not kept: an upload that is given up must not hold it for a day. Each part asks again.
        let path = self.volume.reserve(new.size)?.path().clone();
        let begun = blocking(&path.clone(), move || Parts::begin(&path, new)).await?;
        tracing::info!(peer = %connection.peer(), file = %begun.new_upload().key, size = begun.new_upload().size,
            "an upload in parts begins");
        Ok(progress_reply(self.progress_of(&begun)))
    }

    pub(crate) async fn append(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let Append { key, offset, .. } = Append::decode(&connection.fixed_part(Append::LEN).await?)?;
        let guard = self.enter(&key).await?;
        let broken = match self.append_alone(connection, &key, offset).await {
            Ok(progress) => {
                guard.leave().await;
                return Ok(progress_reply(progress));
            }
            Err(broken) => broken,
        };
        // What came stays. The guard goes with it: nobody may write before that is done.
        let keep = spawn_blocking(move || {
            let kept = broken.sink.map(|mut writer| {
                let outcome = writer.end().map(|()| writer.offset());
                writer.close();
                outcome
            });
            guard.leave_blocking();
            kept
        });
        if let Ok(Some(Ok(offset))) = keep.await {
            tracing::info!(peer = %connection.peer(), file = %key, offset, "a part broke off");
        }
        Err(broken.why)
    }

    async fn append_alone(
        &self,
        connection: &mut Connection,
        key: &FileKey,
        offset: u64,
    ) -> Result<UploadProgress, BrokenOff<PartWriter>> {
        let len = connection.body_left();
        let (parts, reservation) = self.admit_part(key, offset, len).await?;
        let opened = parts.clone();
        let writer = match spawn_blocking(move || opened.writer()).await.map_err(lost) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Interrupt::from(locked(key)).into());
            }
            opened => {
                opened.flatten().map_err(|error| Interrupt::from(write_failure(parts.path(), &error)))?
            }
        };
        let expires_ms = self.expires_ms(SystemTime::now());
        // The whole is read when it is finished, and its checksums taken then.
        let flow = Flow { budget: &self.buffers, counters: &self.counters, digest: None };
        let writer = pump(connection, Head::default(), len, writer, flow).await?;
        reservation.keep();
        let offset = writer.offset();
        let _ = spawn_blocking(move || writer.close()).await;
        Ok(UploadProgress { offset, size: parts.new_upload().size, expires_ms })
    }

    /// Refuses a part that does not fit to what is there.
    async fn admit_part(
        &self,
        key: &FileKey,
        offset: u64,
        len: u64,
    ) -> Result<(Parts, Reservation), Interrupt> {
        let parts = self.existing_parts(key).await?;
        let size = parts.new_upload().size;
        if offset != parts.offset() {
            return Err(conflict(key, &format!("goes on at {}, not at {offset}", parts.offset())));
        }
        if len > size - offset {
            let text = format!("{len} bytes at {offset} go beyond the size of {size}");
            return Err(Failure::bad_request(text).into());
        }
        let path = parts.path();
        let Some(reservation) = Reservation::take(path, len) else {
            let text = format!(
                "no room for {len} bytes: {} has {} above reserved_space",
                path.written(),
                path.free()
            );
            return Err(Failure::new(ErrorCode::NO_SPACE, text).into());
        };
        Ok((parts, reservation))
    }

    pub(crate) async fn progress(&self, key: &FileKey) -> Result<Reply, Interrupt> {
        let parts = self.existing_parts(key).await?;
        let labels = Some(parts.new_upload().labels.clone());
        let mut body = BytesMut::with_capacity(256);
        KnownUpload { progress: self.progress_of(&parts), labels }.encode(&mut body);
        Ok(Reply::Body(body))
    }

    pub(crate) async fn abort(&self, key: &FileKey) -> Result<Reply, Interrupt> {
        let guard = self.enter(key).await?;
        let aborted = self.abort_alone(key).await;
        guard.leave().await;
        aborted
    }

    async fn abort_alone(&self, key: &FileKey) -> Result<Reply, Interrupt> {
        let (volume, discarded) = (self.volume.clone(), key.clone());
        let found = spawn_blocking(move || Parts::discard(&volume, &discarded)).await.map_err(lost)?;
        match found {
            Ok(true) => {}
            Ok(false) => return Err(no_parts(key).into()),
            Err(error) => {
                let text = format!("cannot remove the parts of {key}: {error}");
                return Err(Failure::new(ErrorCode::INTERNAL, text).into());
            }
        }
        tracing::info!(file = %key, "an upload in parts was given up");
        Ok(Reply::empty())
    }

    pub(crate) async fn finish(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let request = Finish::decode(&connection.whole_body().await?)?;
        let guard = self.enter(&request.key).await?;
        // One that has begun may be finished on a storage that drains.
        let taking = self.standing.count();
        let finished = self.finish_alone(&request).await;
        drop(taking);
        guard.leave().await;
        let stored = finished?;
        let Acknowledged { attributes, copies } = &stored;
        tracing::info!(peer = %connection.peer(), file = %request.key, size = attributes.size,
            blake3 = %attributes.blake3, copies, "uploaded in parts");
        let mut body = BytesMut::with_capacity(256);
        stored.encode(&mut body);
        Ok(Reply::Body(body))
    }

    async fn finish_alone(&self, request: &Finish) -> Result<Acknowledged, Interrupt> {
        match self.find_parts(&request.key).await? {
            Some(parts) => self.complete(parts, request).await,
            None => Ok(self.completed(request).await?),
        }
    }

    /// Keeps everybody else out of the upload, here and at the other storages of the volume.
    pub(crate) async fn enter(&self, key: &FileKey) -> Result<Guard, Interrupt> {
        self.check_answering()?;
        self.busy.enter(&self.volume, key).await
    }

    /// Parts may be in any store path: one that does not answer would hold up whoever looks.
    fn check_answering(&self) -> Result<(), Failure> {
        match self.volume.paths().iter().find(|path| !path.is_answering()) {
            None => Ok(()),
            Some(path) => {
                let text = format!("the file system of {} does not answer", path.written());
                Err(Failure::new(ErrorCode::UNAVAILABLE, text))
            }
        }
    }

    /// Makes a file of an upload whose bytes are all there.
    async fn complete(&self, parts: Parts, request: &Finish) -> Result<Acknowledged, Interrupt> {
        let size = parts.new_upload().size;
        if parts.offset() != size {
            return Err(conflict(&request.key, &format!("has {} of its {size} bytes", parts.offset())));
        }
        let path = parts.path().clone();
        let checked = parts.clone();
        let received = blocking(&path, move || checked.check()).await?;
        check_expected(request.expected, received.blake3)?;
        if self.files.catalog().is_taken(&request.key).await.map_err(Failure::from)? {
            // An earlier FINISH got as far as the row, or somebody else took the id.
            let row = self.files.find(&request.key).await.map_err(|failure| match failure.code {
                // The id is another owner's.
                ErrorCode::NOT_FOUND => taken(&request.key),
                _ => failure,
            })?;
            if row.checksum() != received.blake3 {
                return Err(taken(&request.key).into());
            }
            self.forget(parts).await;
            return Ok(Acknowledged { attributes: row.attributes(), copies: 0 });
        }
        let (place, created_ms) = self.next_place(&path).await?;
        let copies = self.push_parts(&parts, received.blake3).await?;
        let (linked, link) = (parts.clone(), place.clone());
        blocking(&path, move || linked.link_to(&link)).await?;
        let mut file = self.describe(parts.new_upload().clone(), &path, &place, &received, created_ms);
        file.copies.clone_from(&copies);
        let attributes = self.commit(file, (path, place), None, received.sums).await?;
        self.counters.uploads.add(1);
        self.tell_peers(&request.key);
        self.forget(parts).await;
        Ok(self.acknowledge(attributes, copies))
    }

    /// Gives all bytes of an upload to those who are to have it when it is answered: where it lies with them.
    async fn push_parts(&self, parts: &Parts, blake3: Checksum) -> Result<Vec<CopyAt>, Interrupt> {
        let NewUpload { key, size, ack_copies, .. } = parts.new_upload();
        let mut companions = self.companions(key, *size, *ack_copies).await?;
        if !companions.is_nobody() {
            let opened = parts.clone();
            let file = blocking(parts.path(), move || opened.open()).await?;
            companions.write_file(file).await.map_err(|error| write_failure(parts.path(), &error))?;
        }
        Ok(companions.finish(blake3).await?)
    }

    /// The answer to a FINISH whose upload is gone: well, if it has become the file.
    async fn completed(&self, request: &Finish) -> Result<Acknowledged, Failure> {
        let row = self.files.find(&request.key).await.map_err(|failure| match failure.code {
            ErrorCode::NOT_FOUND => no_parts(&request.key),
            _ => failure,
        })?;
        if request.expected.is_known() && row.checksum() != request.expected {
            return Err(taken(&request.key));
        }
        self.forget_remains(&request.key).await;
        Ok(Acknowledged { attributes: row.attributes(), copies: 0 })
    }

    /// Removes what a crash in the middle of [`Self::forget`] left. Otherwise it would lie until it expires, and hold the
    /// bytes even of a file that is deleted before.
    pub(crate) async fn forget_remains(&self, key: &FileKey) {
        let (volume, remains) = (self.volume.clone(), key.clone());
        if let Ok(Err(error)) = spawn_blocking(move || Parts::discard(&volume, &remains)).await {
            tracing::warn!(file = %key, %error, "cannot remove what is left of a finished upload");
        }
    }

    async fn forget(&self, parts: Parts) {
        let removed = spawn_blocking(move || (parts.remove(), parts)).await;
        if let Ok((Err(error), parts)) = removed {
            tracing::warn!(file = %parts.new_upload().key, %error, "cannot remove the parts of a finished upload");
        }
    }

    async fn find_parts(&self, key: &FileKey) -> Result<Option<Parts>, Interrupt> {
        let (volume, wanted) = (self.volume.clone(), key.clone());
        let found = spawn_blocking(move || Parts::find(&volume, &wanted)).await.map_err(lost)?;
        found.map_err(|error| {
            if is_unreachable(&error) {
                let text = format!("the parts of {key} cannot be read: {}", explain(&error));
                return Failure::new(ErrorCode::UNAVAILABLE, text).into();
            }
            let text = format!("the parts of {key} cannot be read: {error}; ABORT them and begin again");
            Failure::new(ErrorCode::INTERNAL, text).into()
        })
    }

    async fn existing_parts(&self, key: &FileKey) -> Result<Parts, Interrupt> {
        self.check_answering()?;
        self.find_parts(key).await?.ok_or_else(|| no_parts(key).into())
    }

    fn progress_of(&self, parts: &Parts) -> UploadProgress {
        let expires_ms = parts.touched_ms().saturating_add(self.part_expiry.as_millis() as i64);
        UploadProgress { offset: parts.offset(), size: parts.new_upload().size, expires_ms }
    }

    fn expires_ms(&self, now: SystemTime) -> i64 {
        let at = (now + self.part_expiry).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
    }
}

fn progress_reply(progress: UploadProgress) -> Reply {
    let mut body = BytesMut::with_capacity(UploadProgress::LEN);
    progress.encode(&mut body);
    Reply::Body(body)
}

fn no_parts(key: &FileKey) -> Failure {
    Failure::new(ErrorCode::NOT_FOUND, format!("no upload of {key} in parts lies here; BEGIN it"))
}

fn conflict(key: &FileKey, what: &str) -> Interrupt {
    Failure::new(ErrorCode::CONFLICT, format!("the upload of {key} {what}")).into()
}

fn other_size(parts: &Parts) -> Interrupt {
    conflict(&parts.new_upload().key, &format!("was begun with {} bytes", parts.new_upload().size))
}

/// Runs blocking work on a store path, whose fault an error is.
async fn blocking<T: Send + 'static>(
    path: &StorePath,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Interrupt> {
    let outcome = spawn_blocking(work).await.map_err(lost)?;
    outcome.map_err(|error| write_failure(path, &error).into())
}

/// Forgets uploads in parts that nothing has come for in so long.
pub(crate) async fn expire(
    volume: Arc<Volume>,
    busy: Busy,
    unused_for: Duration,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EXPIRY_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        for path in volume.paths() {
            if !path.is_answering() {
                continue;
            }
            let (path, busy, volume) = (path.clone(), busy.clone(), volume.clone());
            let enter = move |key: &FileKey| busy.enter_blocking(&volume, key).ok();
            let expired =
                spawn_blocking(move || Parts::expire(&path, SystemTime::now(), unused_for, enter)).await;
            match expired {
                Ok(Ok(0)) | Err(_) => {}
                Ok(Ok(count)) => tracing::info!(count, "uploads in parts expired"),
                Ok(Err(error)) => tracing::warn!(%error, "cannot look for expired uploads in parts"),
            }
        }
    }
}
