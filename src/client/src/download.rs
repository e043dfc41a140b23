//! Downloads that survive a storage.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tnv_proto::{Checksum, ErrorCode, Failure, FileKey, Server};
use tokio::net::TcpStream;

use crate::error::Attempts;
use crate::pool::Pooled;
use crate::route::Route;
use crate::storage::Opened;
use crate::{Client, ClientError, PIECE, StorageClient};

/// Below this spare capacity the buffer is renewed instead of being filled to its last byte with small reads.
const MIN_READ: usize = PIECE / 4;

/// A download under way, of 256 KiB of memory at most beside the chunks that the caller holds. Dropping it before its
/// end closes the connection, which cancels it on the storage.
#[derive(Debug)]
pub struct Download {
    part: Part,
    size: u64,
    done: u64,
    /// There while bytes are still to come.
    connection: Option<Pooled>,
    buffer: BytesMut,
    route: Route,
    /// What failed since the last byte arrived.
    attempts: Attempts,
    /// Whether every storage so far has compared the file's checksum.
    checked: bool,
    /// Addresses of storages that were out of reach or broke off.
    broken: Vec<Arc<str>>,
}

/// What was asked for.
#[derive(Debug)]
struct Part {
    key: FileKey,
    offset: u64,
    expected: Checksum,
    /// The length of the whole file, where the first answer told it.
    file_size: Option<u64>,
}

impl Download {
    pub(crate) async fn from_cluster(
        client: &Client,
        key: &FileKey,
        offset: u64,
        size: u64,
        expected: Checksum,
    ) -> Result<Self, ClientError> {
        let route = Route::to(client, &key.app, &key.user).await?;
        Download::open(route, key, offset, size, expected).await
    }

    /// READ or DOWNLOAD from one of these storages, and from the next one where it breaks off: like
    /// [`crate::Client::download`].
    ///
    /// # Errors
    /// See [`crate::Client::download`].
    pub async fn from_storages(
        storages: impl IntoIterator<Item = StorageClient>,
        key: &FileKey,
        offset: u64,
        size: u64,
        expected: Checksum,
    ) -> Result<Self, ClientError> {
        Download::open(Route::along(storages.into_iter().collect()), key, offset, size, expected).await
    }

    async fn open(
        mut route: Route,
        key: &FileKey,
        offset: u64,
        size: u64,
        expected: Checksum,
    ) -> Result<Self, ClientError> {
        let (mut attempts, mut broken) = (Attempts::default(), Vec::new());
        while let Some(storage) = route.next(key, &mut attempts).await {
            match storage.open(key, offset, size, expected).await {
                Ok(Opened { connection, len, checked }) => {
                    let file_size = if size == 0 { offset.checked_add(len) } else { None };
                    route.succeeded();
                    return Ok(Download {
                        part: Part { key: key.clone(), offset, expected, file_size },
                        size: len,
                        done: 0,
                        connection: (len > 0).then_some(connection),
                        buffer: BytesMut::new(),
                        route,
                        attempts: Attempts::default(),
                        checked,
                        broken,
                    });
                }
                Err(error) if error.is_conclusive() => return Err(attempts.concluded_by(error)),
                Err(error) => {
                    if error.code().is_none() {
                        broken.push(storage.address().into());
                    }
                    route.failed(key, storage, &error);
                    attempts.push(error);
                }
            }
        }
        Err(attempts.into_error())
    }

    /// Takes the addresses of the storages that were out of reach or broke off while others have helped; those of a download
    /// that failed are in its error.
    pub fn take_broken(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.broken)
    }

    /// The storage that sends at present.
    pub fn sender(&self) -> Option<&str> {
        self.connection.as_ref().map(|connection| &*connection.peer().address)
    }

    /// How many bytes this download gives in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes, 1 byte to 256 KiB; `None` after exactly [`Download::size`] bytes.
    ///
    /// When the connection breaks or stands still, the download goes on at the same place on the next storage, and
    /// then on those that the trackers name if asked again. It does so only if it is certain to get the same file:
    /// every storage has compared its checksum, or the length of the whole file is known and still the same.
    ///
    /// The future must be driven to its end: one that is dropped in between may end the download.
    ///
    /// # Errors
    /// The reason why the download cannot go on. Every further call fails as well.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let rest = self.rest();
        if rest == 0 {
            return Ok(None);
        }
        if let Some(ahead) = self.take_ahead() {
            return Ok(Some(ahead));
        }
        loop {
            let Some(connection) = &mut self.connection else {
                return Err(failed_before());
            };
            if self.buffer.capacity() < usize::try_from(rest).unwrap_or(PIECE).min(MIN_READ) {
                self.buffer.reserve(usize::try_from(rest).unwrap_or(PIECE).min(PIECE));
            }
            let limit = rest.min(PIECE as u64);
            match connection.read_some(&mut self.buffer, limit).await {
                Ok(read) => {
                    self.advance(read as u64);
                    return Ok(Some(self.buffer.split().freeze()));
                }
                Err(error) => self.resume(error).await?,
            }
            if let Some(ahead) = self.take_ahead() {
                return Ok(Some(ahead));
            }
        }
    }

    /// How many bytes were not given yet.
    pub fn rest(&self) -> u64 {
        self.size - self.done
    }

    /// Whether every storage so far has compared the file's checksum with the expected one.
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// What has come along with a storage's agreement, up to 64 KiB: the next bytes, if there are any in hand. To be
    /// taken before [`Download::stream`] is read from.
    pub fn take_ahead(&mut self) -> Option<Bytes> {
        let rest = self.rest();
        let ahead = self.connection.as_mut()?.take_ahead(rest);
        if ahead.is_empty() {
            return None;
        }
        self.advance(ahead.len() as u64);
        Some(ahead.freeze())
    }

    /// The connection that the next [`Download::rest`] bytes come on, for a caller who moves them himself and tells of
    /// each with [`Download::took`]. When it ends or fails before, [`Download::go_on`] finds another one.
    ///
    /// # Errors
    /// If there is none: everything was given, or the download has failed.
    pub fn stream(&self) -> Result<&TcpStream, ClientError> {
        self.connection.as_ref().map(|connection| connection.stream()).ok_or_else(failed_before)
    }

    /// Notes that so many bytes, of which there are some, were taken from [`Download::stream`]; never more than the
    /// rest.
    pub fn took(&mut self, bytes: u64) {
        self.advance(bytes.min(self.rest()));
    }

    /// Goes on behind the bytes taken so far on another connection, as [`Download::chunk`] does, after `broken` has
    /// happened on this one. [`Download::take_ahead`] may have something then.
    ///
    /// # Errors
    /// See [`Download::chunk`].
    pub async fn go_on(&mut self, broken: io::Error) -> Result<(), ClientError> {
        let Some(connection) = &self.connection else { return Err(failed_before()) };
        let broken = connection.peer().unreachable(broken);
        self.resume(broken).await
    }

    fn advance(&mut self, read: u64) {
        self.done += read;
        self.route.succeeded();
        self.attempts = Attempts::default();
        if self.done == self.size
            && let Some(mut connection) = self.connection.take()
        {
            connection.finish();
        }
    }

    /// Goes on at the same place on another storage, after `broken` happened on this one.
    async fn resume(&mut self, broken: ClientError) -> Result<(), ClientError> {
        if let Some(connection) = self.connection.take() {
            self.broken.push(connection.peer().address.clone());
        }
        self.route.doubt(&self.part.key);
        self.attempts.push(broken);
        if self.checked || self.part.file_size.is_some() {
            while let Some(storage) = self.route.next(&self.part.key, &mut self.attempts).await {
                match self.open_rest(&storage).await {
                    Ok(connection) => {
                        tracing::debug!(key = %self.part.key, storage = storage.address(), "download goes on");
                        self.connection = Some(connection);
                        return Ok(());
                    }
                    Err(error) => {
                        self.route.failed(&self.part.key, storage, &error);
                        self.attempts.push(error);
                    }
                }
            }
        }
        Err(std::mem::take(&mut self.attempts).into_error())
    }

    async fn open_rest(&mut self, storage: &StorageClient) -> Result<Pooled, ClientError> {
        let (key, at) = (&self.part.key, self.part.offset + self.done);
        let opened = storage.open(key, at, self.size - self.done, self.part.expected).await?;
        if self.checked && opened.checked {
            return Ok(opened.connection);
        }
        let changed = |what: String| {
            let failure = Failure::new(ErrorCode::CHANGED, format!("cannot go on with {key}: {what}"));
            ClientError::refused(Server::Storage, storage.address(), failure)
        };
        let Some(wanted) = self.part.file_size else {
            return Err(changed("this storage cannot tell if it is the same file".to_owned()));
        };
        match storage.file_size(key).await? {
            size if size == wanted => {
                self.checked = false;
                Ok(opened.connection)
            }
            size => Err(changed(format!("it has {size} bytes here, not {wanted}"))),
        }
    }
}

fn failed_before() -> ClientError {
    ClientError::local("cannot go on", io::Error::other("the download has failed"))
}
