//! Where downloaded bytes are written: a thread of its own, for files and pipes block.

use std::io::{self, Write};

use bytes::Bytes;
use tnv_proto::Checksum;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// How many chunks wait for a slow disk or pipe before the download does.
const QUEUE: usize = 8;

/// Writes chunks in order and takes their checksum. Dropping it ends the writing after the chunk at hand.
pub(crate) struct Sink {
    chunks: mpsc::Sender<Bytes>,
    writer: JoinHandle<io::Result<Written>>,
}

/// What was written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) size: u64,
    pub(crate) blake3: Checksum,
    hasher: blake3::Hasher,
}

impl Written {
    /// `size` bytes that this hasher has seen.
    pub(crate) fn of(size: u64, hasher: blake3::Hasher) -> Written {
        Written { size, blake3: Checksum(hasher.finalize().into()), hasher }
    }

    /// What goes on with their checksum.
    pub(crate) fn into_hasher(self) -> blake3::Hasher {
        self.hasher
    }
}

impl Sink {
    /// Starts writing to `out`; `complete` is called after the last byte.
    pub(crate) fn start<W, F>(out: W, complete: F) -> Sink
    where
        W: Write + Send + 'static,
        F: FnOnce(&mut W) -> io::Result<()> + Send + 'static,
    {
        Sink::start_behind(Written::of(0, blake3::Hasher::new()), out, complete)
    }

    /// The same where `before` has been written already.
    pub(crate) fn start_behind<W, F>(before: Written, mut out: W, complete: F) -> Sink
    where
        W: Write + Send + 'static,
        F: FnOnce(&mut W) -> io::Result<()> + Send + 'static,
    {
        let (chunks, mut queue) = mpsc::channel::<Bytes>(QUEUE);
        let writer = spawn_blocking(move || {
            let Written { mut size, mut hasher, .. } = before;
            while let Some(chunk) = queue.blocking_recv() {
                out.write_all(&chunk)?;
                hasher.update(&chunk);
                size += chunk.len() as u64;
            }
            complete(&mut out)?;
            Ok(Written::of(size, hasher))
        });
        Sink { chunks, writer }
    }

    /// Hands over the next bytes; waits while the queue is full.
    ///
    /// # Errors
    /// Why an earlier write failed. The sink is of no use then.
    pub(crate) async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        if self.chunks.send(chunk).await.is_ok() {
            return Ok(());
        }
        match (&mut self.writer).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Err(io::Error::other("the writer ended early")),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until everything is written and completed.
    ///
    /// # Errors
    /// Why a write, or the completion, failed.
    pub(crate) async fn finish(self) -> io::Result<Written> {
        drop(self.chunks);
        self.writer.await?
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_told_after_completion() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut sink = Sink::start(File::create(&path).unwrap(), |file| file.sync_all());
        for chunk in ["one ", "two ", "three"] {
            sink.write(chunk.into()).await.unwrap();
        }
        let written = sink.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one two three");
        assert_eq!(written.size, 13);
        assert_eq!(written.blake3, Checksum(blake3::hash(b"one two three").into()));
    }

    #[tokio::test]
    async fn a_full_disk_is_told() {
        let mut sink = Sink::start(File::create("/dev/full").unwrap(), |_| Ok(()));
        let error = loop {
            if let Err(error) = sink.write(Bytes::from_static(b"more")).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[tokio::test]
    async fn a_failed_completion_is_told() {
        let sink = Sink::start(Vec::new(), |_| Err(io::Error::other("no sync")));
        assert_eq!(sink.finish().await.unwrap_err().to_string(), "no sync");
    }
}
