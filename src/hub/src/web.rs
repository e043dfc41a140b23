//! What is between sockets and answers.

pub(crate) mod server;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

pub(crate) use crate::condition::{self, Validators, Verdict};
pub(crate) use crate::cors::Cors;
pub(crate) use crate::disposition::{self, Disposition};
pub(crate) use crate::host::Hosts;
pub(crate) use crate::inflow::{Inflow, refusal as body_refusal};
pub(crate) use crate::multipart::{self, Piece};
pub(crate) use crate::origin;
use crate::package::BodyError;
pub(crate) use crate::query::Query;
pub(crate) use crate::range::{self, ByteRange, Selection};

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// The body of an answer, of known length.
pub(crate) struct Body {
    len: u64,
    content: Content,
}

pub(crate) enum Content {
    Text(Bytes),
    Stream(Chunks),
}

impl Body {
    pub(crate) fn text(text: impl Into<Bytes>) -> Body {
        let text = text.into();
        Body { len: text.len() as u64, content: Content::Text(text) }
    }

    pub(crate) fn empty() -> Body {
        Body::text(Bytes::new())
    }

    pub(crate) fn stream(
        stream: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
        len: u64,
    ) -> Body {
        Body { len, content: Content::Stream(Box::pin(stream)) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}
