//! Uploads: sent to one storage after another, but never again once one of them may have taken the file.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tnv_proto::{Checksum, ErrorCode, FileKey, Request, Server};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use crate::connection::Peer;
use crate::feed::Feed;
use crate::pool::Pooled;
use crate::{ClientError, Source, StorageClient, error::Attempts};

/// An upload takes a pooled connection only if it was used this recently. One that the server closes just then would
/// swallow a small upload whole and leave its outcome in the dark.
const RECENT: Duration = Duration::from_secs(5);
/// How long a refusal may take to arrive after the storage stopped reading.
const REFUSAL_GRACE: Duration = Duration::from_secs(5);
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

/// How far an upload came on one storage.
enum Outcome {
    Stored(Uploaded),
    /// The storage cannot have taken the file.
    NotTaken(ClientError),
    /// Every byte was sent, but what came back says neither yes nor no.
    Unknown {
        reason: ClientError,
        sent: Uploaded,
    },
}

/// Uploads to the first of these storages that takes the file.
pub(crate) async fn upload(
    storages: &[StorageClient],
    key: &FileKey,
    source: Source,
) -> Result<Uploaded, ClientError> {
    let mut feed = Feed::new(source);
    let mut attempts = Attempts::default();
    for storage in storages {
        match send(storage, key, &mut feed).await {
            Outcome::Stored(uploaded) => return Ok(uploaded),
            Outcome::Unknown { reason, sent } => return settle(storages, key, reason, sent).await,
            Outcome::NotTaken(error) if another_may_take_it(&error) && feed.rewind() => attempts.push(error),
            Outcome::NotTaken(error) => return Err(attempts.concluded_by(error)),
        }
    }
    Err(attempts.into_error())
}

fn another_may_take_it(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { failure, .. } => {
            matches!(failure.code, ErrorCode::UNAVAILABLE | ErrorCode::NO_SPACE)
        }
        ClientError::Unreachable { .. } | ClientError::Protocol { .. } => true,
        ClientError::Local { .. } | ClientError::Uncertain { .. } => false,
    }
}

/// Sends the file to one storage; a second time on a new connection if a pooled one turns out to be dead before the
/// last byte.
async fn send(storage: &StorageClient, key: &FileKey, feed: &mut Feed) -> Outcome {
    let (pools, address) = (storage.pools(), storage.address());
    let mut connection = match pools.get_younger(Server::Storage, address, RECENT).await {
        Ok(connection) => connection,
        Err(error) => return Outcome::NotTaken(error),
    };
    let reused = connection.is_reused();
    match send_on(&mut connection, key, feed).await {
        Outcome::NotTaken(error) if reused && error.is_broken_connection() && feed.rewind() => {
            drop(connection);
            match pools.get_new(Server::Storage, address).await {
                Ok(mut connection) => send_on(&mut connection, key, feed).await,
                Err(error) => Outcome::NotTaken(error),
            }
        }
        outcome => outcome,
    }
}

/// Sends the file over one connection.
async fn send_on(connection: &mut Pooled, key: &FileKey, feed: &mut Feed) -> Outcome {
    connection.begin();
    let peer = connection.peer().clone();
    match exchange(&peer, connection.split(), key, feed).await {
        Ok((sent, Ok(0))) => {
            connection.finish();
            Outcome::Stored(sent)
        }
        Ok((_, Err(refusal @ ClientError::Refused { .. }))) => {
            connection.finish();
            Outcome::NotTaken(refusal)
        }
        Ok((sent, Ok(len))) => {
            Outcome::Unknown { reason: peer.protocol(format!("a body of {len} bytes, not 0")), sent }
        }
        Ok((sent, Err(reason))) => Outcome::Unknown { reason, sent },
        Err(error) => Outcome::NotTaken(error),
    }
}

/// Sends the file while watching for a reply, for a storage may refuse in the middle. What was sent and the reply to
/// it; an error means that the storage was not given the whole file.
async fn exchange(
    peer: &Peer,
    (mut read, mut write): (ReadHalf<'_>, WriteHalf<'_>),
    key: &FileKey,
    feed: &mut Feed,
) -> Result<(Uploaded, Result<u64, ClientError>), ClientError> {
    let size = feed.size();
    let mut reply = pin!(peer.reply(&mut read, None));
    // Nothing is awaited after the last byte is written. So as long as `sending` is not done, the storage lacks a
    // part of the file, and whatever it replies, it cannot have taken it.
    let sending = send_file(peer, &mut write, key, feed);
    let blake3 = tokio::select! {
        biased;
        early = &mut reply => {
            return Err(early.err().unwrap_or_else(|| peer.protocol("success before the whole file was sent")));
        }
        sent = sending => match sent {
            Ok(blake3) => blake3,
            // The storage may have said why before it hung up.
            Err(error) if error.is_broken_connection() => return Err(match timeout(REFUSAL_GRACE, reply).await {
                Ok(Err(refusal @ ClientError::Refused { .. })) => refusal,
                _ => error,
            }),
            Err(error) => return Err(error),
        },
    };

    let patience = peer.options.upload_reply_timeout;
    let answer = timeout(patience, reply).await.unwrap_or_else(|_| {
        let silence = format!("no reply within {patience:?} after the last byte");
        Err(peer.unreachable(io::Error::new(io::ErrorKind::TimedOut, silence)))
    });
    Ok((Uploaded { size, storage: peer.address.to_string(), blake3 }, answer))
}

async fn send_file(
    peer: &Peer,
    write: &mut WriteHalf<'_>,
    key: &FileKey,
    feed: &mut Feed,
) -> Result<Checksum, ClientError> {
    let mut rest = feed.size();
    let frame = tnv_proto::Upload { key: key.clone(), size: rest }.to_frame();
    peer.write(write, &frame).await?;
    let mut hasher = blake3::Hasher::new();
    while rest > 0 {
        let piece = feed.next().await?;
        hasher.update(piece);
        rest -= piece.len() as u64;
        peer.write(write, piece).await?;
        feed.report();
    }
    Ok(Checksum(*hasher.finalize().as_bytes()))
}

/// Finds out what became of an upload that was sent in full: asks its storage first, then the others.
async fn settle(
    storages: &[StorageClient],
    key: &FileKey,
    reason: ClientError,
    sent: Uploaded,
) -> Result<Uploaded, ClientError> {
    let (first, others): (Vec<_>, Vec<_>) =
        storages.iter().partition(|storage| storage.address() == sent.storage);
    let rounds = async {
        for pause in SETTLE_PAUSES {
            sleep(pause).await;
            for storage in first.iter().chain(&others) {
                if let Ok(found) = storage.stat(key).await {
                    let same_bytes = !found.blake3.is_known() || found.blake3 == sent.blake3;
                    return found.size == sent.size && same_bytes;
                }
            }
        }
        false
    };
    let patience = first.first().map_or(Duration::ZERO, |storage| storage.pools().options().reply_timeout);
    if timeout(patience, rounds).await == Ok(true) {
        return Ok(sent);
    }
    Err(ClientError::Uncertain { server: sent.storage, key: Box::new(key.clone()), reason: Box::new(reason) })
}
