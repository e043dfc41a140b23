//! Where the parts of an upload lie: at one storage of the group, and the one that has them must be found.

use tnv_proto::{
    Begin, ErrorCode, Failure, FileKey, KnownUpload, Labels, NewUpload, Server, StorageAddresses,
};

use crate::error::Attempts;
use crate::upload::another_may_take_it;
use crate::{Client, ClientError, Parts, StorageClient};

impl Client {
    /// Begins an upload of `size` bytes in parts, or goes on with one: where a storage that the tracker names has
    /// parts of it already, it is resumed there.
    ///
    /// # Errors
    /// Refused with 409 if the file id is taken or an upload of another size is under way; 413, 507. Refused with 400
    /// (or 0xFFFF) by storages too old for it.
    pub async fn begin(&self, key: &FileKey, size: u64, labels: &Labels) -> Result<Parts, ClientError> {
        let answer = self.storages(&key.app, &key.user).await?;
        let mut storages = self.clients(&answer);
        if let (Some(parts), _) = furthest(&storages, key).await {
            storages = vec![self.storage(parts.storage())];
        }
        let ack_copies = self.ack_copies;
        let begin = Begin(NewUpload { key: key.clone(), size, labels: labels.clone(), ack_copies });
        let mut attempts = Attempts::default();
        for storage in storages {
            match storage.begin(&begin).await {
                Ok(progress) => {
                    return Ok(Parts::new(storage, key.clone(), KnownUpload { progress, labels: None }));
                }
                Err(error) if another_may_take_it(&error) || error.is_unknown_command() => {
                    attempts.push(error);
                }
                Err(error) => return Err(attempts.concluded_by(error)),
            }
        }
        Err(attempts.into_error())
    }

    /// Goes on with an upload whose storage is `away`, at another one: `None` as long as trackers name that storage, for what it
    /// has of the upload is worth a wait. Elsewhere it begins anew, unless others have parts of it too.
    ///
    /// # Errors
    /// As [`Client::begin`].
    pub async fn begin_elsewhere(
        &self,
        away: &str,
        key: &FileKey,
        size: u64,
        labels: &Labels,
    ) -> Result<Option<Parts>, ClientError> {
        let named = self.storages(&key.app, &key.user).await?.addresses;
        if named.iter().any(|address| address == away) {
            return Ok(None);
        }
        self.begin(key, size, labels).await.map(Some)
    }

    /// Finds the parts of an upload: asks the storages that a tracker names for the user, and then all others of
    /// that group that are not offline.
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if every storage that was asked said that it has none of them. Parts lie at one
    /// storage only: one that does not answer may be the one.
    pub async fn resume(&self, key: &FileKey) -> Result<Parts, ClientError> {
        let place = self.locate(&key.app, &key.user).await?;
        let answer = &place.answer;
        let (found, mut failed) = furthest(&place.storages, key).await;
        if let Some(parts) = found {
            return Ok(parts);
        }
        let (others, unknown) = self.other_storages(answer).await;
        let (found, failed_too) = furthest(&others, key).await;
        if let Some(parts) = found {
            return Ok(parts);
        }
        failed.extend(unknown.into_iter().chain(failed_too));
        Err(no_parts(key, answer, failed))
    }

    /// ABORT at every storage of the group that is not offline: forgets an upload wherever parts of it lie. None is
    /// asked for its progress first, so that parts that cannot be read any more go as well.
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if every storage said that it has none; refused with 423 while somebody goes on
    /// writing at one of them. If one had parts, others that do not answer are left alone.
    pub async fn discard(&self, key: &FileKey) -> Result<(), ClientError> {
        let place = self.locate(&key.app, &key.user).await?;
        let answer = &place.answer;
        let (others, unknown) = self.other_storages(answer).await;
        let (mut discarded, mut failed) = (false, Vec::from_iter(unknown));
        for storage in place.storages.iter().chain(&others) {
            match storage.abort(key).await {
                Ok(there) => discarded |= there,
                // What is written there is no less an upload for what lay elsewhere.
                Err(error) if error.code() == Some(ErrorCode::LOCKED) => return Err(error),
                Err(error) => failed.push(error),
            }
        }
        if discarded { Ok(()) } else { Err(no_parts(key, answer, failed)) }
    }

    /// The storages of the group that the tracker did not name and that may be there, and why that is not known.
    async fn other_storages(&self, answer: &StorageAddresses) -> (Vec<StorageClient>, Option<ClientError>) {
        let state = match self.state().await {
            Ok(state) => state,
            // A tracker too old to tell has named at least the first ones.
            Err(error) if error.is_unknown_command() => return (Vec::new(), None),
            Err(error) => return (Vec::new(), Some(error)),
        };
        let groups = state.groups.iter().filter(|group| group.name == answer.group.as_str());
        let others = groups
            .flat_map(|group| &group.storages)
            .filter(|storage| storage.status != "OFFLINE" && !answer.addresses.contains(&storage.address));
        (others.map(|storage| self.storage(&storage.address)).collect(), None)
    }
}

/// Why there are no parts: no storage has any, or some `failed` to tell.
fn no_parts(key: &FileKey, answer: &StorageAddresses, failed: Vec<ClientError>) -> ClientError {
    if failed.is_empty() {
        let failure = Failure::new(ErrorCode::NOT_FOUND, format!("there are no parts of {key}"));
        return ClientError::refused(Server::Storage, &answer.addresses.join(", "), failure);
    }
    let mut attempts = Attempts::default();
    failed.into_iter().for_each(|error| attempts.push(error));
    attempts.into_error()
}

/// The parts of an upload at the storage where most of it lies, and what went wrong with those that could not tell.
/// Several can have some: an upload may have begun anew while its storage was away.
async fn furthest(storages: &[StorageClient], key: &FileKey) -> (Option<Parts>, Vec<ClientError>) {
    let mut found: Option<Parts> = None;
    let mut failed = Vec::new();
    for storage in storages {
        match storage.progress(key).await {
            Ok(known) => {
                if found.as_ref().is_none_or(|best| known.progress.offset > best.progress().offset) {
                    found = Some(Parts::new(storage.clone(), key.clone(), known));
                }
            }
            // A storage too old for parts has none.
            Err(error) if error.is_not_found() || error.is_unknown_command() => {}
            Err(error) => failed.push(error),
        }
    }
    (found, failed)
}
