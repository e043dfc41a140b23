//! Bodies of answers. What is in the cluster is pulled from its storage as fast as the client takes it. A body that is
//! dropped cancels the download behind it.

mod local;
mod piece;
mod reader;
mod stream;
mod supply;

use std::error::Error;
use std::fmt;
use std::io;

use bytes::Bytes;
use tnv_client::ClientError;

pub use local::{Local, LocalFile, Reach};
pub use piece::{Composed, Composite, Piece, Pieces, Stored, StoredFile};
pub(crate) use reader::{Part, Reader};
pub(crate) use stream::BodyStream;

/// Why a body ends before its time. The connection or stream is cut off, so that nobody takes what came for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// No storage gives the rest.
    #[error(transparent)]
    Upstream(#[from] ClientError),
    /// A file on this machine cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// A file that is on its way to this machine does not come.
    #[error(transparent)]
    Local(Box<dyn Error + Send + Sync>),
    /// A piece was not as long as it had to be.
    #[error("its source gave {0}")]
    Length(&'static str),
    /// The client has stood still, and the file is another one now.
    #[error("the file was replaced")]
    Changed,
    /// The client has stood still for too long.
    #[error("the client took nothing for too long")]
    Stalled,
    /// The client has stood still, and there is no room for it any more.
    #[error("the client took nothing for too long, and others have its place now")]
    Crowded,
}

/// Follows the bytes of a body to their client. It is dropped when the answer is over, however that comes about.
pub trait Follower: Send + Sync {
    /// So many more bytes went out.
    fn sent(&mut self, bytes: u64);

    /// The rest does not come.
    fn failed(&mut self, why: &dyn fmt::Display);
}

/// The body of an answer, of known length.
pub struct Body {
    len: u64,
    content: Content,
    follower: Option<Box<dyn Follower>>,
}

/// Where the bytes of a body are.
pub(crate) enum Content {
    Text(Bytes),
    Pieces(Box<Reader>),
}

impl Body {
    /// These bytes.
    pub fn text(text: impl Into<Bytes>) -> Body {
        let text = text.into();
        Body::new(text.len() as u64, Content::Text(text))
    }

    /// Nothing.
    pub fn empty() -> Body {
        Body::text(Bytes::new())
    }

    /// These pieces, one behind the other. The first that lies in the cluster is opened, so that what is wrong with it can
    /// still become a status.
    ///
    /// # Errors
    /// If no storage has it.
    pub async fn open(pieces: Vec<Piece>) -> Result<Body, ClientError> {
        let len = pieces.iter().map(Piece::len).fold(0, u64::saturating_add);
        Ok(Body::new(len, Content::Pieces(Reader::open(pieces).await?)))
    }

    fn new(len: u64, content: Content) -> Body {
        Body { len, content, follower: None }
    }

    /// The same, followed to its client.
    pub fn followed(self, follower: impl Follower + 'static) -> Body {
        Body { follower: Some(Box::new(follower)), ..self }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a storage has said that what was opened are bytes of the very file they were asked of.
    pub fn is_checked(&self) -> bool {
        match &self.content {
            Content::Text(_) => true,
            Content::Pieces(reader) => reader.is_checked(),
        }
    }

    pub(crate) fn take_follower(&mut self) -> Option<Box<dyn Follower>> {
        self.follower.take()
    }

    pub(crate) fn into_content(self) -> Content {
        self.content
    }
}
