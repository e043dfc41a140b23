//! Bodies of requests: read only as fast as the storage takes them, with a limit on how long they stand still.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::metrics::SiteMetrics;
use crate::refusal::Refusal;

/// How fast what is kept in memory must come on average, in bytes per second.
const MIN_RATE: u64 = 64 * 1024;

/// The body of a request. Its first read is what makes the server answer `Expect: 100-continue`.
pub struct Inflow {
    /// `None` where there is none.
    body: Option<Incoming>,
    metrics: &'static SiteMetrics,
    /// What came and was not taken yet.
    chunk: Bytes,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether `timer` counts the time that a read has been waiting for.
    waiting: bool,
}

/// A body that is not what it should be, with a sentence for the client. Travels as an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(String);

impl Fault {
    pub(crate) fn error(sentence: impl Into<String>) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, Fault(sentence.into()))
    }
}

impl Inflow {
    /// A body that may stand still for `patience`.
    pub(crate) fn new(body: Option<Incoming>, metrics: &'static SiteMetrics, patience: Duration) -> Inflow {
        Inflow {
            body,
            metrics,
            chunk: Bytes::new(),
            patience,
            timer: Box::pin(sleep(patience)),
            waiting: false,
        }
    }

    /// The next bytes, at least one; none at the end.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        while self.chunk.is_empty() {
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(Bytes::new())) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = false;
                    // Trailers mean nothing here.
                    self.chunk = frame.into_data().unwrap_or_default();
                    self.metrics.bytes_in.inc_by(self.chunk.len() as u64);
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(io::Error::new(ErrorKind::UnexpectedEof, error)));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(Bytes::new())),
                Poll::Pending => return self.wait(cx),
            }
        }
        Poll::Ready(Ok(std::mem::take(&mut self.chunk)))
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the client sends nothing")))
    }

    /// The next bytes, at least one; none at the end.
    pub async fn chunk(&mut self) -> io::Result<Bytes> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The whole body, of at most `limit` bytes, which must come at [`MIN_RATE`].
    ///
    /// # Errors
    /// 413 for a longer one; a [`refusal`] if it does not arrive.
    pub async fn whole(&mut self, limit: usize) -> Result<Bytes, Refusal> {
        self.whole_seen(limit, |_| {}).await
    }

    /// The same, with each chunk shown to `see` as it comes.
    pub async fn whole_seen(&mut self, limit: usize, see: impl FnMut(&[u8])) -> Result<Bytes, Refusal> {
        let patience = self.patience + Duration::from_secs(limit as u64 / MIN_RATE);
        let gathered = tokio::time::timeout(patience, self.gather(limit, see)).await;
        gathered.unwrap_or_else(|_| Err(refusal(&ErrorKind::TimedOut.into())))
    }

    async fn gather(&mut self, limit: usize, mut see: impl FnMut(&[u8])) -> Result<Bytes, Refusal> {
        let mut whole = BytesMut::with_capacity(limit);
        loop {
            let chunk = self.chunk().await.map_err(|error| refusal(&error))?;
            if chunk.is_empty() {
                return Ok(whole.freeze());
            }
            if whole.len() + chunk.len() > limit {
                let sentence = format!("the body is longer than {limit} bytes");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
            }
            see(&chunk);
            whole.extend_from_slice(&chunk);
        }
    }
}

/// What to tell a client whose body could not be read, if it is still there.
pub fn refusal(error: &io::Error) -> Refusal {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
        Some(fault) => Refusal::new(StatusCode::BAD_REQUEST, fault.0.clone()),
        None if error.kind() == ErrorKind::TimedOut => {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly")
        }
        None => Refusal::new(StatusCode::BAD_REQUEST, "the body ended too early"),
    }
}

impl AsyncRead for Inflow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = ready!(self.poll_chunk(cx))?;
        let len = chunk.len().min(buf.remaining());
        buf.put_slice(&chunk[..len]);
        chunk.advance(len);
        self.chunk = chunk;
        Poll::Ready(Ok(()))
    }
}
