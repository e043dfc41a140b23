//! Uploads: sent to one storage after another, but not again while one of them may still take the file.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tnv_proto::{
    Acknowledged, Attributes, Checksum, ErrorCode, FileKey, Labels, NewUpload, Request, Server, Store,
};
use tokio::time::{sleep, timeout};

use crate::exchange::{Answered, Bulk, Hashing, RECENT, exchange};
use crate::feed::Feed;
use crate::pool::Pooled;
use crate::{ClientError, Source, StorageClient, error::Attempts};

/// The pauses before each round of asking what became of an upload: a storage may be about to finish it.
const SETTLE_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1)];

/// What became of an upload that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// How many bytes were sent.
    pub size: u64,
    /// The address of the storage that took them.
    pub storage: String,
    /// Their BLAKE3, computed while they were sent.
    pub blake3: Checksum,
}

/// What became of an upload with labels that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What the storage knows of the file now.
    pub attributes: Attributes,
    /// The address of the storage that took it.
    pub storage: String,
    /// How many storages had it, durable, when it was answered; 0 = not told.
    pub copies: u8,
}

/// What is uploaded, apart from its contents.
#[derive(Clone, Copy)]
struct Order<'a> {
    key: &'a FileKey,
    /// Sent as STORE, without them as UPLOAD.
    labels: Option<&'a Labels>,
    /// How many storages are to have the file; 0 = not said.
    ack_copies: u8,
}

/// An upload that succeeded.
struct Taken {
    uploaded: Uploaded,
    /// What the storage told of the file, if it did.
    told: Option<Acknowledged>,
}

/// How far an upload came on one storage.
enum Outcome {
    Stored(Taken),
    /// The storage cannot have taken the file.
    NotTaken(ClientError),
    /// Every byte was sent, but what came back says neither yes nor no.
    Unknown {
        reason: ClientError,
        sent: Uploaded,
    },
}

/// UPLOAD to the first of these storages that takes the file.
pub(crate) async fn upload(
    storages: &[StorageClient],
    key: &FileKey,
    source: Source,
) -> Result<Uploaded, ClientError> {
    Ok(hand_over(storages, Order { key, labels: None, ack_copies: 0 }, source).await?.uploaded)
}

/// STORE to the first of these storages that takes the file. One too old for it gets an UPLOAD.
pub(crate) async fn store(
    storages: &[StorageClient],
    (key, labels, ack_copies): (&FileKey, &Labels, u8),
    source: Source,
) -> Result<Stored, ClientError> {
    let order = Order { key, labels: Some(labels), ack_copies };
    let Taken { uploaded, told } = hand_over(storages, order, source).await?;
    let Acknowledged { attributes, copies } = match told {
        Some(told) => told,
        None => Acknowledged { attributes: known_of(storages, key, &uploaded).await, copies: 0 },
    };
    Ok(Stored { attributes, storage: uploaded.storage, copies })
}

/// What is known of a file whose storage did not tell when it took it.
async fn known_of(storages: &[StorageClient], key: &FileKey, uploaded: &Uploaded) -> Attributes {
    let bare = Attributes {
        size: uploaded.size,
        created_ms: 0,
        crc32: 0,
        blake3: uploaded.blake3,
        content_type: String::new(),
        name: String::new(),
    };
    let Some(storage) = storages.iter().find(|storage| storage.address() == uploaded.storage) else {
        return bare;
    };
    // The file is stored, whatever becomes of this question.
    match storage.stat(key).await {
        Ok(told) if told.size == uploaded.size => Attributes { blake3: uploaded.blake3, ..told },
        _ => bare,
    }
}

async fn hand_over(
    storages: &[StorageClient],
    order: Order<'_>,
    source: Source,
) -> Result<Taken, ClientError> {
    let mut feed = Feed::new(source);
    let mut attempts = Attempts::default();
    // What was sent in full to a storage that is gone: it may have stored it and died before its answer.
    let mut doubt: Option<(ClientError, Uploaded)> = None;
    for storage in storages {
        match send_as_understood(storage, order, &mut feed).await {
            Outcome::Stored(taken) => return Ok(taken),
            Outcome::Unknown { reason, sent } => {
                let was_gone = is_gone(storage).await;
                match settle(storages, order.key, &sent).await {
                    Fate::Stored(taken) => return Ok(taken),
                    Fate::Missing if (was_gone || is_gone(storage).await) && feed.rewind() => {
                        doubt.get_or_insert((reason, sent));
                    }
                    Fate::Missing | Fate::Another => return Err(uncertain(order.key, reason, sent)),
                }
            }
            // The first one may have stored it after all.
            Outcome::NotTaken(error) if error.code() == Some(ErrorCode::CONFLICT) && doubt.is_some() => break,
            Outcome::NotTaken(error) if another_may_take_it(&error) && feed.rewind() => attempts.push(error),
            Outcome::NotTaken(error) => return Err(attempts.concluded_by(error)),
        }
    }
    let Some((reason, sent)) = doubt else { return Err(attempts.into_error()) };
    match settle(storages, order.key, &sent).await {
        Fate::Stored(taken) => Ok(taken),
        Fate::Missing | Fate::Another => Err(uncertain(order.key, reason, sent)),
    }
}

/// Whether nothing listens at a storage's address: a process that is gone stores nothing any more.
async fn is_gone(storage: &StorageClient) -> bool {
    let refused = |source: &io::Error| source.kind() == io::ErrorKind::ConnectionRefused;
    match storage.pools().get_new(Server::Storage, storage.address()).await {
        Err(ClientError::Unreachable { source, .. }) => refused(&source),
        _ => false,
    }
}

/// Whether the next storage may take what this one did not: a refusal, of whatever number, means that nothing was stored,
/// for a storage that does not know hangs up instead. A broken disk is the affair of one storage.
pub(crate) fn another_may_take_it(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { failure, .. } => {
            matches!(failure.code, ErrorCode::UNAVAILABLE | ErrorCode::NO_SPACE | ErrorCode::INTERNAL)
        }
        ClientError::Unreachable { .. } | ClientError::Protocol { .. } => true,
        ClientError::Local { .. } | ClientError::Uncertain { .. } => false,
    }
}

/// Sends the file with its labels, or without them to a storage that does not know how to take them.
async fn send_as_understood(storage: &StorageClient, order: Order<'_>, feed: &mut Feed) -> Outcome {
    let bare = Order { labels: None, ..order };
    // What cannot start again must not be spent on finding out.
    if order.labels.is_some() && !feed.can_restart() {
        let older = storage.progress(order.key).await.is_err_and(|error| error.is_unknown_command());
        return send(storage, if older { bare } else { order }, feed).await;
    }
    match send(storage, order, feed).await {
        Outcome::NotTaken(error) if order.labels.is_some() && error.is_unknown_command() && feed.rewind() => {
            send(storage, bare, feed).await
        }
        outcome => outcome,
    }
}

/// Sends the file to one storage; a second time on a new connection if a pooled one turns out to be dead before the
/// last byte.
async fn send(storage: &StorageClient, order: Order<'_>, feed: &mut Feed) -> Outcome {
    let (pools, address) = (storage.pools(), storage.address());
    let mut connection = match pools.get_younger(Server::Storage, address, RECENT).await {
        Ok(connection) => connection,
        Err(error) => return Outcome::NotTaken(error),
    };
    let reused = connection.is_reused();
    match send_on(&mut connection, order, feed).await {
        Outcome::NotTaken(error) if reused && error.is_broken_connection() && feed.rewind() => {
            drop(connection);
            match pools.get_new(Server::Storage, address).await {
                Ok(mut connection) => send_on(&mut connection, order, feed).await,
                Err(error) => Outcome::NotTaken(error),
            }
        }
        outcome => outcome,
    }
}

/// Sends the file over one connection.
async fn send_on(connection: &mut Pooled, order: Order<'_>, feed: &mut Feed) -> Outcome {
    let peer = connection.peer().clone();
    let size = feed.size();
    let checksum = if order.labels.is_some() { Hashing::Sent } else { Hashing::Computed };
    let frame = order.frame(size);
    let (sent, reply) = match exchange(connection, Bulk { frame: &frame, feed, checksum }).await {
        Ok(Answered { blake3, reply }) => {
            (Uploaded { size, storage: peer.address.to_string(), blake3 }, reply)
        }
        Err(error) => return Outcome::NotTaken(error),
    };
    let body = match reply {
        Ok(body) => body,
        Err(refusal @ ClientError::Refused { .. }) => return Outcome::NotTaken(refusal),
        Err(reason) => return Outcome::Unknown { reason, sent },
    };
    let told = match order.labels {
        Some(_) => Acknowledged::decode(&body).map(Some).map_err(|error| peer.protocol(error)),
        None if body.is_empty() => Ok(None),
        None => Err(peer.protocol(format!("a body of {} bytes, not 0", body.len()))),
    };
    match told {
        Ok(told) => Outcome::Stored(Taken { uploaded: sent, told }),
        Err(reason) => Outcome::Unknown { reason, sent },
    }
}

impl Order<'_> {
    fn frame(&self, size: u64) -> BytesMut {
        let (key, ack_copies) = (self.key.clone(), self.ack_copies);
        match self.labels {
            Some(labels) => Store(NewUpload { key, size, labels: labels.clone(), ack_copies }).to_frame(),
            None => tnv_proto::Upload { key, size }.to_frame(),
        }
    }
}

/// What is known of an upload that was sent in full and not answered.
enum Fate {
    /// A storage has the file, with these bytes.
    Stored(Taken),
    /// There is another file with its id.
    Another,
    /// No storage has it, or none tells.
    Missing,
}

/// Finds out what became of an upload that was sent in full: asks its storage first, then the others.
async fn settle(storages: &[StorageClient], key: &FileKey, sent: &Uploaded) -> Fate {
    let (first, others): (Vec<_>, Vec<_>) =
        storages.iter().partition(|storage| storage.address() == sent.storage);
    let rounds = async {
        for pause in SETTLE_PAUSES {
            sleep(pause).await;
            for storage in first.iter().chain(&others) {
                if let Ok(found) = storage.stat(key).await {
                    return Some(found);
                }
            }
        }
        None
    };
    let patience = first.first().map_or(Duration::ZERO, |storage| storage.pools().options().reply_timeout);
    let Ok(Some(found)) = timeout(patience, rounds).await else { return Fate::Missing };
    let same_bytes = !found.blake3.is_known() || found.blake3 == sent.blake3;
    if found.size != sent.size || !same_bytes {
        return Fate::Another;
    }
    let attributes = Attributes { blake3: sent.blake3, ..found };
    Fate::Stored(Taken { told: Some(Acknowledged { attributes, copies: 0 }), uploaded: sent.clone() })
}

fn uncertain(key: &FileKey, reason: ClientError, sent: Uploaded) -> ClientError {
    ClientError::Uncertain { server: sent.storage, key: Box::new(key.clone()), reason: Box::new(reason) }
}
