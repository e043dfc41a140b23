//! One client's connection: frames in, frames out, each with its deadline and its limit.

mod ahead;
mod pace;
mod timer;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use tnv_proto::{Command, Failure, HEADER_LEN, Header, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::clients::Client;
use crate::host;
use crate::limits::Limits;

use ahead::Ahead;
use pace::Pace;
use timer::Timer;

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

/// A connection between two frames or within one. Nothing that is read here is of another frame than the current one.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    server: Server,
    limits: Arc<Limits>,
    /// Whose bytes these are.
    client: Client,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Timer,
    /// What has come from the socket and is not read yet.
    ahead: Ahead,
    /// Bytes of the current request's body that are not read yet.
    body_left: u64,
    /// Bytes of the current request's reply that were sent.
    bytes_out: u64,
    /// When the current request's first byte was seen.
    begun: Instant,
    /// How the current body moves, in either direction.
    pace: Pace,
}

impl Connection {
    /// Wraps an accepted stream. Belongs to the runtime it is made in.
    pub fn new(
        stream: TcpStream,
        peer: SocketAddr,
        server: Server,
        limits: Arc<Limits>,
        client: Client,
        shutdown: CancellationToken,
    ) -> Connection {
        let pace = Pace::new(&limits);
        let timer = Timer::new(limits.idle_timeout);
        Connection {
            stream,
            peer,
            server,
            limits,
            client,
            shutdown: Box::pin(shutdown.cancelled_owned()),
            timer,
            ahead: Ahead::default(),
            body_left: 0,
            bytes_out: 0,
            begun: Instant::now(),
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

    /// When the current request's first byte was seen.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Waits for the next request's header. `None` when the client is gone, idle for too long, or the server is
    /// stopping: in each case there is nothing to say.
    ///
    /// # Errors
    /// I/O errors and a header that takes too long.
    pub(crate) async fn next_header(&mut self) -> io::Result<Option<[u8; HEADER_LEN]>> {
        if self.ahead.is_empty() && !self.request_begins().await? {
            return Ok(None);
        }
        self.begun = Instant::now();
        self.read_ahead(HEADER_LEN, "the header").await?;
        let mut header = [0; HEADER_LEN];
        self.ahead.take(&mut header);
        Ok(Some(header))
    }

    /// Waits for the first bytes of a request; `false` if there will be none.
    async fn request_begins(&mut self) -> io::Result<bool> {
        let Connection { stream, limits, shutdown, timer, ahead, .. } = self;
        let mut idle = None;
        poll_fn(|cx| {
            if let Poll::Ready(got) = ahead.poll_fill(cx, stream) {
                return Poll::Ready(got.map(|got| got > 0));
            }
            if shutdown.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(false));
            }
            let idle = *idle.get_or_insert_with(|| Instant::now() + limits.idle_timeout);
            timer.poll(cx, idle).map(|()| Ok(false))
        })
        .await
    }

    /// Reads until `len` bytes are there, which are part of the request's header or fixed part.
    async fn read_ahead(&mut self, len: usize, what: &str) -> io::Result<()> {
        let deadline = self.begun + self.limits.header_timeout;
        while self.ahead.len() < len {
            let fill = poll_fn(|cx| self.ahead.poll_fill(cx, &mut self.stream));
            if self.timer.before(deadline, what, fill).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
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
        self.read_ahead(len, "the request").await?;
        self.body_left -= len as u64;
        Ok(self.ahead.take_vec(len))
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
        let wanted = self.client.share(wanted);
        self.client.take(wanted).await;
        let got = match self.ahead.take(&mut buffer[..wanted]) {
            0 => self.receive(&mut buffer[..wanted]).await?,
            got => got,
        };
        self.client.give_back(wanted - got);
        self.body_left -= got as u64;
        Ok(got)
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer);
        let (got, waited) = self.timer.within(self.pace.left(), "the body", read).await?;
        if got == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the client left in the middle of a body"));
        }
        self.pace.moved(got, waited);
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
            let share = self.client.share(bytes.len());
            self.client.take(share).await;
            let (now, later) = bytes.split_at(share);
            self.send(now).await?;
            bytes = later;
        }
        Ok(())
    }

    async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = self.stream.write(bytes);
            let (sent, waited) = self.timer.within(self.pace.left(), "the reply", write).await?;
            if sent == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            bytes = &bytes[sent..];
            self.bytes_out += sent as u64;
            self.pace.moved(sent, waited);
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
        let (first, rest) = body.split_at(self.client.share(body.len()));
        self.client.take(first.len()).await;
        let parts = [IoSlice::new(header), IoSlice::new(first)];
        let write = self.stream.write_vectored(&parts);
        let (sent, waited) = self.timer.within(self.pace.left(), "the reply", write).await?;
        self.bytes_out += sent as u64;
        self.pace.moved(sent, waited);
        match sent.checked_sub(header.len()) {
            Some(sent) => self.send(&first[sent..]).await?,
            None => {
                self.send(&header[sent..]).await?;
                self.send(first).await?;
            }
        }
        self.send_bulk(rest).await
    }

    /// Reads and drops `len` bytes of the body, all within one progress timeout.
    async fn skip(&mut self, mut len: u64) -> io::Result<()> {
        let deadline = Instant::now() + self.limits.progress_timeout;
        while len > 0 {
            if self.ahead.is_empty() {
                let fill = poll_fn(|cx| self.ahead.poll_fill(cx, &mut self.stream));
                if self.timer.before(deadline, "a refused body", fill).await? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            let part = self.ahead.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.ahead.skip(part);
            self.body_left -= part as u64;
            len -= part as u64;
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

#[cfg(test)]
mod tests;
