//! Sends one file: in one piece, or in parts that need never be sent again.

use std::sync::Arc;
use std::time::Instant;

use tnv_client::{Client, ClientError, Parts, Source, new_file_id};
use tnv_proto::{Acknowledged, AppId, Attributes, Checksum, ErrorCode, FileId, FileKey, Labels, UserId};

use crate::error::{Error, Kind, reason};
use crate::fingerprint::Fingerprint;
use crate::piece::Piece;
use crate::progress::Share;
use crate::retry::{Retry, may_pass};
use crate::session::Pace;
use crate::unfinished::Unfinished;

/// From this size on a file goes in parts, or from four parts on where those are smaller.
const PARTS_FROM: u64 = 64 * 1024 * 1024;

/// One file to be sent, and how.
pub(crate) struct Order<'a> {
    pub(crate) app: &'a AppId,
    pub(crate) user: &'a UserId,
    /// The id that the user wants; else a new one.
    pub(crate) id: Option<&'a FileId>,
    pub(crate) labels: Labels,
    pub(crate) piece: &'a Piece,
    /// How many bytes the piece has.
    pub(crate) size: u64,
    /// The length of a part, in bytes.
    pub(crate) part_size: u64,
    /// How many failures in a row are put up with.
    pub(crate) retries: u32,
}

/// A file that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: FileId,
    pub(crate) attributes: Attributes,
    /// Who took it.
    pub(crate) storage: String,
    /// How many storages had it, durable, when it was answered; 0 = not told.
    pub(crate) copies: u8,
    /// Bytes that had been sent by an earlier command.
    pub(crate) resumed_at: u64,
    pub(crate) pace: Pace,
}

impl Order<'_> {
    /// Sends the file. `unfinished` remembers, across commands, the id under which it is sent in parts.
    ///
    /// # Errors
    /// Why it could not be sent, and about which id.
    pub(crate) async fn send(
        &self,
        client: &Client,
        mut unfinished: Unfinished,
        share: &Share,
    ) -> Result<Sent, Error> {
        let start = Instant::now();
        if !self.goes_in_parts() {
            return self.send_whole(self.new_key(), client, share, start).await;
        }
        let earlier = unfinished.id().map(|file| self.key(file));
        let was_begun = earlier.is_some();
        let key = earlier.unwrap_or_else(|| self.new_key());
        let about = |error: Error| error.about(&key.file);
        let parts = match self.begin(&key, client, share).await {
            Ok(parts) => parts,
            Err(error) if is_unknown(&error) => return self.send_whole(key, client, share, start).await,
            // It may have been finished without anybody having heard of it.
            Err(error) if was_begun && error.code() == Some(ErrorCode::CONFLICT) => {
                unfinished.forget();
                return match self.stored(&key, client, share).await.map_err(about)? {
                    Some(attributes) => Ok(self.already_there(key.file, attributes, start)),
                    None => Box::pin(self.send(client, Unfinished::unknown(), share)).await,
                };
            }
            Err(error) => return Err(about(error.into())),
        };
        unfinished.remember(&key.file);
        let resumed_at = parts.progress().offset;
        let transfer = Transfer { order: self, key: &key, client, share };
        let (Acknowledged { attributes, copies }, storage) =
            transfer.run(parts, resumed_at, &mut unfinished).await.map_err(|error| {
                let error = about(error);
                if unfinished.is_remembered() {
                    error.advising("the same command again goes on from there")
                } else {
                    error
                }
            })?;
        unfinished.forget();
        Ok(Sent {
            id: key.file,
            pace: Pace::since(start, self.size - resumed_at),
            attributes,
            storage,
            copies,
            resumed_at,
        })
    }

    /// Asks for the upload, again while somebody else writes to it: that may be what a client that was killed a moment
    /// ago has left on its way.
    async fn begin(&self, key: &FileKey, client: &Client, share: &Share) -> Result<Parts, ClientError> {
        let mut retry = Retry::up_to(self.retries);
        loop {
            match client.begin(key, self.size, &self.labels).await {
                Err(error) if error.code() == Some(ErrorCode::LOCKED) => {
                    share.say(&format!("{}: {error}; trying again", self.piece.path.display()));
                    if !retry.pause().await {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether the file is long enough for it.
    pub(crate) fn goes_in_parts(&self) -> bool {
        self.size >= PARTS_FROM.min(self.part_size.saturating_mul(4))
    }

    async fn send_whole(
        &self,
        key: FileKey,
        client: &Client,
        share: &Share,
        start: Instant,
    ) -> Result<Sent, Error> {
        let stored = client
            .store_and_locate(&key, &self.labels, self.source(0, self.size, share))
            .await
            .map_err(|error| Error::from(error).about(&key.file))?;
        Ok(Sent {
            pace: Pace::since(start, self.size),
            id: key.file,
            attributes: stored.attributes,
            storage: stored.storage,
            copies: stored.copies,
            resumed_at: 0,
        })
    }

    /// The attributes of the stored file, if it is this one.
    async fn stored(
        &self,
        key: &FileKey,
        client: &Client,
        share: &Share,
    ) -> Result<Option<Attributes>, Error> {
        let attributes = match client.stat(key).await {
            Err(error) if error.is_not_found() => return Ok(None),
            attributes => attributes?,
        };
        let mut fingerprint = self.fingerprint();
        self.advance(&mut fingerprint, self.size).await?;
        share.set(self.size);
        Ok((attributes.size == self.size && attributes.blake3 == fingerprint.checksum())
            .then_some(attributes))
    }

    fn already_there(&self, id: FileId, attributes: Attributes, start: Instant) -> Sent {
        let pace = Pace::since(start, 0);
        Sent { id, attributes, storage: String::new(), copies: 0, resumed_at: self.size, pace }
    }

    fn new_key(&self) -> FileKey {
        self.key(self.id.cloned().unwrap_or_else(|| new_file_id(self.user)))
    }

    fn key(&self, file: FileId) -> FileKey {
        FileKey { app: self.app.clone(), user: self.user.clone(), file }
    }

    /// `size` bytes of the piece from `at` on. Not `Source::file`, which takes size 0 as "to the end": here it means
    /// nothing.
    fn source(&self, at: u64, size: u64, share: &Share) -> Source {
        let share = share.clone();
        let source = Source::File { path: self.piece.path.clone(), offset: self.piece.offset + at, size };
        source.with_progress(Arc::new(move |sent| share.set(at + sent)))
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(self.piece.path.clone(), self.piece.offset)
    }

    async fn advance(&self, fingerprint: &mut Fingerprint, to: u64) -> Result<(), Error> {
        fingerprint.advance(to).await.map_err(|error| {
            Error::local(format!("cannot read {}: {}", self.piece.path.display(), reason(&error)))
        })
    }
}

/// A storage, or every storage, that does not know uploads in parts.
fn is_unknown(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::BAD_REQUEST | ErrorCode::UNSPECIFIED))
}

/// What was found of an upload whose storage did not answer.
enum Found {
    Stored(Attributes),
    Parts(Parts),
}

/// A file on its way in parts.
struct Transfer<'a> {
    order: &'a Order<'a>,
    key: &'a FileKey,
    client: &'a Client,
    share: &'a Share,
}

impl Transfer<'_> {
    /// Sends what is missing and makes it a file. What an earlier command sent of a file that was another one then
    /// makes a wrong whole, which is given up and sent once more from its start. One that is wrong although all of it
    /// was sent now is given up for good.
    async fn run(
        &self,
        mut parts: Parts,
        resumed_at: u64,
        unfinished: &mut Unfinished,
    ) -> Result<(Acknowledged, String), Error> {
        let mut sent_before = resumed_at > 0;
        loop {
            let (outcome, storage) = self.attempt(parts).await?;
            match outcome {
                Err(error) if error.code() == Some(ErrorCode::CHANGED) => {
                    self.discard().await?;
                    if !sent_before {
                        unfinished.forget();
                        return Err(Error::from(error).during("the file changed while it was sent"));
                    }
                }
                outcome => return Ok((outcome?, storage)),
            }
            self.share.say("what was sent before is of another file: starting anew");
            (parts, sent_before) = (self.begin().await?, false);
        }
    }

    async fn discard(&self) -> Result<(), Error> {
        match self.client.discard(self.key).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Sends what is missing and asks for the file: the answer to that, and who gave it.
    async fn attempt(&self, mut parts: Parts) -> Result<(Result<Acknowledged, ClientError>, String), Error> {
        loop {
            let checksum = self.append_all(&mut parts).await?;
            let storage = parts.storage().to_owned();
            parts = match parts.finish(checksum).await {
                Err(error @ ClientError::Uncertain { .. }) => {
                    match self.after_doubt(error, &storage, checksum).await? {
                        Found::Stored(attributes) => {
                            return Ok((Ok(Acknowledged { attributes, copies: 0 }), storage));
                        }
                        Found::Parts(parts) => parts,
                    }
                }
                outcome => return Ok((outcome, storage)),
            };
        }
    }

    /// What became of a file whose storage died before it said so: stored, or to be gone on with where its parts are, or
    /// where another storage begins anew.
    async fn after_doubt(
        &self,
        error: ClientError,
        storage: &str,
        checksum: Checksum,
    ) -> Result<Found, Error> {
        let mut retry = Retry::up_to(self.order.retries);
        loop {
            self.share.say(&format!("{}: {error}; looking for it", self.order.piece.path.display()));
            if let Ok(found) = self.client.stat(self.key).await {
                let is_it = found.size == self.order.size && found.blake3 == checksum;
                return if is_it { Ok(Found::Stored(found)) } else { Err(error.into()) };
            }
            if let Ok(parts) = self.client.resume(self.key).await {
                return Ok(Found::Parts(parts));
            }
            if let Ok(Some(parts)) = self.elsewhere(storage).await {
                return Ok(Found::Parts(parts));
            }
            if !retry.pause().await {
                return Err(error.into());
            }
        }
    }

    /// Sends what is missing, again and again where it must be: the checksum of the whole.
    async fn append_all(&self, parts: &mut Parts) -> Result<Checksum, Error> {
        let mut fingerprint = self.order.fingerprint();
        let mut retry = Retry::up_to(self.order.retries);
        loop {
            let before = parts.progress().offset;
            self.share.set(before);
            if before >= self.order.size {
                self.order.advance(&mut fingerprint, self.order.size).await?;
                return Ok(fingerprint.checksum());
            }
            let len = self.order.part_size.min(self.order.size - before);
            let source = self.order.source(before, len, self.share);
            let (sent, hashed) =
                tokio::join!(parts.append(source), self.order.advance(&mut fingerprint, before + len));
            hashed?;
            if parts.progress().offset > before {
                retry.succeeded();
            }
            if let Err(error) = sent {
                self.recover(parts, error, &mut retry).await?;
            }
        }
    }

    /// Gets ready for the next try, if there is one.
    async fn recover(&self, parts: &mut Parts, error: ClientError, retry: &mut Retry) -> Result<(), Error> {
        // An offset that was not the storage's is known by now; parts that are gone begin anew.
        let worth_it = may_pass(&error) || error.is_not_found() || error.code() == Some(ErrorCode::CONFLICT);
        if !worth_it {
            return Err(error.into());
        }
        self.share.say(&format!("{}: {error}; trying again", self.order.piece.path.display()));
        if !retry.pause().await {
            return Err(error.into());
        }
        match parts.refresh().await {
            Err(gone) if gone.is_not_found() => *parts = self.begin().await?,
            Err(ClientError::Unreachable { .. }) => {
                if let Ok(Some(others)) = self.elsewhere(parts.storage()).await {
                    self.share.say(&format!(
                        "going on at {} from byte {}",
                        others.storage(),
                        others.progress().offset
                    ));
                    *parts = others;
                }
            }
            // Whatever else it is, the next part will tell.
            _ => {}
        }
        Ok(())
    }

    async fn begin(&self) -> Result<Parts, Error> {
        Ok(self.order.begin(self.key, self.client, self.share).await?)
    }

    /// The upload at another storage, once trackers know that this one is gone.
    async fn elsewhere(&self, storage: &str) -> Result<Option<Parts>, ClientError> {
        self.client.begin_elsewhere(storage, self.key, self.order.size, &self.order.labels).await
    }
}

impl Sent {
    /// Where it is and how it got there, for people.
    pub(crate) fn remark(&self) -> String {
        match (self.storage.as_str(), self.resumed_at) {
            ("", _) => "was stored already".to_owned(),
            (storage, 0) => format!("{}, stored on {storage}{}", self.pace, self.others()),
            (storage, at) => {
                format!(
                    "{}, stored on {storage}{}; {} were there already",
                    self.pace,
                    self.others(),
                    indicatif::HumanBytes(at)
                )
            }
        }
    }

    fn others(&self) -> String {
        match self.copies {
            0 | 1 => String::new(),
            copies => format!(" and {} more", copies - 1),
        }
    }
}

impl Error {
    /// Adds what can be done about it, where trying again makes sense.
    fn advising(mut self, what: &str) -> Error {
        if matches!(self.kind, Kind::Unreachable | Kind::Damaged) {
            self.text = format!("{}; {what}", self.text);
        }
        self
    }
}
