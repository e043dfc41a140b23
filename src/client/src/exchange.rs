//! Requests with a long body: sent piece by piece while watching for the reply, for a storage may refuse in the middle.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tnv_proto::Checksum;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::ClientError;
use crate::connection::{Peer, SMALL_REPLY};
use crate::feed::Feed;
use crate::pool::Pooled;

/// A long request takes a pooled connection only if it was used this recently. One that the server closes just then
/// would swallow a small body whole and leave its outcome in the dark.
pub(crate) const RECENT: Duration = Duration::from_secs(5);
/// How long a refusal may take to arrive after the storage stopped reading.
const REFUSAL_GRACE: Duration = Duration::from_secs(5);

/// What is sent.
pub(crate) struct Bulk<'a> {
    /// Header and fixed part; the header counts everything that follows.
    pub(crate) frame: &'a [u8],
    /// What follows.
    pub(crate) feed: &'a mut Feed,
    /// What comes of its bytes' checksum.
    pub(crate) checksum: Hashing,
}

/// What is done about the checksum of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hashing {
    /// Nothing: it is not known afterwards.
    Off,
    /// It is computed.
    Computed,
    /// It is computed and sent behind the last byte.
    Sent,
}

/// A request that was sent to its last byte.
pub(crate) struct Answered {
    pub(crate) blake3: Checksum,
    /// The reply's body, of at most [`SMALL_REPLY`] bytes.
    pub(crate) reply: Result<Bytes, ClientError>,
}

/// Sends a request and reads its reply. An error means that the storage was not given the whole request.
pub(crate) async fn exchange(connection: &mut Pooled, bulk: Bulk<'_>) -> Result<Answered, ClientError> {
    connection.begin();
    let peer = connection.peer().clone();
    let (blake3, reply) = send_and_watch(&peer, connection.split(), bulk).await?;
    let reply = match reply {
        Ok(len) => connection.body(len, SMALL_REPLY).await,
        Err(refusal @ ClientError::Refused { .. }) => {
            connection.finish();
            Err(refusal)
        }
        Err(error) => Err(error),
    };
    Ok(Answered { blake3, reply })
}

async fn send_and_watch(
    peer: &Peer,
    (mut read, mut write): (ReadHalf<'_>, WriteHalf<'_>),
    bulk: Bulk<'_>,
) -> Result<(Checksum, Result<u64, ClientError>), ClientError> {
    let mut reply = pin!(peer.reply(&mut read, None));
    // Nothing is awaited after the last byte is written. So as long as `sending` is not done, the storage lacks a
    // part of the request, and whatever it replies, it cannot have done it.
    let sending = send(peer, &mut write, bulk);
    let blake3 = tokio::select! {
        biased;
        early = &mut reply => {
            return Err(early.err().unwrap_or_else(|| peer.protocol("success before everything was sent")));
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
    Ok((blake3, answer))
}

async fn send(peer: &Peer, write: &mut WriteHalf<'_>, bulk: Bulk<'_>) -> Result<Checksum, ClientError> {
    let Bulk { frame, feed, checksum } = bulk;
    peer.write(write, frame).await?;
    let mut rest = feed.size();
    let mut hasher = blake3::Hasher::new();
    while rest > 0 {
        let piece = feed.next().await?;
        if checksum != Hashing::Off {
            hasher.update(piece);
        }
        rest -= piece.len() as u64;
        peer.write(write, piece).await?;
        feed.report();
    }
    let blake3 = match checksum {
        Hashing::Off => Checksum::UNKNOWN,
        Hashing::Computed | Hashing::Sent => Checksum(*hasher.finalize().as_bytes()),
    };
    if checksum == Hashing::Sent {
        peer.write(write, &blake3.0).await?;
    }
    Ok(blake3)
}
