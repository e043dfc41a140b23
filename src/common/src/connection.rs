//! One client's connection: frames in, frames out, each with its deadline and its limit.

mod file;

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tnv_proto::{Command, Failure, HEADER_LEN, Header, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::host;
use crate::limits::Limits;

/// A refused body up to this size is skipped and the connection lives on (docs/protocol.md, "Refusals").
const SKIP_LIMIT: u64 = 64 * 1024;

/// Why a request did not end in a reply of the handler's own.
#[derive(Debug)]
pub enum Interrupt {
    /// The request is refused: the failure is sent and, where the body allows, the connection lives on.
    Refused(Failure),
    /// The connection is of no more use; nothing can be sent on it.
    Broken(io::Error),
}

impl From<Failure> for Interrupt {
    fn from(failure: Failure) -> Self {
        Interrupt::Refused(failure)
    }
}

impl From<tnv_proto::Malformed> for Interrupt {
    fn from(malformed: tnv_proto::Malformed) -> Self {
        Interrupt::Refused(malformed.into())
    }
}

impl From<io::Error> for Interrupt {
    fn from(error: io::Error) -> Self {
        Interrupt::Broken(error)
    }
}

/// What a handler has done about a request.
#[derive(Debug)]
pub enum Reply {
    /// Send a success with this body.
    Body(BytesMut),
    /// The handler sent header and body itself.
    Sent,
}

impl Reply {
    /// A success without a body.
    pub fn empty() -> Reply {
        Reply::Body(BytesMut::new())
    }
}

/// A connection between two frames or within one. Never reads past the frame it is in.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    server: Server,
    limits: Arc<Limits>,
    shutdown: CancellationToken,
    /// Bytes of the current request's body that are still on the socket.
    body_left: u64,
    /// Bytes of the current request's reply that were sent.
    bytes_out: u64,
    /// When the current request's fixed part must be complete.
    fixed_deadline: Instant,
    /// How the current body moves, in either direction.
    pace: Pace,
}

impl Connection {
    /// Wraps an accepted stream.
    pub fn new(
        stream: TcpStream,
        peer: SocketAddr,
        server: Server,
        limits: Arc<Limits>,
        shutdown: CancellationToken,
    ) -> Connection {
        // Replies are written whole; waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        let pace = Pace::new(&limits);
        Connection {
            stream,
            peer,
            server,
            limits,
            shutdown,
            body_left: 0,
            bytes_out: 0,
            fixed_deadline: Instant::now(),
            pace,
        }
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The limits this connection is held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes of the request's body not read yet.
    pub fn body_left(&self) -> u64 {
        self.body_left
    }

    /// Bytes of the current reply sent so far, its header included.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Waits for the next request's header. `None` when the client is gone, idle for too long, or the server is
    /// stopping: in each case there is nothing to say.
    ///
    /// # Errors
    /// I/O errors and a header that takes too long.
    pub(crate) async fn next_header(&mut self) -> io::Result<Option<[u8; HEADER_LEN]>> {
        let mut header = [0; HEADER_LEN];
        let (first, rest) = header.split_at_mut(1);
        let idle = Instant::now() + self.limits.idle_timeout;
        let got = tokio::select! {
            biased;
            got = self.stream.read(first) => got?,
            () = self.shutdown.cancelled() => 0,
            () = tokio::time::sleep_until(idle) => 0,
        };
        if got == 0 {
            return Ok(None);
        }
        self.fixed_deadline = Instant::now() + self.limits.header_timeout;
        before(self.fixed_deadline, "the header", self.stream.read_exact(rest)).await?;
        Ok(Some(header))
    }

    pub(crate) fn begin_body(&mut self, len: u64) {
        self.body_left = len;
        self.bytes_out = 0;
        self.pace = Pace::new(&self.limits);
    }

    /// Reads the next `len` bytes of the body: a request's fixed part. `len` comes from the command table, never from
    /// the client.
    ///
    /// # Errors
    /// [`Interrupt::Refused`] if the body is shorter, [`Interrupt::Broken`] on I/O errors and when it takes too long.
    pub async fn fixed_part(&mut self, len: usize) -> Result<Vec<u8>, Interrupt> {
        if (len as u64) > self.body_left {
            return Err(
                Failure::bad_request(format!("the body ends before its fixed part of {len} bytes")).into()
            );
        }
        let mut body = vec![0; len];
        before(self.fixed_deadline, "the request", self.stream.read_exact(&mut body)).await?;
        self.body_left -= len as u64;
        Ok(body)
    }

    /// Reads the whole body of a request that has no bulk. The command table has limited its length.
    ///
    /// # Errors
    /// As [`Connection::fixed_part`].
    pub async fn whole_body(&mut self) -> Result<Vec<u8>, Interrupt> {
        let len =
            usize::try_from(self.body_left).map_err(|_| Failure::bad_request("the body is too long"))?;
        self.fixed_part(len).await
    }

    /// Fills `buffer` with bulk from the body, as far as the body reaches. Returns how many bytes it got: less than
    /// the buffer holds only at the body's end.
    ///
    /// # Errors
    /// I/O errors, an early end, and a client slower than `min_progress` per `progress_timeout`.
    pub async fn read_bulk(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.body_left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < wanted {
            filled += self.read_some(&mut buffer[filled..wanted]).await?;
        }
        Ok(filled)
    }

    /// Reads what has arrived of the body, at least one byte of it if there are any to come.
    ///
    /// # Errors
    /// As [`Connection::read_bulk`].
    pub async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.body_left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let begun = Instant::now();
        let read = self.stream.read(&mut buffer[..wanted]);
        let got = before(begun + self.pace.left, "the body", read).await?;
        if got == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the client left in the middle of a body"));
        }
        self.body_left -= got as u64;
        self.pace.moved(got, begun.elapsed());
        Ok(got)
    }

    /// Sends a success header for a body of `len` bytes and, in the same write, the body's first bytes;
    /// [`Connection::send_bulk`] sends the others.
    ///
    /// # Errors
    /// I/O errors, and a client that does not take it in time.
    pub async fn begin_reply(&mut self, len: u64, first: &[u8]) -> io::Result<()> {
        let header = Header::success(self.server, len).encode();
        self.send_frame(&header, first).await
    }

    /// Sends bytes of a reply's body.
    ///
    /// # Errors
    /// I/O errors, and a client slower than `min_progress` per `progress_timeout`.
    pub async fn send_bulk(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let begun = Instant::now();
            match before(begun + self.pace.left, "the reply", self.stream.write(bytes)).await? {
                0 => return Err(ErrorKind::WriteZero.into()),
                sent => {
                    bytes = &bytes[sent..];
                    self.bytes_out += sent as u64;
                    self.pace.moved(sent, begun.elapsed());
                }
            }
        }
        Ok(())
    }

    /// Sends a whole success reply in one write.
    ///
    /// # Errors
    /// As [`Connection::send_bulk`].
    pub(crate) async fn reply(&mut self, body: &[u8]) -> io::Result<()> {
        self.begin_reply(body.len() as u64, body).await
    }

    /// Sends a failure and deals with what is left of the refused body. `false`: the connection is to be closed.
    ///
    /// # Errors
    /// As [`Connection::send_bulk`].
    pub(crate) async fn refuse(&mut self, failure: &Failure) -> io::Result<bool> {
        let mut body = BytesMut::with_capacity(256);
        failure.encode(host::name(), &mut body);
        let header = Header::failure(self.server, body.len() as u64).encode();
        self.send_frame(&header, &body).await?;
        if self.body_left <= SKIP_LIMIT {
            self.skip(self.body_left).await?;
            return Ok(true);
        }
        // Closing now would reset the connection and the client might never see the reply.
        self.stream.shutdown().await?;
        self.skip(self.body_left.min(self.limits.drain_bytes)).await?;
        Ok(false)
    }

    async fn send_frame(&mut self, header: &[u8], body: &[u8]) -> io::Result<()> {
        self.pace = Pace::new(&self.limits);
        let deadline = Instant::now() + self.limits.progress_timeout;
        let parts = [IoSlice::new(header), IoSlice::new(body)];
        let sent = before(deadline, "the reply", self.stream.write_vectored(&parts)).await?;
        self.bytes_out += sent as u64;
        match sent.checked_sub(header.len()) {
            Some(sent) => self.send_bulk(&body[sent..]).await,
            None => {
                self.send_bulk(&header[sent..]).await?;
                self.send_bulk(body).await
            }
        }
    }

    /// Reads and drops `len` bytes of the body, all within one progress timeout.
    async fn skip(&mut self, mut len: u64) -> io::Result<()> {
        let deadline = Instant::now() + self.limits.progress_timeout;
        let mut sink = [0; 8 * 1024];
        while len > 0 {
            let part = sink.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            let got = before(deadline, "a refused body", self.stream.read(&mut sink[..part])).await?;
            if got == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.body_left -= got as u64;
            len -= got as u64;
        }
        Ok(())
    }

    /// Checks a header that has arrived.
    pub(crate) fn check(
        &self,
        header: [u8; HEADER_LEN],
    ) -> Result<(Header, Result<Command, Failure>), Failure> {
        // A negative length leaves no way to tell where the next frame begins.
        let header = Header::decode(header)?;
        Ok((header, Command::check(header, self.server)))
    }
}

/// Holds a transfer to its minimum rate: `min_progress` bytes per `progress_timeout`. Only the time spent waiting for
/// the other end counts, and it adds up over the reads or writes of a body, however small they are.
#[derive(Debug)]
struct Pace {
    window: Duration,
    min_progress: u64,
    moved: u64,
    left: Duration,
}

impl Pace {
    fn new(limits: &Limits) -> Pace {
        let window = limits.progress_timeout;
        Pace { window, min_progress: limits.min_progress, moved: 0, left: window }
    }

    fn moved(&mut self, bytes: usize, waited: Duration) {
        self.moved += bytes as u64;
        self.left = self.left.saturating_sub(waited);
        if self.moved >= self.min_progress {
            self.moved = 0;
            self.left = self.window;
        }
    }
}

async fn before<T>(deadline: Instant, what: &str, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout_at(deadline, io).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(ErrorKind::TimedOut, format!("{what} took too long"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn small_reads_do_not_buy_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let window = Duration::from_millis(100);
        let limits = Limits { progress_timeout: window, min_progress: 1000, ..Limits::default() };
        let mut server =
            Connection::new(stream, peer, Server::Storage, Arc::new(limits), CancellationToken::new());
        server.begin_body(100_000);
        // Ten bytes at a time, ten times as slow as they should be.
        let trickle = tokio::spawn(async move {
            while client.write_all(&[7; 10]).await.is_ok() {
                tokio::time::sleep(window / 10).await;
            }
        });
        for _ in 0..99 {
            if let Err(error) = server.read_bulk(&mut [0; 10]).await {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                return trickle.abort();
            }
        }
        panic!("a client may be as slow as it likes");
    }
}
