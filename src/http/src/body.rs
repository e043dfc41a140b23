//! Bodies of answers. A file is pulled from its storage as fast as the client takes it: at most one chunk is
//! held beside what the connection buffers. A body that is dropped cancels the download behind it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tnv_client::{Client, ClientError, Download};
use tnv_proto::{Checksum, FileKey};
use tokio_util::sync::ReusableBoxFuture;

use crate::access::Access;
use crate::multipart::Piece;
use crate::range::ByteRange;

/// Why a body ends before its time. The connection is cut off, so that nobody takes what came for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// No storage gives the rest.
    #[error(transparent)]
    Upstream(#[from] ClientError),
    /// A download was not as long as it had to be.
    #[error("the storage sent {0}")]
    Length(&'static str),
}

/// The body of an answer, of known length.
pub(crate) struct Body {
    content: Content,
    left: u64,
    access: Option<Access>,
}

enum Content {
    Text(Bytes),
    /// The next chunk on its way, and the reader that fetches it.
    File(ReusableBoxFuture<'static, (FileReader, Result<Bytes, BodyError>)>),
    /// Everything was sent, or an error.
    Over,
}

impl Body {
    /// These bytes.
    pub(crate) fn text(text: impl Into<Bytes>) -> Body {
        let text = text.into();
        Body { left: text.len() as u64, content: Content::Text(text), access: None }
    }

    /// Nothing.
    pub(crate) fn empty() -> Body {
        Body::text(Bytes::new())
    }

    /// What `reader` gives, which is `len` bytes.
    pub(crate) fn file(reader: FileReader, len: u64) -> Body {
        Body { left: len, content: Content::File(ReusableBoxFuture::new(reader.next())), access: None }
    }

    /// How many bytes are left of it.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    /// Reports to the log when it ends.
    pub(crate) fn logged(mut self, mut access: Access) -> Body {
        if self.left == 0 {
            access.completed();
        }
        self.access = Some(access);
        self
    }

    /// The next bytes, of which there are some.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        match &mut self.content {
            Content::Text(text) => Poll::Ready(Ok(std::mem::take(text))),
            Content::File(next) => {
                let (reader, chunk) = ready!(next.poll(cx));
                match &chunk {
                    Ok(bytes) if (bytes.len() as u64) < self.left => next.set(reader.next()),
                    _ => self.content = Content::Over,
                }
                Poll::Ready(chunk)
            }
            Content::Over => Poll::Ready(Err(BodyError::Length("too little"))),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = &mut *self;
        if body.left == 0 {
            return Poll::Ready(None);
        }
        let chunk =
            ready!(body.poll_chunk(cx)).and_then(|bytes| match body.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    body.left = left;
                    Ok(bytes)
                }
                None => Err(BodyError::Length("too much")),
            });
        if let Some(access) = &mut body.access {
            match &chunk {
                Ok(bytes) => access.sent(bytes.len()),
                Err(error) => access.broken(error),
            }
            if body.left == 0 {
                access.completed();
            }
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Where a file's bytes come from.
#[derive(Clone)]
pub(crate) struct FileSource {
    pub(crate) client: Client,
    pub(crate) key: FileKey,
    /// Guards against another file that has come under the same id; may be unknown.
    pub(crate) checksum: Checksum,
}

impl FileSource {
    async fn open(&self, range: ByteRange) -> Result<Download, ClientError> {
        self.client.download(&self.key, range.start(), range.len(), self.checksum).await
    }
}

/// Fetches the pieces of a body, one after the other.
pub(crate) struct FileReader {
    source: FileSource,
    pieces: std::vec::IntoIter<Piece>,
    /// The download of the first file piece, opened in advance.
    opened: Option<Download>,
    /// The download that is being read.
    current: Option<Download>,
}

impl FileReader {
    /// Opens the first of the file's bytes, so that what is wrong with it can still become a status.
    ///
    /// # Errors
    /// If no storage has them.
    pub(crate) async fn open(source: FileSource, pieces: Vec<Piece>) -> Result<FileReader, ClientError> {
        let first = pieces.iter().find_map(|piece| match piece {
            Piece::File(range) => Some(*range),
            Piece::Text(_) => None,
        });
        let opened = match first {
            Some(range) => Some(source.open(range).await?),
            None => None,
        };
        Ok(FileReader { source, pieces: pieces.into_iter(), opened, current: None })
    }

    async fn next(mut self) -> (FileReader, Result<Bytes, BodyError>) {
        let chunk = self.chunk().await;
        (self, chunk)
    }

    async fn chunk(&mut self) -> Result<Bytes, BodyError> {
        loop {
            if let Some(download) = &mut self.current {
                match download.chunk().await? {
                    Some(bytes) if !bytes.is_empty() => return Ok(bytes),
                    Some(_) => continue,
                    None => self.current = None,
                }
            }
            match self.pieces.next() {
                Some(Piece::Text(text)) => return Ok(text),
                Some(Piece::File(range)) => self.current = Some(self.begin(range).await?),
                None => return Err(BodyError::Length("too little")),
            }
        }
    }

    /// The download of a range, which must be as long as the range.
    async fn begin(&mut self, range: ByteRange) -> Result<Download, BodyError> {
        let download = match self.opened.take() {
            Some(opened) => opened,
            None => self.source.open(range).await?,
        };
        match download.size().cmp(&range.len()) {
            std::cmp::Ordering::Less => Err(BodyError::Length("too little")),
            std::cmp::Ordering::Equal => Ok(download),
            std::cmp::Ordering::Greater => Err(BodyError::Length("too much")),
        }
    }
}
