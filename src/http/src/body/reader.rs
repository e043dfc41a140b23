//! A file's bytes from its storages, piece by piece.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use tnv_client::{Client, ClientError, Download};

use super::BodyError;
use crate::files::KnownFile;
use crate::multipart::Piece;
use crate::range::ByteRange;

/// Where a file's bytes come from.
#[derive(Clone)]
pub(crate) struct FileSource {
    pub(crate) client: Client,
    pub(crate) file: Arc<KnownFile>,
}

impl FileSource {
    /// Opens a range of it. Its checksum guards against another file that has come under the same id; it may be unknown.
    async fn open(&self, range: ByteRange) -> Result<Download, ClientError> {
        let file = &self.file;
        self.client.download(&file.key, range.start(), range.len(), file.description.checksum).await
    }

    /// Opens it once more, for what must be the same file.
    async fn open_again(&self, range: ByteRange) -> Result<Download, BodyError> {
        let download = self.open(range).await?;
        let KnownFile { key, description, .. } = &*self.file;
        // Without a checksum the size has to tell.
        if !description.checksum.is_known() && self.client.file_size(key).await? != description.size {
            return Err(BodyError::Changed);
        }
        Ok(download)
    }
}

/// A part of a body.
pub(crate) enum Part<'a> {
    Text(Bytes),
    /// All of what this download has left.
    File(&'a mut Download),
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
        Ok(FileReader { opened, ..FileReader::closed(source, pieces) })
    }

    /// The same with nothing opened yet.
    fn closed(source: FileSource, pieces: Vec<Piece>) -> FileReader {
        FileReader { source, pieces: pieces.into_iter(), opened: None, current: None }
    }

    /// Whether a storage has said that these are bytes of the very file they were asked of.
    pub(crate) fn is_checked(&self) -> bool {
        self.opened.as_ref().is_none_or(Download::is_checked)
    }

    /// The next part of the body, for a caller who moves a download's bytes himself; `None` after the last one.
    ///
    /// # Errors
    /// If a download cannot be opened or has another length than it must have.
    pub(crate) async fn part(&mut self) -> Result<Option<Part<'_>>, BodyError> {
        match self.pieces.next() {
            None => Ok(None),
            Some(Piece::Text(text)) => Ok(Some(Part::Text(text))),
            Some(Piece::File(range)) => {
                let download = self.begin(range).await?;
                Ok(Some(Part::File(self.current.insert(download))))
            }
        }
    }

    /// How to go on with it, should it be given up.
    pub(super) fn bookmark(&self) -> Bookmark {
        Bookmark { source: self.source.clone(), pieces: self.pieces.as_slice().to_vec(), given: 0 }
    }

    /// The next bytes, of which there are some, and the reader for those behind them.
    pub(super) async fn next(mut self) -> (FileReader, Result<Bytes, BodyError>) {
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
            None => self.source.open_again(range).await?,
        };
        match download.size().cmp(&range.len()) {
            std::cmp::Ordering::Less => Err(BodyError::Length("too little")),
            std::cmp::Ordering::Equal => Ok(download),
            std::cmp::Ordering::Greater => Err(BodyError::Length("too much")),
        }
    }
}

/// How far a body has come.
pub(super) struct Bookmark {
    source: FileSource,
    /// All of them.
    pieces: Vec<Piece>,
    /// Bytes that were given.
    given: u64,
}

impl Bookmark {
    pub(super) fn advance(&mut self, bytes: usize) {
        self.given += bytes as u64;
    }

    /// Reads what was not given yet.
    pub(super) fn reader(&self) -> FileReader {
        FileReader::closed(self.source.clone(), behind(&self.pieces, self.given))
    }
}

/// What is left of these pieces behind so many bytes.
fn behind(pieces: &[Piece], mut given: u64) -> Vec<Piece> {
    let mut left = Vec::new();
    for piece in pieces {
        let skipped = given.min(piece.len());
        given -= skipped;
        match piece {
            piece if skipped == piece.len() => {}
            Piece::Text(text) => {
                let mut text = text.clone();
                // Shorter than the text.
                text.advance(skipped as usize);
                left.push(Piece::Text(text));
            }
            Piece::File(range) => left.extend(range.behind(skipped).map(Piece::File)),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multipart;
    use crate::range::{Selection, select};

    #[test]
    fn what_is_left_is_what_was_not_given() {
        let Selection::Ranges(ranges) = select(b"bytes=3-7,20-20", 100, 8) else { panic!() };
        let pieces = multipart::layout(&ranges, 100, "video/mp4", "XYZ");
        let body = |pieces: &[Piece]| -> Vec<u8> {
            let bytes = pieces.iter().flat_map(|piece| match piece {
                Piece::Text(text) => text.to_vec(),
                Piece::File(range) => {
                    (range.start()..range.start() + range.len()).map(|at| at as u8).collect()
                }
            });
            bytes.collect()
        };
        let whole = body(&pieces);
        for given in 0..=whole.len() {
            let left = behind(&pieces, given as u64);
            assert_eq!(body(&left), whole[given..], "{given}");
            assert!(left.iter().all(|piece| piece.len() > 0));
        }
    }
}
