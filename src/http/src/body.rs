//! Bodies of answers. A file is pulled from its storage as fast as the client takes it: at most one chunk is
//! held beside what the connection buffers. A body that is dropped cancels the download behind it.

mod reader;
mod supply;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tnv_client::ClientError;
use tokio::task::AbortHandle;

use crate::access::Access;
use crate::seat::{Seat, Seats};
pub(crate) use reader::{FileReader, FileSource};
use supply::{Supply, lock, look_after};

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
    supply: Arc<Mutex<Supply>>,
    left: u64,
    access: Option<Access>,
    watchdog: Option<AbortHandle>,
}

impl Body {
    /// These bytes.
    pub(crate) fn text(text: impl Into<Bytes>) -> Body {
        let text = text.into();
        Body::new(text.len() as u64, Supply::text(text))
    }

    /// Nothing.
    pub(crate) fn empty() -> Body {
        Body::text(Bytes::new())
    }

    /// What `reader` gives, which is `len` bytes.
    pub(crate) fn file(reader: FileReader, len: u64) -> Body {
        Body::new(len, Supply::file(reader))
    }

    fn new(len: u64, supply: Supply) -> Body {
        Body { supply: Arc::new(Mutex::new(supply)), left: len, access: None, watchdog: None }
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

    /// Holds the request's place until it ends.
    pub(crate) fn seated(self, seat: Seat, seats: &Seats) -> Body {
        lock(&self.supply).sit(seat, seats.clone());
        self
    }

    /// Lets go of its storage and its place when nobody has taken anything for `patience`: for HTTP/2, where a client can
    /// stand still with one stream on a connection that lives.
    pub(crate) fn watched(mut self, patience: Duration) -> Body {
        if self.left > 0 {
            let watchdog = tokio::spawn(look_after(Arc::downgrade(&self.supply), patience));
            self.watchdog = Some(watchdog.abort_handle());
        }
        self
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
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
        let chunk = ready!(lock(&body.supply).poll_chunk(body.left, cx));
        let chunk = chunk.and_then(|bytes| match body.left.checked_sub(bytes.len() as u64) {
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
