//! A client's connection that neither waits for ever nor hangs up too early.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tnv_common::clients::Client;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a closed connection is still read, so that the client can take the last answer: closing it with
/// unread bytes would reset it, and the answer would be lost on its way.
const LINGER: Duration = Duration::from_secs(2);
/// And at most so many bytes.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Wraps a connection: a write that makes no progress for `progress_timeout` fails, a shutdown lingers until the client
/// has hung up as well, and what the client may move in a second is kept to.
pub(crate) struct ClientStream<S> {
    inner: S,
    /// What was read and put back.
    read_ahead: Bytes,
    progress_timeout: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether `timer` counts the time that a write has been waiting for.
    waiting: bool,
    lingering: Option<Linger>,
    reading: Client,
    writing: Client,
    /// Bytes that were asked for of the client's budget, and those of them that may be written now.
    asked: usize,
    granted: usize,
}

struct Linger {
    left: usize,
    scratch: Box<[u8]>,
}

impl<S> ClientStream<S> {
    pub(crate) fn new(inner: S, progress_timeout: Duration, client: Client) -> ClientStream<S> {
        ClientStream {
            inner,
            read_ahead: Bytes::new(),
            progress_timeout,
            timer: Box::pin(sleep(progress_timeout)),
            waiting: false,
            lingering: None,
            reading: client.clone(),
            writing: client,
            asked: 0,
            granted: 0,
        }
    }

    /// Has the next reads begin with what an earlier one gave.
    pub(crate) fn put_back(&mut self, read: Bytes) {
        self.read_ahead =
            if self.read_ahead.is_empty() { read } else { [read, self.read_ahead.clone()].concat().into() };
    }

    /// Waits until it is the client's turn. Ready with how many of `len` bytes it may be sent.
    fn poll_grant(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<usize> {
        if self.granted == 0 {
            if self.asked == 0 {
                self.asked = self.writing.share(len);
            }
            ready!(self.writing.poll_take(cx, self.asked));
            self.granted = std::mem::take(&mut self.asked);
        }
        Poll::Ready(len.min(self.granted))
    }

    /// Watches how long a write has been waiting.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + self.progress_timeout);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_ahead.is_empty() {
            ready!(self.reading.poll_take(cx, 0));
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            self.reading.spend(buf.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        let len = self.read_ahead.len().min(buf.remaining());
        buf.put_slice(&self.read_ahead[..len]);
        self.read_ahead.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.writing.is_limited() {
            let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
            return self.watch(cx, written);
        }
        let granted = ready!(self.poll_grant(cx, bytes.len()));
        let written = Pin::new(&mut self.inner).poll_write(cx, &bytes[..granted]);
        let sent = ready!(self.watch(cx, written))?;
        self.granted -= sent;
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.writing.is_limited() {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return self.poll_write(cx, first);
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        if stream.lingering.is_none() {
            let shut = Pin::new(&mut stream.inner).poll_shutdown(cx);
            ready!(stream.watch(cx, shut))?;
            stream.timer.as_mut().reset(Instant::now() + LINGER.min(stream.progress_timeout));
        }
        let linger = stream.lingering.get_or_insert_with(|| Linger {
            left: LINGER_BYTES,
            scratch: vec![0; 8 * 1024].into_boxed_slice(),
        });
        loop {
            let mut buf = ReadBuf::new(&mut linger.scratch);
            match Pin::new(&mut stream.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && linger.left > 0 => {
                    linger.left = linger.left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return stream.timer.as_mut().poll(cx).map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tnv_common::clients::Clients;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn stream(progress_timeout: Duration) -> (DuplexStream, ClientStream<DuplexStream>) {
        let (client, server) = duplex(10);
        (client, ClientStream::new(server, progress_timeout, Client::unlimited()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_client_gets_its_rate_in_both_directions_and_is_not_taken_for_a_stalled_one() {
        let (mut client, server) = duplex(1 << 20);
        let limited = Clients::new(0, 64 * 1024).admit([192, 0, 2, 1].into()).unwrap();
        let mut server = ClientStream::new(server, Duration::from_millis(10), limited);
        let begun = Instant::now();
        // The first second's worth moves at once.
        let (head, body) = ([1; 1000], vec![2; 192 * 1024 - 1000]);
        let mut slices = [io::IoSlice::new(&head), io::IoSlice::new(&body)];
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let sent = server.write_vectored(left).await.unwrap();
            io::IoSlice::advance_slices(&mut left, sent);
        }
        let took = begun.elapsed();
        assert!((1.8..=2.0).contains(&took.as_secs_f64()), "{took:?}");
        let mut got = vec![0; 192 * 1024];
        client.read_exact(&mut got).await.unwrap();
        assert!(got == [&head[..], &body].concat());
        client.write_all(&got).await.unwrap();
        server.read_exact(&mut got).await.unwrap();
        server.write_all(&[0; 1]).await.unwrap();
        let took = begun.elapsed();
        assert!((4.8..=5.1).contains(&took.as_secs_f64()), "{took:?}");
    }

    #[tokio::test]
    async fn a_write_that_stands_still_fails() {
        let (_client, mut server) = stream(Duration::from_millis(50));
        server.write_all(&[1; 10]).await.unwrap();
        let error = server.write_all(&[2; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn progress_starts_the_time_anew() {
        let (mut client, mut server) = stream(Duration::from_secs(3600));
        let mut cx = Context::from_waker(Waker::noop());
        server.write_all(&[1; 10]).await.unwrap();
        assert!(Pin::new(&mut server).poll_write(&mut cx, &[2; 10]).is_pending());
        let first = server.timer.deadline();
        assert!(Pin::new(&mut server).poll_write(&mut cx, &[2; 10]).is_pending());
        assert_eq!(server.timer.deadline(), first, "waiting on is no progress");
        client.read_u8().await.unwrap();
        assert!(Pin::new(&mut server).poll_write(&mut cx, &[2; 10]).is_ready());
        assert!(Pin::new(&mut server).poll_write(&mut cx, &[2; 10]).is_pending());
        assert!(server.timer.deadline() > first);
    }

    #[tokio::test]
    async fn a_shutdown_reads_what_the_client_still_sends() {
        let (mut client, mut server) = stream(Duration::from_secs(3600));
        let (shut, ()) = tokio::join!(server.shutdown(), async {
            client.write_all(&[0; 1000]).await.unwrap();
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
            client.shutdown().await.unwrap();
        });
        shut.unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_does_not_linger_for_ever() {
        let (_client, mut server) = stream(Duration::from_millis(50));
        server.shutdown().await.unwrap();
    }
}
