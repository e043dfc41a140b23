//! Reads an upload's source piece by piece, off the reactor where it is a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

use crate::source::{Progress, Source};
use crate::{ClientError, PIECE};

/// A source while it is sent.
pub(crate) struct Feed {
    content: Content,
    size: u64,
    given: u64,
    progress: Vec<Progress>,
    reported: u64,
}

enum Content {
    Memory(Bytes),
    File { path: PathBuf, offset: u64, reader: Option<FileReader> },
    Stream { reader: Box<dyn AsyncRead + Send + Unpin>, buffer: Vec<u8> },
}

impl Feed {
    pub(crate) fn new(source: Source) -> Self {
        let size = source.size();
        let mut progress = Vec::new();
        let content = Content::new(source, &mut progress);
        Feed { content, size, given: 0, progress, reported: 0 }
    }

    /// How many bytes it gives in all.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes, at most [`PIECE`]; none after the last one. A future dropped before its end leaves the feed
    /// unusable until [`Feed::rewind`].
    pub(crate) async fn next(&mut self) -> Result<&[u8], ClientError> {
        let rest = self.size - self.given;
        let len = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
        if len == 0 {
            return Ok(&[]);
        }
        let piece = match &mut self.content {
            Content::Memory(bytes) => {
                // Within the bytes: `size` is their length and `given` below it.
                let start = self.given as usize;
                &bytes[start..start + len]
            }
            Content::File { path, offset, reader } => {
                let failed = |error| ClientError::local(format!("cannot read {}", path.display()), error);
                let reader = match reader {
                    Some(reader) => reader,
                    None => reader
                        .insert(FileReader::open(path.clone(), *offset, self.size).await.map_err(failed)?),
                };
                reader.next().await.map_err(failed)?
            }
            Content::Stream { reader, buffer } => {
                buffer.resize(PIECE, 0);
                let read = reader.read(&mut buffer[..len]).await.and_then(|n| match n {
                    0 => Err(cut_short(format!("it ended after {} of {} bytes", self.given, self.size))),
                    n => Ok(n),
                });
                let n = read.map_err(|error| ClientError::local("cannot read the stream", error))?;
                &buffer[..n]
            }
        };
        self.given += piece.len() as u64;
        Ok(piece)
    }

    /// Tells who watches that everything given so far was sent.
    pub(crate) fn report(&mut self) {
        if self.given > self.reported {
            self.reported = self.given;
            self.progress.iter().for_each(|progress| progress(self.given));
        }
    }

    /// Whether it can go back to the first byte once it was read from.
    pub(crate) fn can_restart(&self) -> bool {
        !matches!(self.content, Content::Stream { .. })
    }

    /// Goes back to the first byte, if it can.
    pub(crate) fn rewind(&mut self) -> bool {
        match &mut self.content {
            Content::Memory(_) => {}
            Content::File { reader, .. } => *reader = None,
            Content::Stream { .. } if self.given > 0 => return false,
            Content::Stream { .. } => {}
        }
        self.given = 0;
        true
    }
}

impl Content {
    fn new(source: Source, progress: &mut Vec<Progress>) -> Self {
        match source {
            Source::Memory(bytes) => Content::Memory(bytes),
            Source::File { path, offset, .. } => Content::File { path, offset, reader: None },
            Source::Stream { reader, .. } => Content::Stream { reader, buffer: Vec::new() },
            Source::Watched { source, progress: watcher } => {
                progress.push(watcher);
                Content::new(*source, progress)
            }
        }
    }
}

/// Reads a part of a file one piece ahead: while one buffer is sent, the other is filled.
struct FileReader {
    file: Arc<File>,
    offset: u64,
    rest: u64,
    ahead: Option<JoinHandle<io::Result<Vec<u8>>>>,
    current: Vec<u8>,
}

impl FileReader {
    async fn open(path: PathBuf, offset: u64, size: u64) -> io::Result<Self> {
        let file = tokio::task::spawn_blocking(move || File::open(path)).await??;
        Ok(FileReader { file: Arc::new(file), offset, rest: size, ahead: None, current: Vec::new() })
    }

    async fn next(&mut self) -> io::Result<&[u8]> {
        let spare = std::mem::take(&mut self.current);
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.read_ahead(Vec::new()),
        };
        self.current = ahead.await??;
        if self.rest > 0 {
            self.ahead = Some(self.read_ahead(spare));
        }
        Ok(&self.current)
    }

    fn read_ahead(&mut self, mut buffer: Vec<u8>) -> JoinHandle<io::Result<Vec<u8>>> {
        let len = usize::try_from(self.rest).unwrap_or(PIECE).min(PIECE);
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        self.offset += len as u64;
        self.rest -= len as u64;
        tokio::task::spawn_blocking(move || {
            buffer.resize(len, 0);
            file.read_exact_at(&mut buffer, offset).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => cut_short("it became shorter while it was sent"),
                _ => error,
            })?;
            Ok(buffer)
        })
    }
}

fn cut_short(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what.into())
}
