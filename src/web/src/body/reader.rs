//! A body's bytes, piece by piece.

use bytes::Bytes;
use tnv_client::{ClientError, Download};

use super::BodyError;
use super::local::Local;
use super::piece::{Piece, Pieces, Stored, behind};

/// A part of a body.
pub(crate) enum Part<'a> {
    Text(Bytes),
    /// All of what this download has left.
    Stored(&'a mut Download),
    /// All of these bytes.
    Local(Local),
}

/// A piece that is not composed.
enum Simple {
    Text(Bytes),
    Stored(Stored),
    Local(Local),
}

/// Fetches the pieces of a body, one after the other.
pub(crate) struct Reader {
    pieces: std::vec::IntoIter<Piece>,
    /// What is left of the composed piece that is being read, and of composed ones in it, the innermost last.
    inner: Vec<Pieces>,
    /// What is left of the piece on this machine that is being read.
    local: Option<Local>,
    /// The download of the piece that is being read, or of the first one that lies in the cluster.
    download: Option<Download>,
    /// Whether that was opened in advance.
    in_advance: bool,
}

impl Reader {
    /// Opens the first piece that lies in the cluster.
    pub(super) async fn open(pieces: Vec<Piece>) -> Result<Box<Reader>, ClientError> {
        let mut reader = Box::new(Reader::closed(pieces));
        if let Some(first) = reader.pieces.as_slice().iter().find_map(Piece::first_stored) {
            reader.download = Some(first.open().await?);
            reader.in_advance = true;
        }
        Ok(reader)
    }

    /// One with nothing opened yet.
    fn closed(pieces: Vec<Piece>) -> Reader {
        let pieces = pieces.into_iter();
        Reader { pieces, inner: Vec::new(), local: None, download: None, in_advance: false }
    }

    pub(super) fn is_checked(&self) -> bool {
        self.download.as_ref().is_none_or(Download::is_checked)
    }

    /// The next part of the body, for a caller who moves a download's bytes himself; `None` after the last one.
    ///
    /// # Errors
    /// If a download cannot be opened or has another length than it must have.
    pub(crate) async fn part(&mut self) -> Result<Option<Part<'_>>, BodyError> {
        match self.next_piece() {
            None => Ok(None),
            Some(Simple::Text(text)) => Ok(Some(Part::Text(text))),
            Some(Simple::Stored(stored)) => Ok(Some(Part::Stored(self.begin(&stored).await?))),
            Some(Simple::Local(local)) => Ok(Some(Part::Local(local))),
        }
    }

    /// The next piece that is not composed.
    fn next_piece(&mut self) -> Option<Simple> {
        loop {
            let piece = match self.inner.last_mut() {
                Some(inner) => inner.next(),
                None => Some(self.pieces.next()?),
            };
            match piece {
                None => drop(self.inner.pop()),
                Some(Piece::Composed(composed)) => self.inner.push(composed.pieces()),
                Some(Piece::Text(text)) => return Some(Simple::Text(text)),
                Some(Piece::Stored(stored)) => return Some(Simple::Stored(stored)),
                Some(Piece::Local(local)) => return Some(Simple::Local(local)),
            }
        }
    }

    /// How to go on with it, should it be given up.
    pub(super) fn bookmark(&self) -> Bookmark {
        Bookmark { pieces: self.pieces.as_slice().to_vec(), given: 0 }
    }

    /// The next bytes, of which there are some, and the reader for those behind them.
    pub(super) async fn next(mut self: Box<Self>) -> (Box<Reader>, Result<Bytes, BodyError>) {
        let chunk = self.chunk().await;
        (self, chunk)
    }

    async fn chunk(&mut self) -> Result<Bytes, BodyError> {
        loop {
            if let Some(download) = self.download.as_mut().filter(|_| !self.in_advance) {
                match download.chunk().await? {
                    Some(bytes) if !bytes.is_empty() => return Ok(bytes),
                    Some(_) => continue,
                    None => self.download = None,
                }
            }
            if let Some(local) = &mut self.local {
                match local.chunk().await? {
                    bytes if bytes.is_empty() => self.local = None,
                    bytes => return Ok(bytes),
                }
            }
            match self.next_piece() {
                Some(Simple::Text(text)) if text.is_empty() => {}
                Some(Simple::Text(text)) => return Ok(text),
                Some(Simple::Stored(stored)) => {
                    self.begin(&stored).await?;
                }
                Some(Simple::Local(local)) => self.local = Some(local),
                None => return Err(BodyError::Length("too little")),
            }
        }
    }

    /// The download of a piece, which must be as long as that.
    async fn begin(&mut self, stored: &Stored) -> Result<&mut Download, BodyError> {
        if !std::mem::take(&mut self.in_advance) {
            self.download = None;
        }
        let download = match self.download.take() {
            Some(opened) => opened,
            None => stored.open_again().await?,
        };
        match download.size().cmp(&stored.size()) {
            std::cmp::Ordering::Less => Err(BodyError::Length("too little")),
            std::cmp::Ordering::Equal => Ok(self.download.insert(download)),
            std::cmp::Ordering::Greater => Err(BodyError::Length("too much")),
        }
    }
}

/// How far a body has come.
pub(super) struct Bookmark {
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
    pub(super) fn reader(&self) -> Box<Reader> {
        Box::new(Reader::closed(behind(&self.pieces, self.given)))
    }
}
