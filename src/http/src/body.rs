//! Bodies of answers. A file is pulled from its storage as fast as the client takes it. A body that is dropped cancels
//! the download behind it.

mod reader;
mod stream;
mod supply;

use bytes::Bytes;
use tnv_client::ClientError;

pub(crate) use reader::{FileReader, FileSource, Part};
pub(crate) use stream::BodyStream;

/// Why a body ends before its time. The connection or stream is cut off, so that nobody takes what came for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// No storage gives the rest.
    #[error(transparent)]
    Upstream(#[from] ClientError),
    /// A download was not as long as it had to be.
    #[error("the storage sent {0}")]
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

/// The body of an answer, of known length.
pub(crate) struct Body {
    len: u64,
    content: Content,
}

/// Where the bytes of a body are.
pub(crate) enum Content {
    Text(Bytes),
    File(Box<FileReader>),
}

impl Body {
    /// These bytes.
    pub(crate) fn text(text: impl Into<Bytes>) -> Body {
        let text = text.into();
        Body { len: text.len() as u64, content: Content::Text(text) }
    }

    /// Nothing.
    pub(crate) fn empty() -> Body {
        Body::text(Bytes::new())
    }

    /// What `reader` gives, which is `len` bytes.
    pub(crate) fn file(reader: FileReader, len: u64) -> Body {
        Body { len, content: Content::File(Box::new(reader)) }
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Where its bytes are.
    pub(crate) fn into_content(self) -> Content {
        self.content
    }
}
