//! Frames on one TCP connection.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use tnv_proto::{Failure, HEADER_LEN, Header, STATUS_OK, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::{ClientError, Options};

/// The longest body of a reply that is a few fields or a failure, in bytes.
pub(crate) const SMALL_REPLY: u64 = 64 * 1024;
/// How much a body may grow the buffer before the bytes for it are there.
const READ_STEP: usize = 64 * 1024;

/// The server at the other end and how patient to be with it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) kind: Server,
    pub(crate) address: Arc<str>,
    pub(crate) options: Arc<Options>,
}

/// One connection. It is at rest when the last reply was read to its end; only then can it carry another request.
#[derive(Debug)]
pub(crate) struct Connection {
    peer: Peer,
    stream: TcpStream,
    opened: Instant,
    rested: Option<Instant>,
    reused: bool,
}

impl Connection {
    pub(crate) async fn open(peer: Peer) -> Result<Self, ClientError> {
        let connect = TcpStream::connect(&*peer.address);
        let stream = within(peer.options.connect_timeout, "no connection", connect)
            .await
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|error| peer.unreachable(error))?;
        let opened = Instant::now();
        Ok(Connection { peer, stream, opened, rested: Some(opened), reused: false })
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How long it has been at rest; `None` while it is not.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.rested.map(|rested| rested.elapsed())
    }

    /// Whether it has carried a request before this one.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether it is at rest and within its limits of time.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        let options = &self.peer.options;
        self.idle().is_some_and(|idle| idle < options.idle) && self.opened.elapsed() < options.life
    }

    /// Whether the server has neither closed it nor sent bytes that nobody asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Returns when the server hangs up or sends something while nothing is asked of it.
    pub(crate) async fn disturbed(&self) {
        let _ = self.stream.peek(&mut [0]).await;
    }

    /// Sends a frame and reads the reply, whose body may have up to `limit` bytes.
    pub(crate) async fn call(&mut self, frame: &[u8], limit: u64) -> Result<Bytes, ClientError> {
        let len = self.request(frame, self.peer.options.reply_timeout).await?;
        self.body(len, limit).await
    }

    /// Sends a frame and reads the reply's header, whose first byte must come within `patience`: the length of the
    /// body that follows. A refusal is an error.
    pub(crate) async fn request(&mut self, frame: &[u8], patience: Duration) -> Result<u64, ClientError> {
        self.begin();
        let (mut read, mut write) = self.stream.split();
        self.peer.write(&mut write, frame).await?;
        let reply = self.peer.reply(&mut read, Some(patience)).await;
        if matches!(reply, Ok(0) | Err(ClientError::Refused { .. })) {
            self.finish();
        }
        reply
    }

    /// Reads the whole body of a reply.
    pub(crate) async fn body(&mut self, len: u64, limit: u64) -> Result<Bytes, ClientError> {
        if len > limit {
            return Err(self.peer.protocol(format!("a body of {len} bytes, at most {limit} are expected")));
        }
        let mut body = BytesMut::new();
        self.peer.read_body(&mut self.stream, len, &mut body).await?;
        self.finish();
        Ok(body.freeze())
    }

    /// Appends what has arrived of a body, 1 byte up to the smaller of `limit` and the spare capacity of `buffer`.
    pub(crate) async fn read_some(
        &mut self,
        buffer: &mut BytesMut,
        limit: u64,
    ) -> Result<usize, ClientError> {
        self.peer.read_some(&mut self.stream, buffer, limit).await
    }

    /// The two directions, for a request that watches for the reply while it sends.
    pub(crate) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.stream.split()
    }

    /// Notes that a request is under way.
    pub(crate) fn begin(&mut self) {
        self.rested = None;
    }

    /// Notes that the reply was read to its end.
    pub(crate) fn finish(&mut self) {
        self.rested = Some(Instant::now());
        self.reused = true;
    }
}

impl Peer {
    pub(crate) fn unreachable(&self, source: io::Error) -> ClientError {
        ClientError::unreachable(self.kind, &self.address, source)
    }

    pub(crate) fn protocol(&self, what: impl std::fmt::Display) -> ClientError {
        ClientError::protocol(self.kind, &self.address, what)
    }

    /// Writes all bytes as long as some of them go out now and then.
    pub(crate) async fn write(
        &self,
        write: &mut (impl AsyncWrite + Unpin),
        mut bytes: &[u8],
    ) -> Result<(), ClientError> {
        while !bytes.is_empty() {
            let written = within(self.options.progress_timeout, "it takes no more bytes", write.write(bytes))
                .await
                .map_err(|error| self.unreachable(error))?;
            if written == 0 {
                return Err(self.unreachable(io::ErrorKind::WriteZero.into()));
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads a reply's header, whose first byte must come within `first_byte`: the length of the body that follows.
    /// A refusal is read to its end and becomes an error.
    pub(crate) async fn reply(
        &self,
        read: &mut (impl AsyncRead + Unpin),
        first_byte: Option<Duration>,
    ) -> Result<u64, ClientError> {
        let mut header = [0; HEADER_LEN];
        let (first, rest) = header.split_at_mut(1);
        let patience = first_byte.unwrap_or(Duration::MAX);
        self.read_exact(read, first, patience, "no reply").await?;
        self.read_exact(read, rest, self.options.progress_timeout, "half a reply").await?;

        let header = Header::decode(header).map_err(|error| self.protocol(error))?;
        if header.command != self.kind.reply_command() {
            let wanted = self.kind.reply_command();
            return Err(self.protocol(format!("its kind is {}, not {wanted}", header.command)));
        }
        if header.status == STATUS_OK {
            return Ok(header.body_len);
        }
        if header.body_len > SMALL_REPLY {
            return Err(self.protocol(format!("a description of {} bytes", header.body_len)));
        }
        let mut body = BytesMut::new();
        self.read_body(read, header.body_len, &mut body).await?;
        let failure = Failure::decode(&body).map_err(|error| self.protocol(error))?;
        Err(ClientError::refused(self.kind, &self.address, failure))
    }

    async fn read_body(
        &self,
        read: &mut (impl AsyncRead + Unpin),
        len: u64,
        body: &mut BytesMut,
    ) -> Result<(), ClientError> {
        let mut rest = len;
        while rest > 0 {
            body.reserve(READ_STEP.min(usize::try_from(rest).unwrap_or(READ_STEP)));
            rest -= self.read_some(read, body, rest).await? as u64;
        }
        Ok(())
    }

    async fn read_some(
        &self,
        read: &mut (impl AsyncRead + Unpin),
        buffer: &mut BytesMut,
        limit: u64,
    ) -> Result<usize, ClientError> {
        let spare = buffer.capacity() - buffer.len();
        let limit = spare.min(usize::try_from(limit).unwrap_or(spare));
        let mut space = buffer.limit(limit);
        match within(self.options.progress_timeout, "the body stands still", read.read_buf(&mut space)).await
        {
            Ok(0) => Err(self.unreachable(closed("the connection was closed in mid-body"))),
            Ok(n) => Ok(n),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    async fn read_exact(
        &self,
        read: &mut (impl AsyncRead + Unpin),
        mut bytes: &mut [u8],
        patience: Duration,
        what: &str,
    ) -> Result<(), ClientError> {
        while !bytes.is_empty() {
            match within(patience, what, read.read(bytes)).await {
                Ok(0) => return Err(self.unreachable(closed("the connection was closed without a reply"))),
                Ok(n) => bytes = bytes.get_mut(n..).unwrap_or_default(),
                Err(error) => return Err(self.unreachable(error)),
            }
        }
        Ok(())
    }
}

/// Runs an I/O operation up to a time limit.
async fn within<T>(
    limit: Duration,
    what: &str,
    operation: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match tokio::time::timeout(limit, operation).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {limit:?}"))),
    }
}

fn closed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}
