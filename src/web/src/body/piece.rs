//! What bodies are made of.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tnv_client::{Client, ClientError, Download};
use tnv_proto::{Checksum, FileKey};

use super::BodyError;
use super::local::Local;
use crate::range::ByteRange;

/// A piece of a body.
#[derive(Debug, Clone)]
pub enum Piece {
    /// These bytes.
    Text(Bytes),
    /// Bytes of a file in the cluster.
    Stored(Stored),
    /// Bytes of a file on this machine.
    Local(Local),
    /// Bytes of something that consists of pieces.
    Composed(Composed),
}

/// Bytes of a file in the cluster.
#[derive(Debug, Clone)]
pub struct Stored {
    file: Arc<StoredFile>,
    range: ByteRange,
}

/// A file in the cluster, as somebody knows it.
#[derive(Debug)]
pub struct StoredFile {
    /// Who can ask for it.
    pub client: Client,
    /// Which one it is.
    pub key: FileKey,
    /// Its length in bytes.
    pub size: u64,
    /// Of its bytes, which guards against another file that has come under the same id; may be unknown.
    pub checksum: Checksum,
}

/// Something that consists of pieces, which are made when they are needed.
pub trait Composite: fmt::Debug + Send + Sync {
    /// The pieces of a range of it, as long as that in all.
    fn pieces(&self, range: ByteRange) -> Pieces;
}

/// Pieces, one behind the other.
pub type Pieces = Box<dyn Iterator<Item = Piece> + Send + Sync>;

/// Bytes of something that consists of pieces.
#[derive(Debug, Clone)]
pub struct Composed {
    whole: Arc<dyn Composite>,
    range: ByteRange,
}

impl Composed {
    /// These bytes of it.
    pub fn new(whole: Arc<dyn Composite>, range: ByteRange) -> Composed {
        Composed { whole, range }
    }

    /// What they are made of.
    pub(super) fn pieces(&self) -> Pieces {
        self.whole.pieces(self.range)
    }
}

impl Piece {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Stored(stored) => stored.range.len(),
            Piece::Local(local) => local.len(),
            Piece::Composed(composed) => composed.range.len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first part of it that lies in the cluster.
    pub(super) fn first_stored(&self) -> Option<Stored> {
        match self {
            Piece::Stored(stored) => Some(stored.clone()),
            Piece::Composed(composed) => composed.pieces().find_map(|piece| piece.first_stored()),
            Piece::Text(_) | Piece::Local(_) => None,
        }
    }

    /// What it is without its first bytes; `None` if nothing is left.
    fn behind(&self, skipped: u64) -> Option<Piece> {
        match self {
            Piece::Text(text) => {
                let mut text = text.clone();
                text.advance(usize::try_from(skipped).unwrap_or(usize::MAX).min(text.len()));
                (!text.is_empty()).then_some(Piece::Text(text))
            }
            Piece::Stored(stored) => {
                let range = stored.range.behind(skipped)?;
                Some(Piece::Stored(Stored { file: Arc::clone(&stored.file), range }))
            }
            Piece::Local(local) => local.behind(skipped).map(Piece::Local),
            Piece::Composed(Composed { whole, range }) => {
                let range = range.behind(skipped)?;
                Some(Piece::Composed(Composed { whole: Arc::clone(whole), range }))
            }
        }
    }
}

impl Stored {
    /// These bytes of the file.
    pub fn new(file: Arc<StoredFile>, range: ByteRange) -> Stored {
        Stored { file, range }
    }

    /// How many they are, at least 1.
    pub(super) fn size(&self) -> u64 {
        self.range.len()
    }

    /// Opens them.
    pub(super) async fn open(&self) -> Result<Download, ClientError> {
        let StoredFile { client, key, checksum, .. } = &*self.file;
        client.download(key, self.range.start(), self.range.len(), *checksum).await
    }

    /// Opens them where others of what must be the same file were opened before.
    pub(super) async fn open_again(&self) -> Result<Download, BodyError> {
        let download = self.open().await?;
        let StoredFile { client, key, size, checksum } = &*self.file;
        // Without a checksum the size has to tell.
        if !checksum.is_known() && client.file_size(key).await? != *size {
            return Err(BodyError::Changed);
        }
        Ok(download)
    }
}

/// What is left of these pieces behind so many bytes.
pub(super) fn behind(pieces: &[Piece], mut given: u64) -> Vec<Piece> {
    let mut left = Vec::new();
    for piece in pieces {
        let skipped = given.min(piece.len());
        given -= skipped;
        left.extend(piece.behind(skipped));
    }
    left
}

#[cfg(test)]
mod tests {
    use tnv_client::Options;

    use super::*;
    use crate::multipart::{self, Section};
    use crate::range::{Selection, select};

    /// A file of 100 bytes in which each says where it stands.
    fn file() -> Arc<StoredFile> {
        Arc::new(StoredFile {
            client: Client::new(Vec::new(), Options::default()),
            key: FileKey::new("app", "user", "file").unwrap(),
            size: 100,
            checksum: Checksum::UNKNOWN,
        })
    }

    /// The same file in texts of three bytes.
    #[derive(Debug)]
    struct Texts;

    impl Composite for Texts {
        fn pieces(&self, range: ByteRange) -> Pieces {
            let bytes: Vec<u8> = (range.start()..range.start() + range.len()).map(|at| at as u8).collect();
            let texts: Vec<Piece> =
                bytes.chunks(3).map(|text| Piece::Text(Bytes::copy_from_slice(text))).collect();
            Box::new(texts.into_iter())
        }
    }

    fn body(pieces: &[Piece]) -> Vec<u8> {
        let bytes = pieces.iter().flat_map(|piece| match piece {
            Piece::Text(text) => text.to_vec(),
            Piece::Stored(Stored { range, .. }) => {
                (range.start()..range.start() + range.len()).map(|at| at as u8).collect()
            }
            Piece::Composed(composed) => body(&composed.pieces().collect::<Vec<_>>()),
            Piece::Local(_) => panic!(),
        });
        bytes.collect()
    }

    #[tokio::test]
    async fn what_is_left_is_what_was_not_given() {
        let file = file();
        let Selection::Ranges(ranges) = select(b"bytes=3-7,20-20", 100, 8) else { panic!() };
        for stored in [true, false] {
            let sections = multipart::layout(&ranges, 100, "video/mp4", "XYZ");
            let pieces: Vec<Piece> = sections
                .into_iter()
                .map(|section| match section {
                    Section::Text(text) => Piece::Text(text),
                    Section::Range(range) if stored => Piece::Stored(Stored::new(Arc::clone(&file), range)),
                    Section::Range(range) => Piece::Composed(Composed::new(Arc::new(Texts), range)),
                })
                .collect();
            let whole = body(&pieces);
            for given in 0..=whole.len() {
                let left = behind(&pieces, given as u64);
                assert_eq!(body(&left), whole[given..], "{given}");
                assert!(left.iter().all(|piece| !piece.is_empty()));
            }
        }
    }
}
