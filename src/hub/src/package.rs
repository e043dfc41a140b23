//! The bytes of packages and files, read from the cluster as they are taken. A member is read under the id of its version
//! and with the checksum it must have, so that bytes of another version never get in, whatever happens meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tnv_client::{Client, ClientError, Download};
use tnv_package::{Layout, Segment, Segments};
use tnv_proto::{AppId, Checksum, FileId, FileKey, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::downloads::Followed;
use crate::meetings::MeetingFile;
use crate::web::Piece;

/// Why a body ends before its time. The connection is cut off, so that nobody takes what came for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// No storage gives the rest.
    #[error(transparent)]
    Upstream(#[from] ClientError),
    /// A download was not as long as it had to be.
    #[error("a storage sent too little or too much")]
    Length,
    /// A name that the cluster cannot have.
    #[error(transparent)]
    Name(#[from] tnv_proto::Malformed),
}

/// What is sent: a package, or one version of one file.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    Package(Layout),
    File(Arc<MeetingFile>),
}

/// Where its bytes lie.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) client: Client,
    pub(crate) app: AppId,
    pub(crate) user: UserId,
    pub(crate) object: Object,
}

impl Source {
    /// The pieces that a range of it is made of.
    fn segments(&self, start: u64, len: u64) -> Parts {
        match &self.object {
            Object::Package(layout) => Parts::Of(layout.segments(start..start.saturating_add(len))),
            Object::File(_) => Parts::One(Some(Segment::Member { index: 0, offset: start, len })),
        }
    }

    /// Opens a part of a member.
    pub(crate) async fn open(&self, index: usize, offset: u64, len: u64) -> Result<Download, BodyError> {
        let (id, checksum) = match &self.object {
            Object::Package(layout) => {
                let member = layout.manifest().members().get(index).ok_or(BodyError::Length)?;
                (member.id.as_str(), Checksum(*member.blake3.as_bytes()))
            }
            Object::File(file) => {
                (file.id.as_str(), Checksum::from_hex(&file.blake3).ok_or(BodyError::Length)?)
            }
        };
        let key = FileKey { app: self.app.clone(), user: self.user.clone(), file: FileId::new(id)? };
        let download = self.client.download(&key, offset, len, checksum).await?;
        if download.size() == len { Ok(download) } else { Err(BodyError::Length) }
    }
}

impl Source {
    /// Opens the first bytes of a member among those that these pieces begin with, if there are any.
    async fn open_first(&self, pieces: &[Piece]) -> Result<Option<Download>, BodyError> {
        let ranges = pieces.iter().filter_map(|piece| match piece {
            Piece::File(range) => Some(range),
            Piece::Text(_) => None,
        });
        // In front of the first member there are metadata.json and two headers.
        for segment in ranges.flat_map(|range| self.segments(range.start(), range.len())).take(4) {
            if let Segment::Member { index, offset, len } = segment {
                return self.open(index, offset, len).await.map(Some);
            }
        }
        Ok(None)
    }
}

/// Bytes on their way to a client.
struct Chunk {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

enum Parts {
    Of(Segments),
    One(Option<Segment>),
}

impl Iterator for Parts {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        match self {
            Parts::Of(segments) => segments.next(),
            Parts::One(segment) => segment.take(),
        }
    }
}

/// Fetches the pieces of a body, one after the other.
pub(crate) struct Reader {
    source: Source,
    pieces: std::vec::IntoIter<Piece>,
    parts: Parts,
    /// The download of the first bytes of a member, opened in advance.
    opened: Option<Download>,
    current: Option<Download>,
    followed: Followed,
}

impl Reader {
    /// Opens the first of the members' bytes, so that what is wrong with them can still become a status.
    ///
    /// # Errors
    /// If no storage has them.
    pub(crate) async fn open(
        source: Source,
        pieces: Vec<Piece>,
        followed: Followed,
    ) -> Result<Reader, BodyError> {
        let mut reader = Reader {
            source,
            pieces: Vec::new().into_iter(),
            parts: Parts::One(None),
            opened: None,
            current: None,
            followed,
        };
        match reader.source.open_first(&pieces).await {
            Ok(opened) => reader.opened = opened,
            Err(error) => {
                reader.followed.failed(error.to_string());
                return Err(error);
            }
        }
        reader.pieces = pieces.into_iter();
        Ok(reader)
    }

    /// Its bytes, in chunks of up to 256 KiB, of which there is one at a time: the next is read when the one before is gone.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
        let window = Arc::new(Semaphore::new(1));
        futures_util::stream::unfold(Some((self, window)), |state| async {
            let (mut reader, window) = state?;
            let place = Arc::clone(&window).acquire_owned().await.ok()?;
            match reader.chunk().await {
                Ok(Some(bytes)) => {
                    reader.followed.sent(bytes.len() as u64);
                    let chunk = Bytes::from_owner(Chunk { bytes, _place: place });
                    Some((Ok(chunk), Some((reader, window))))
                }
                Ok(None) => None,
                Err(error) => {
                    reader.followed.failed(error.to_string());
                    Some((Err(error), None))
                }
            }
        })
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(download) = &mut self.current {
                match download.chunk().await? {
                    Some(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                    Some(_) => continue,
                    None => self.current = None,
                }
            }
            match self.parts.next() {
                Some(Segment::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Segment::Member { index, offset, len }) => {
                    self.current = Some(match self.opened.take() {
                        Some(opened) => opened,
                        None => self.source.open(index, offset, len).await?,
                    });
                    continue;
                }
                None => {}
            }
            match self.pieces.next() {
                Some(Piece::Text(text)) => return Ok(Some(text)),
                Some(Piece::File(range)) => self.parts = self.source.segments(range.start(), range.len()),
                None => return Ok(None),
            }
        }
    }
}
