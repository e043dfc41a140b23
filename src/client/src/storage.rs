//! Storages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tnv_proto::state::ScrubState;
use tnv_proto::{
    Attributes, Begin, Checksum, Command, ErrorCode, FileKey, FileList, Header, KnownUpload, List,
    MemberRequest, MemberStatus, Read, Request, Server, UploadProgress,
};
use tokio::time::sleep;

use crate::connection::{SMALL_READ, SMALL_REPLY};
use crate::pool::{Pooled, Pools};
use crate::{ClientError, Download, Options, Source, Uploaded, upload};

/// The longest page of a list that is accepted, in bytes: 1,000 files with the longest names fit.
const MAX_PAGE: u64 = 4 * 1024 * 1024;
/// The pauses before ABORT is asked for again while somebody writes.
const ABORT_PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// How long a storage may look through the copies of a member.
const COUNTING: Duration = Duration::from_secs(600);

/// One storage, asked over pooled connections. [`crate::Client`] finds the right one and tries others. Clones share
/// the connections.
#[derive(Debug, Clone)]
pub struct StorageClient {
    address: Arc<str>,
    pools: Pools,
    /// Whether it is to pass nothing on.
    as_peer: bool,
}

/// How much of a file is read along with the header of the reply, in bytes: what is not longer costs one read.
const READ_AHEAD: u64 = 64 * 1024;

/// A download that a storage has agreed to: the body is still on the connection.
pub(crate) struct Opened {
    pub(crate) connection: Pooled,
    pub(crate) len: u64,
    /// Whether the storage has compared the file's checksum with the expected one.
    pub(crate) checked: bool,
}

impl StorageClient {
    /// The storage at `address` (`host:port`). Nothing is connected yet.
    pub fn new(address: impl AsRef<str>, options: Options) -> Self {
        StorageClient::with_pools(address.as_ref(), Pools::new(options))
    }

    pub(crate) fn with_pools(address: &str, pools: Pools) -> Self {
        StorageClient { address: address.into(), pools, as_peer: false }
    }

    /// As one storage of a group asks another: downloads are of what lies there (FETCH), and of nothing that it would have to
    /// get from a third one.
    pub fn peer(self) -> Self {
        StorageClient { as_peer: true, ..self }
    }

    /// Its `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// UPLOAD: stores a new file. Like [`crate::Client::upload`], on this storage only.
    ///
    /// # Errors
    /// See [`crate::Client::upload`].
    pub async fn upload(&self, key: &FileKey, source: Source) -> Result<Uploaded, ClientError> {
        upload::upload(std::slice::from_ref(self), key, source).await
    }

    /// LIST: a page of a user's files.
    ///
    /// # Errors
    /// Refused with 400 for a cursor that is none, and by a storage too old for it.
    pub async fn list(&self, list: &List) -> Result<FileList, ClientError> {
        let body = self.pools.call(Server::Storage, &self.address, &list.to_frame(), MAX_PAGE).await?;
        FileList::decode(&body).map_err(|error| self.invalid(error))
    }

    /// FILESIZE: a file's length in bytes.
    ///
    /// # Errors
    /// Refused with 404 if it does not exist.
    pub async fn file_size(&self, key: &FileKey) -> Result<u64, ClientError> {
        let body = self.call(&key.to_frame(Command::FileSize)).await?;
        match body.as_ref().try_into().map(i64::from_be_bytes) {
            Ok(size @ 0..) => Ok(size as u64),
            Ok(size) => Err(self.invalid(format!("a file of {size} bytes"))),
            Err(_) => Err(self.invalid(format!("a file size of {} bytes", body.len()))),
        }
    }

    /// STAT: what the storage knows of a file. One too old for it tells the size only; the rest is empty, 0 or
    /// unknown.
    ///
    /// # Errors
    /// Refused with 404 if it does not exist.
    pub async fn stat(&self, key: &FileKey) -> Result<Attributes, ClientError> {
        match self.call(&key.to_frame(Command::Stat)).await {
            Ok(body) => Attributes::decode(&body).map_err(|error| self.invalid(error)),
            Err(error) if error.is_unknown_command() => Ok(Attributes {
                size: self.file_size(key).await?,
                created_ms: 0,
                crc32: 0,
                blake3: Checksum::UNKNOWN,
                content_type: String::new(),
                name: String::new(),
            }),
            Err(error) => Err(error),
        }
    }

    /// READ or DOWNLOAD: like [`crate::Client::download`], from this storage only.
    ///
    /// # Errors
    /// See [`crate::Client::download`].
    pub async fn download(
        &self,
        key: &FileKey,
        offset: u64,
        size: u64,
        expected: Checksum,
    ) -> Result<Download, ClientError> {
        Download::from_storages([self.clone()], key, offset, size, expected).await
    }

    /// NOTICE: tells a storage that the catalog has news of a file.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn notice(&self, key: &FileKey) -> Result<(), ClientError> {
        self.call(&key.to_frame(Command::Notice)).await.map(drop)
    }

    /// SCRUB: how far the storage is with reading all its files again; with `begin` it starts now, unless it is at it.
    ///
    /// # Errors
    /// Refused with 400 by storages too old for it.
    pub async fn scrub(&self, begin: bool) -> Result<ScrubState, ClientError> {
        let frame = [&Header::request(Command::Scrub, 1).encode()[..], &[u8::from(begin)]].concat();
        let body = self.call(&frame).await?;
        serde_json::from_slice(&body).map_err(|error| self.invalid(error))
    }

    /// MEMBER: what a storage is in this one's group, after what was to be done with it.
    ///
    /// # Errors
    /// Refused with 404 if the group has no such member, and with 409 if files would be lost by it.
    pub async fn member(&self, request: &MemberRequest) -> Result<MemberStatus, ClientError> {
        let body = self.call_slow(&request.to_frame(), COUNTING).await?;
        MemberStatus::decode(&body).map_err(|error| self.invalid(error))
    }

    /// DELETE: removes a file for good. Succeeds as well if the file is gone after a try whose outcome got lost.
    ///
    /// # Errors
    /// Refused with 404 if it does not exist.
    pub async fn delete(&self, key: &FileKey) -> Result<(), ClientError> {
        let mut may_be_done = false;
        self.try_delete(key, &mut may_be_done).await
    }

    /// Deletes a file. `may_be_done` says whether an earlier try may have done so, which makes "not found" a
    /// success; it is set if this one fails after the request was sent.
    pub(crate) async fn try_delete(&self, key: &FileKey, may_be_done: &mut bool) -> Result<(), ClientError> {
        let frame = key.to_frame(Command::Delete);
        let mut connection = self.pools.get(Server::Storage, &self.address).await?;
        let reused = connection.is_reused();
        let mut result = connection.call(&frame, 0).await;
        *may_be_done |= matches!(&result, Err(ClientError::Unreachable { .. }));
        if reused && result.as_ref().is_err_and(ClientError::is_broken_connection) {
            drop(connection);
            result = self.pools.get_new(Server::Storage, &self.address).await?.call(&frame, 0).await;
        }
        match result {
            Err(error) if *may_be_done && error.is_not_found() => Ok(()),
            result => result.map(drop),
        }
    }

    /// Asks for a part of a file, `size` bytes or up to the end, and checks the length of the answer.
    pub(crate) async fn open(
        &self,
        key: &FileKey,
        offset: u64,
        size: u64,
        expected: Checksum,
    ) -> Result<Opened, ClientError> {
        let (Ok(from), Ok(count)) = (i64::try_from(offset), i64::try_from(size)) else {
            let why = format!("offset {offset} or size {size} is above {}", i64::MAX);
            return Err(ClientError::invalid_argument("a download", why));
        };
        let download = tnv_proto::Download { key: key.clone(), offset: from, size: count };
        let opened = if self.as_peer {
            self.request(&Read { download, expected }.to_fetch_frame(), size, expected.is_known()).await
        } else if expected.is_known() {
            let read = Read { download, expected };
            match self.request(&read.to_frame(), size, true).await {
                Err(error) if error.is_unknown_command() => {
                    self.request(&read.download.to_frame(), size, false).await
                }
                result => result,
            }
        } else {
            self.request(&download.to_frame(), size, false).await
        }?;
        if size != 0 && opened.len != size {
            return Err(self.invalid(format!("{} bytes of a file, {size} were asked for", opened.len)));
        }
        Ok(opened)
    }

    /// PROGRESS: what is known here of an upload in parts.
    pub(crate) async fn progress(&self, key: &FileKey) -> Result<KnownUpload, ClientError> {
        let body = self.call(&key.to_frame(Command::Progress)).await?;
        KnownUpload::decode(&body).map_err(|error| self.invalid(error))
    }

    /// BEGIN: begins an upload in parts, or tells how far it has come.
    pub(crate) async fn begin(&self, begin: &Begin) -> Result<UploadProgress, ClientError> {
        let body = self.call(&begin.to_frame()).await?;
        UploadProgress::decode(&body).map_err(|error| self.invalid(error))
    }

    /// ABORT: whether there were parts of an upload that are forgotten now. Tried again a few times while somebody
    /// writes to it.
    pub(crate) async fn abort(&self, key: &FileKey) -> Result<bool, ClientError> {
        let frame = key.to_frame(Command::Abort);
        let mut pauses = ABORT_PAUSES.into_iter();
        loop {
            match self.call(&frame).await {
                Ok(_) => return Ok(true),
                // A storage too old for parts has none.
                Err(error) if error.is_not_found() || error.is_unknown_command() => return Ok(false),
                Err(error) if error.code() == Some(ErrorCode::LOCKED) => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    async fn request(&self, frame: &[u8], size: u64, checked: bool) -> Result<Opened, ClientError> {
        // Up to 64 KiB; the end of a file may be far.
        let ahead = if size == 0 { READ_AHEAD } else { size.min(READ_AHEAD) } as usize;
        let (connection, len) = self.pools.request(Server::Storage, &self.address, frame, ahead).await?;
        Ok(Opened { connection, len, checked })
    }

    pub(crate) async fn call(&self, frame: &[u8]) -> Result<Bytes, ClientError> {
        self.pools.call(Server::Storage, &self.address, frame, SMALL_REPLY).await
    }

    /// The same for a request that makes the storage read a whole file before it replies, which may take so long.
    pub(crate) async fn call_slow(&self, frame: &[u8], patience: Duration) -> Result<Bytes, ClientError> {
        let (mut connection, len) =
            self.pools.request_within(Server::Storage, &self.address, frame, SMALL_READ, patience).await?;
        connection.body(len, SMALL_REPLY).await
    }

    pub(crate) fn invalid(&self, what: impl std::fmt::Display) -> ClientError {
        ClientError::protocol(Server::Storage, &self.address, what)
    }
}
