//! Fetches one file, or a part of one, to where it belongs.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use tnv_client::Client;
use tnv_proto::{Attributes, FileKey};

use crate::error::{Error, Kind, reason};
use crate::partial::Partial;
use crate::progress::Share;
use crate::retry::Retry;
use crate::session::{Context, Pace};
use crate::sink::{Sink, Written};
use crate::target::Target;

/// Smaller files are fetched again from their start: that is sooner done than going on.
const RESUME_FROM: u64 = 1024 * 1024;

/// What is fetched, and what is known about it beforehand.
pub(crate) struct Part {
    pub(crate) key: FileKey,
    pub(crate) attributes: Attributes,
    pub(crate) offset: u64,
    /// How many bytes, as it is asked for: 0 = to the end.
    pub(crate) size: u64,
}

/// A file that was fetched.
pub(crate) struct Fetch {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) written: Written,
    /// Whether its checksum was compared.
    pub(crate) verified: bool,
    /// Bytes that an earlier command had fetched.
    pub(crate) resumed_at: u64,
    pub(crate) pace: Pace,
}

impl Part {
    /// Fetches it into `target`. With `retries` it goes on after failures, so many in a row, and leaves what has come
    /// for a later command to go on with; without, it leaves nothing.
    ///
    /// # Errors
    /// Why there is no such file now.
    pub(crate) async fn fetch_to(
        &self,
        target: Target,
        context: &Context,
        retries: Option<u32>,
        share: &Share,
    ) -> Result<Fetch, Error> {
        let start = Instant::now();
        let goes_on = self.has_checksum() && self.attributes.size >= RESUME_FROM;
        let partial = match retries {
            Some(_) if goes_on => Partial::open(&target, &self.key, &self.attributes, &context.state).await?,
            _ => None,
        };
        let (written, resumed_at) = match (partial, retries) {
            (Some(partial), Some(retries)) => {
                let resumed_at = partial.written();
                let written =
                    self.fetch_to_partial(partial, &target, &context.client, retries, share).await?;
                // Where it turned out to be another file's, it began anew.
                (written.0, if written.1 { 0 } else { resumed_at })
            }
            _ => (self.fetch_to_temp(&target, &context.client, share).await?, 0),
        };
        target.sync_folder().await;
        Ok(Fetch {
            path: target.path().to_owned(),
            offset: self.offset,
            verified: self.has_checksum(),
            resumed_at,
            pace: Pace::since(start, written.size.saturating_sub(resumed_at)),
            written,
        })
    }

    async fn fetch_to_temp(&self, target: &Target, client: &Client, share: &Share) -> Result<Written, Error> {
        let (file, temp) = target.create_temp()?;
        let mut sink = Sink::start(file, |file: &mut File| file.sync_all());
        let failed = |error| cannot_write(target, &error);
        self.stream(client, &mut sink, 0, share, failed).await?;
        let written = sink.finish().await.map_err(failed)?;
        self.check(&written)?;
        // From here on without a pause, so that an interruption finds either the temporary file or the final one.
        target.publish(temp)?;
        Ok(written)
    }

    /// What was written, and whether it had to begin anew.
    async fn fetch_to_partial(
        &self,
        mut partial: Partial,
        target: &Target,
        client: &Client,
        retries: u32,
        share: &Share,
    ) -> Result<(Written, bool), Error> {
        let mut retry = Retry::up_to(retries);
        let (mut was_resumed, mut anew) = (partial.written() > 0, false);
        loop {
            let before = partial.written();
            share.set(before);
            let outcome = self.stream_into(&mut partial, target, client, share).await;
            if partial.written() > before {
                retry.succeeded();
            }
            let checked = match outcome {
                Ok(()) => self.check(&partial.so_far()),
                // Nothing more may come of it in this process, but it does not make what is there worse.
                Err(error) if error.kind != Kind::Unreachable => Err(error),
                Err(error) => {
                    share.say(&format!("{}: {error}; trying again", target.path().display()));
                    if retry.pause().await {
                        continue;
                    }
                    return Err(partial.advise(error));
                }
            };
            match checked {
                Ok(()) => {
                    let written = partial.so_far();
                    partial.publish(target)?;
                    return Ok((written, anew));
                }
                Err(error) if error.kind == Kind::Damaged && was_resumed => {
                    share.say(&format!("{}: {error}; starting anew", target.path().display()));
                    partial.restart().map_err(|error| cannot_write(target, &error))?;
                    (was_resumed, anew) = (false, true);
                }
                Err(error) if error.kind == Kind::Damaged => {
                    partial.discard();
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends what is missing. Whatever happens, `partial` knows afterwards what has been written.
    async fn stream_into(
        &self,
        partial: &mut Partial,
        target: &Target,
        client: &Client,
        share: &Share,
    ) -> Result<(), Error> {
        let failed = |error: std::io::Error| cannot_write(target, &error);
        let mut sink = partial.sink().map_err(failed)?;
        let streamed = self.stream(client, &mut sink, partial.written(), share, failed).await;
        // What was handed over is written, even if nothing more comes.
        partial.advance(sink.finish().await.map_err(failed)?);
        streamed
    }

    /// Moves the bytes from `done` on into `sink`. `failed` words a failed write.
    ///
    /// # Errors
    /// Why not all of them could be moved.
    pub(crate) async fn stream(
        &self,
        client: &Client,
        sink: &mut Sink,
        done: u64,
        share: &Share,
        failed: impl Fn(std::io::Error) -> Error,
    ) -> Result<(), Error> {
        if done > 0 && done == self.length() {
            return Ok(());
        }
        let size = if self.size == 0 { 0 } else { self.size - done };
        let mut download =
            client.download(&self.key, self.offset + done, size, self.attributes.blake3).await?;
        self.check_length(done + download.size())?;
        while let Some(chunk) = download.chunk().await? {
            let len = chunk.len() as u64;
            sink.write(chunk).await.map_err(&failed)?;
            share.add(len);
        }
        Ok(())
    }

    /// How many bytes it must have.
    pub(crate) fn length(&self) -> u64 {
        match self.size {
            0 => self.attributes.size.saturating_sub(self.offset),
            size => size,
        }
    }

    /// Whether it is a whole file whose checksum is known.
    pub(crate) fn has_checksum(&self) -> bool {
        self.offset == 0 && self.length() == self.attributes.size && self.attributes.blake3.is_known()
    }

    fn check_length(&self, size: u64) -> Result<(), Error> {
        let expected = self.length();
        if size == expected {
            return Ok(());
        }
        Err(Error::damaged(format!("{}: the storage gives {size} bytes, it should be {expected}", self.key)))
    }

    /// Checks the length, and the checksum where there is one.
    ///
    /// # Errors
    /// Damage.
    pub(crate) fn check(&self, written: &Written) -> Result<(), Error> {
        self.check_length(written.size)?;
        if self.has_checksum() && written.blake3 != self.attributes.blake3 {
            return Err(Error::damaged(format!(
                "{}: the bytes are damaged: their BLAKE3 is {}, it should be {}",
                self.key, written.blake3, self.attributes.blake3
            )));
        }
        Ok(())
    }
}

fn cannot_write(target: &Target, error: &std::io::Error) -> Error {
    Error::local(format!("cannot write {}: {}", target.path().display(), reason(error)))
}
