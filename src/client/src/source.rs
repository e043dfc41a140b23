//! What an upload reads from.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncRead;

use crate::ClientError;

/// Called with the number of bytes sent so far. It never goes back, even if the upload starts again on another
/// storage. It runs on the task of the upload and must not block.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// The contents of an upload.
pub enum Source {
    /// Bytes in memory.
    Memory(Bytes),
    /// A part of a file; [`Source::file`] checks the bounds.
    File {
        /// The file.
        path: PathBuf,
        /// The first byte, from 0.
        offset: u64,
        /// How many bytes, exactly: 0 is an empty upload.
        size: u64,
    },
    /// A reader that gives at least `size` bytes; what comes after them stays unread. It cannot start again, so an
    /// upload that fails on one storage goes on to the next only if nothing was read yet.
    Stream {
        /// Where the bytes come from.
        reader: Box<dyn AsyncRead + Send + Unpin>,
        /// How many bytes, exactly.
        size: u64,
    },
    /// Another source with somebody who watches how much was sent; made by [`Source::with_progress`].
    Watched {
        /// The source.
        source: Box<Source>,
        /// Who watches.
        progress: Progress,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
            Source::File { path, offset, size } => {
                write!(f, "File({} at {offset}, {size} bytes)", path.display())
            }
            Source::Stream { size, .. } => write!(f, "Stream({size} bytes)"),
            Source::Watched { source, .. } => source.fmt(f),
        }
    }
}

impl Source {
    /// A file from `offset` on: `size` bytes of it, 0 = to its end.
    ///
    /// # Errors
    /// [`ClientError::Local`] if it cannot be examined, is not a regular file, or has no such part.
    pub async fn file(path: impl Into<PathBuf>, offset: u64, size: u64) -> Result<Source, ClientError> {
        let path = path.into();
        let failed = |source| ClientError::local(format!("cannot read {}", path.display()), source);
        let metadata = tokio::fs::metadata(&path).await.map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let Some(rest) = metadata.len().checked_sub(offset).filter(|rest| size <= *rest) else {
            let why = format!("it has {} bytes, not {size} from offset {offset}", metadata.len());
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, why)));
        };
        Ok(Source::File { offset, size: if size == 0 { rest } else { size }, path })
    }

    /// The same source, with `progress` called as bytes are sent.
    pub fn with_progress(self, progress: Progress) -> Source {
        Source::Watched { source: Box::new(self), progress }
    }

    /// How many bytes an upload of it sends.
    pub fn size(&self) -> u64 {
        match self {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File { size, .. } | Source::Stream { size, .. } => *size,
            Source::Watched { source, .. } => source.size(),
        }
    }
}
