//! Bodies as hyper takes them.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::task::AbortHandle;

use super::supply::{Supply, lock, look_after};
use super::{Body, BodyError, Content};
use crate::access::Access;
use crate::seat::{Seat, Seats};

/// A body on its way: at most one chunk is held beside what the connection buffers.
pub(crate) struct BodyStream {
    supply: Arc<Mutex<Supply>>,
    left: u64,
    access: Access,
    watchdog: Option<AbortHandle>,
}

impl BodyStream {
    /// A body that reports to the log when it ends.
    pub(crate) fn new(body: Body, mut access: Access) -> BodyStream {
        let left = body.len();
        if left == 0 {
            access.completed();
        }
        let supply = match body.into_content() {
            Content::Text(text) => Supply::text(text),
            Content::Pieces(reader) => Supply::pieces(reader),
        };
        BodyStream { supply: Arc::new(Mutex::new(supply)), left, access, watchdog: None }
    }

    /// Holds the request's place until it ends.
    pub(crate) fn seated(self, seat: Seat, seats: &Seats) -> BodyStream {
        lock(&self.supply).sit(seat, seats.clone());
        self
    }

    /// Lets go of its storage and its place when nobody has taken anything for `patience`: for HTTP/2, where a client can
    /// stand still with one stream on a connection that lives.
    pub(crate) fn watched(mut self, patience: Duration) -> BodyStream {
        if self.left > 0 {
            let watchdog = tokio::spawn(look_after(Arc::downgrade(&self.supply), patience));
            self.watchdog = Some(watchdog.abort_handle());
        }
        self
    }
}

impl Drop for BodyStream {
    fn drop(&mut self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
    }
}

impl hyper::body::Body for BodyStream {
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
        match &chunk {
            Ok(bytes) => body.access.sent(bytes.len()),
            Err(error) => body.access.broken(error),
        }
        if body.left == 0 {
            body.access.completed();
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
