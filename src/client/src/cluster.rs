//! A cluster, found through its trackers.

use std::sync::Arc;

use tnv_proto::state::ClusterState;
use tnv_proto::{AppId, Attributes, Checksum, FileKey, FileList, Labels, List, StorageAddresses, UserId};

use crate::error::Attempts;
use crate::located::{Located, Place};
use crate::pool::Pools;
use crate::route::Route;
use crate::{ClientError, Download, Options, Source, StorageClient, Stored, TrackerClient, Uploaded, upload};

/// A cluster, found through its trackers. Cheap to clone: clones share their connections.
///
/// Every tracker is tried, from a random one on, and every storage of its answer in the order it gives.
#[derive(Debug, Clone)]
pub struct Client {
    trackers: Arc<[TrackerClient]>,
    pools: Pools,
    located: Located,
    /// How many storages are to have an upload; 0 = not said.
    pub(crate) ack_copies: u8,
}

impl Client {
    /// The cluster of the trackers at these addresses (`host:port` each). Nothing is connected yet.
    pub fn new(trackers: Vec<String>, options: Options) -> Self {
        let pools = Pools::new(options);
        let trackers =
            trackers.iter().map(|address| TrackerClient::with_pools(address, pools.clone())).collect();
        let located = Located::new(pools.options().locate_ttl);
        Client { trackers, pools, located, ack_copies: 0 }
    }

    /// The same cluster, with uploads by [`Client::store`] and [`Client::begin`] answered when this many storages have the file,
    /// durable; 0 = as many as the storage that takes it is configured to wait for. With fewer storages in reach a storage
    /// refuses (503), or takes the file and tells how many have it, as it is configured.
    pub fn with_ack_copies(self, ack_copies: u8) -> Self {
        Client { ack_copies, ..self }
    }

    /// The user's group and the storages that serve it, in the order they should be tried.
    ///
    /// # Errors
    /// If no tracker tells: 403 for an app that is not served, 503 if no storage is active.
    pub async fn storages(&self, app: &AppId, user: &UserId) -> Result<StorageAddresses, ClientError> {
        self.ask_trackers(|tracker| async move { tracker.saddrs(app, user).await }).await
    }

    /// The storages that may have files of a user, for a caller who asks them himself. Nothing is changed by it.
    ///
    /// # Errors
    /// As [`Client::storages`], and refused with 404 for a user who has no files.
    pub async fn replicas(&self, app: &AppId, user: &UserId) -> Result<Vec<StorageClient>, ClientError> {
        Ok(self.locate(app, user).await?.storages.to_vec())
    }

    /// All groups and storages as text for people.
    ///
    /// # Errors
    /// If no tracker tells.
    pub async fn groups(&self) -> Result<String, ClientError> {
        self.ask_trackers(|tracker| async move { tracker.groups().await }).await
    }

    /// All groups and storages, as the first tracker that answers knows them.
    ///
    /// # Errors
    /// If no tracker tells.
    pub async fn state(&self) -> Result<ClusterState, ClientError> {
        self.ask_trackers(|tracker| async move { tracker.state().await }).await
    }

    /// Stores a new file.
    ///
    /// A storage that cannot have taken the file (unreachable, broken off before the last byte, refused with 503 or
    /// 507) is followed by the next one if the source can start again. Once all bytes were sent to a storage and no
    /// answer came, the storages are asked for the file, and if one has it with this size and BLAKE3, the upload has
    /// succeeded. If none has it and the storage's process is gone (it refuses connections), the next one gets the file,
    /// under the same id; from one that may still be at work it is not sent to anybody else.
    ///
    /// # Errors
    /// A refusal (409: the id is taken, 413: too large, 507: no space), [`ClientError::Uncertain`] if the outcome
    /// is not known, [`ClientError::Local`] if the source fails or is shorter than it said.
    pub async fn upload(&self, key: &FileKey, source: Source) -> Result<Uploaded, ClientError> {
        let answer = self.storages(&key.app, &key.user).await?;
        upload::upload(&self.clients(&answer), key, source).await
    }

    /// Stores a new file with its name and content type, and has the storage compare its BLAKE3. Which storage gets
    /// it and what happens without an answer: as with [`Client::upload`]. A storage too old for labels gets the file
    /// without them.
    ///
    /// # Errors
    /// As [`Client::upload`], and refused with 412 if what arrived has another checksum: nothing is stored then.
    pub async fn store(
        &self,
        key: &FileKey,
        labels: &Labels,
        source: Source,
    ) -> Result<Attributes, ClientError> {
        Ok(self.store_and_locate(key, labels, source).await?.attributes)
    }

    /// [`Client::store`], which also tells the storage that took the file.
    ///
    /// # Errors
    /// See [`Client::store`].
    pub async fn store_and_locate(
        &self,
        key: &FileKey,
        labels: &Labels,
        source: Source,
    ) -> Result<Stored, ClientError> {
        let answer = self.storages(&key.app, &key.user).await?;
        upload::store(&self.clients(&answer), (key, labels, self.ack_copies), source).await
    }

    /// A page of a user's files. A user without a group has none.
    ///
    /// # Errors
    /// Refused with 400 for a cursor that is none, and by storages too old for lists.
    pub async fn list(&self, list: &List) -> Result<FileList, ClientError> {
        let place = match self.locate(&list.app, &list.user).await {
            Err(error) if error.is_not_found() => return Ok(FileList::default()),
            place => place?,
        };
        let mut attempts = Attempts::default();
        for storage in place.storages.iter() {
            match storage.list(list).await {
                Ok(page) => return Ok(page),
                Err(error) if error.is_conclusive() && !error.is_unknown_command() => {
                    return Err(attempts.concluded_by(error));
                }
                Err(error) => attempts.push(error),
            }
        }
        Err(attempts.into_error())
    }

    /// A file's length in bytes.
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if it does not exist.
    pub async fn file_size(&self, key: &FileKey) -> Result<u64, ClientError> {
        self.ask_storages(key, |storage| async move { storage.file_size(key).await }).await
    }

    /// What is known of a file. A storage too old for it tells the size only; the rest is empty, 0 or unknown.
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if it does not exist.
    pub async fn stat(&self, key: &FileKey) -> Result<Attributes, ClientError> {
        self.ask_storages(key, |storage| async move { storage.stat(key).await }).await
    }

    /// Opens a file for reading from `offset` on: `size` bytes of it, 0 = to its end. If `expected` is known, a file
    /// with another checksum is refused (412); a storage too old to compare it sends the file as it is.
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if the file does not exist; 416 for a part outside of it.
    pub async fn download(
        &self,
        key: &FileKey,
        offset: u64,
        size: u64,
        expected: Checksum,
    ) -> Result<Download, ClientError> {
        Download::from_cluster(self, key, offset, size, expected).await
    }

    /// Removes a file for good. Succeeds as well if the file is gone after a try whose outcome got lost.
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if it does not exist.
    pub async fn delete(&self, key: &FileKey) -> Result<(), ClientError> {
        let mut may_be_done = false;
        let mut attempts = Attempts::default();
        for storage in self.locate(&key.app, &key.user).await?.storages.iter() {
            match storage.try_delete(key, &mut may_be_done).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_conclusive() => return Err(attempts.concluded_by(error)),
                Err(error) => attempts.push(error),
            }
        }
        Err(attempts.into_error())
    }

    /// Where the user's files are, as a tracker tells, or as one told before.
    pub(crate) async fn locate(&self, app: &AppId, user: &UserId) -> Result<Arc<Place>, ClientError> {
        match self.ask_trackers(|tracker| async move { tracker.locate(app, user).await }).await {
            Ok(answer) => {
                let storages = self.clients(&answer).into();
                let place = Arc::new(Place::new(answer, storages));
                self.located.remember(app, user, Arc::clone(&place));
                Ok(place)
            }
            // A film that plays goes on although every tracker is away.
            Err(error @ ClientError::Unreachable { .. }) => self.located.recall(app, user).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Where the user's files were a short while ago.
    pub(crate) fn located(&self, app: &AppId, user: &UserId) -> Option<Arc<Place>> {
        self.located.recent(app, user)
    }

    /// Has a tracker asked the next time.
    pub(crate) fn doubt(&self, app: &AppId, user: &UserId) {
        self.located.doubt(app, user);
    }

    pub(crate) fn clients(&self, answer: &StorageAddresses) -> Vec<StorageClient> {
        answer.addresses.iter().map(|address| self.storage(address)).collect()
    }

    /// The storage at `address` (`host:port`), over the connections of this client.
    pub fn storage(&self, address: &str) -> StorageClient {
        StorageClient::with_pools(address, self.pools.clone())
    }

    async fn ask_trackers<T, A>(&self, ask: impl Fn(TrackerClient) -> A) -> Result<T, ClientError>
    where
        A: Future<Output = Result<T, ClientError>>,
    {
        let start = rand::random_range(0..self.trackers.len().max(1));
        let mut attempts = Attempts::default();
        for tracker in self.trackers.iter().cycle().skip(start).take(self.trackers.len()) {
            match ask(tracker.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.push(error),
            }
        }
        Err(attempts.into_error())
    }

    async fn ask_storages<T, A>(
        &self,
        key: &FileKey,
        ask: impl Fn(StorageClient) -> A,
    ) -> Result<T, ClientError>
    where
        A: Future<Output = Result<T, ClientError>>,
    {
        let mut attempts = Attempts::default();
        let mut route = Route::to(self, &key.app, &key.user).await?;
        while let Some(storage) = route.next(key, &mut attempts).await {
            match ask(storage.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_conclusive() => return Err(attempts.concluded_by(error)),
                Err(error) => {
                    route.failed(key, storage, &error);
                    attempts.push(error);
                }
            }
        }
        Err(attempts.into_error())
    }
}
