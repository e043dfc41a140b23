//! Uploads in parts: what has arrived stays at its storage, whatever breaks in between.

use std::time::Duration;

use tnv_proto::{
    Acknowledged, Append, Checksum, ErrorCode, FileKey, Finish, KnownUpload, Labels, Request, Server,
    UploadProgress,
};
use tokio::time::{Instant, sleep};

use crate::exchange::{Bulk, Hashing, RECENT, exchange};
use crate::feed::Feed;
use crate::pool::Pooled;
use crate::{ClientError, Source, StorageClient};

/// The pauses before FINISH is asked for again, when its reply got lost or somebody else was writing.
const FINISH_PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2)];
/// Between two questions whether a FINISH under way is over: twice as long each time, up to a limit.
const FIRST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// How fast a storage reads at least what it is to make a file of, in bytes per second.
const FINISH_RATE: u64 = 20_000_000;

/// An upload under way in parts, bound to the one storage that keeps them; made by [`crate::Client::begin`] and
/// [`crate::Client::resume`]. Dropping it leaves the parts where they are, for a day after the last of them came.
#[derive(Debug)]
pub struct Parts {
    storage: StorageClient,
    key: FileKey,
    progress: UploadProgress,
    labels: Option<Labels>,
}

impl Parts {
    pub(crate) fn new(storage: StorageClient, key: FileKey, known: KnownUpload) -> Self {
        Parts { storage, key, progress: known.progress, labels: known.labels }
    }

    /// How far it has come, as the storage said last.
    pub fn progress(&self) -> UploadProgress {
        self.progress
    }

    /// The name and type it was begun with; `None` if its storage is too old to tell, or was not asked: BEGIN does not
    /// tell them of an upload that was there already.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// The `host:port` of the storage that keeps the parts.
    pub fn storage(&self) -> &str {
        self.storage.address()
    }

    /// APPEND: sends the next part, all of `source`, from the current offset on. When it returns, those bytes are
    /// durable.
    ///
    /// After an error the storage was asked how much it kept, so that [`Parts::progress`] tells where to go on; if
    /// it did not answer, call [`Parts::refresh`] before the next part.
    ///
    /// # Errors
    /// Refused with 400 for more bytes than the file has, 404 if the parts are gone, 409 if the offset was not the
    /// storage's, 423 while somebody else writes, 507 for lack of space; [`ClientError::Unreachable`] if the
    /// connection broke or stood still; [`ClientError::Local`] if the source fails.
    pub async fn append(&mut self, source: Source) -> Result<UploadProgress, ClientError> {
        match self.send(&mut Feed::new(source)).await {
            Ok(progress) => {
                self.progress = progress;
                Ok(progress)
            }
            Err(error) => {
                // The first error is the one that tells; what this says is only needed to go on.
                let _ = self.refresh().await;
                Err(error)
            }
        }
    }

    /// FINISH: makes a file of the parts, all of which must be there. `expected` is the BLAKE3 that the whole should
    /// have, [`Checksum::UNKNOWN`] = whatever it has.
    ///
    /// A storage reads all of it first, so this takes the longer the larger it is: the reply may take
    /// [`crate::Options::upload_reply_timeout`] and a second for every 20 MB. A reply that gets lost is asked for
    /// again, for a file that is stored already is a success; and a FINISH that is still under way, whoever asked for
    /// it, is waited for as long.
    ///
    /// # Errors
    /// Refused with 409 if bytes are missing, with 412 if the checksum is another one, with 423 while somebody else
    /// writes: the parts stay then. [`ClientError::Uncertain`] if the outcome is not known.
    pub async fn finish(mut self, expected: Checksum) -> Result<Acknowledged, ClientError> {
        let frame = Finish { key: self.key.clone(), expected }.to_frame();
        let patience = self.finish_patience();
        let mut lost = None;
        let mut pauses = FINISH_PAUSES.into_iter();
        let (mut poll, mut running_until) = (FIRST_POLL, None);
        loop {
            let busy = match self.finish_once(&frame, patience).await {
                Err(error @ (ClientError::Unreachable { .. } | ClientError::Protocol { .. })) => {
                    lost = Some(error);
                    None
                }
                Err(error) if error.code() == Some(ErrorCode::LOCKED) => Some(error),
                outcome => return outcome,
            };
            let pause = if busy.is_some() && self.is_whole().await {
                // It answers: what got lost before does not count.
                pauses = FINISH_PAUSES.into_iter();
                let until = *running_until.get_or_insert_with(|| Instant::now() + patience);
                let pause = poll.min(until.saturating_duration_since(Instant::now()));
                poll = LONGEST_POLL.min(poll * 2);
                (!pause.is_zero()).then_some(pause)
            } else {
                pauses.next()
            };
            match pause {
                Some(pause) => sleep(pause).await,
                None => return Err(self.unfinished(lost, busy)),
            }
        }
    }

    /// ABORT: forgets the parts. Succeeds as well if they are gone already. While somebody writes it is tried again a
    /// few times: that may be what a broken connection has left on its way.
    ///
    /// # Errors
    /// Refused with 423 while somebody goes on writing; [`ClientError::Unreachable`].
    pub async fn abort(&self) -> Result<(), ClientError> {
        self.storage.abort(&self.key).await.map(drop)
    }

    /// PROGRESS: asks how far it has come.
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if the parts are gone: forgotten, or made a file.
    pub async fn refresh(&mut self) -> Result<UploadProgress, ClientError> {
        let known = self.storage.progress(&self.key).await?;
        (self.progress, self.labels) = (known.progress, known.labels);
        Ok(self.progress)
    }

    /// Sends a part; a second time on a new connection if a pooled one turns out to be dead and nothing of the part
    /// has arrived. A storage takes no part twice, for it compares the offset.
    async fn send(&mut self, feed: &mut Feed) -> Result<UploadProgress, ClientError> {
        let (pools, address) = (self.storage.pools().clone(), self.storage.address().to_owned());
        let before = self.progress.offset;
        let frame = Append { key: self.key.clone(), offset: before, len: feed.size() }.to_frame();
        let mut connection = pools.get_younger(Server::Storage, &address, RECENT).await?;
        let reused = connection.is_reused();
        match self.send_on(&mut connection, &frame, feed).await {
            Err(error) if reused && error.is_broken_connection() && feed.rewind() => {
                drop(connection);
                if self.refresh().await?.offset != before {
                    return Err(error);
                }
                let mut connection = pools.get_new(Server::Storage, &address).await?;
                self.send_on(&mut connection, &frame, feed).await
            }
            result => result,
        }
    }

    async fn send_on(
        &self,
        connection: &mut Pooled,
        frame: &[u8],
        feed: &mut Feed,
    ) -> Result<UploadProgress, ClientError> {
        let answered = exchange(connection, Bulk { frame, feed, checksum: Hashing::Off }).await?;
        UploadProgress::decode(&answered.reply?).map_err(|error| self.storage.invalid(error))
    }

    /// How long the reply to a FINISH may take.
    fn finish_patience(&self) -> Duration {
        let options = self.storage.pools().options();
        options.upload_reply_timeout + Duration::from_secs(self.progress.size / FINISH_RATE)
    }

    async fn finish_once(&self, frame: &[u8], patience: Duration) -> Result<Acknowledged, ClientError> {
        let body = self.storage.call_slow(frame, patience).await?;
        Acknowledged::decode(&body).map_err(|error| self.storage.invalid(error))
    }

    /// Whether all bytes are there, so that whoever keeps others out is not writing but making a file of them.
    async fn is_whole(&mut self) -> bool {
        self.refresh().await.is_ok_and(|progress| progress.offset == progress.size)
    }

    /// Why a FINISH is given up.
    fn unfinished(self, lost: Option<ClientError>, busy: Option<ClientError>) -> ClientError {
        match (lost, busy) {
            (Some(reason), _) => ClientError::Uncertain {
                server: self.storage.address().to_owned(),
                key: Box::new(self.key),
                reason: Box::new(reason),
            },
            (None, Some(busy)) => busy,
            (None, None) => unreachable!("an attempt was lost or refused"),
        }
    }
}
