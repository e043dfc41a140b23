//! Frames on one TCP connection.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tnv_proto::{Failure, HEADER_LEN, Header, STATUS_OK, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::runtime::{self, Handle};

use crate::{ClientError, Deadline, Options};

/// The longest body of a reply that is a few fields or a failure, in bytes.
pub(crate) const SMALL_REPLY: u64 = 64 * 1024;
/// How much a body may grow the buffer before the bytes for it are there.
const READ_STEP: usize = 64 * 1024;
/// How much of a reply is read along with its header where it is a few fields, in bytes.
pub(crate) const SMALL_READ: usize = 1024;

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
    /// The runtime that drives the socket.
    home: runtime::Id,
    /// What was read of a body along with its header.
    ahead: BytesMut,
    /// When the reply must be here.
    deadline: Deadline,
    opened: Instant,
    rested: Option<Instant>,
    reused: bool,
}

/// What a reply's header says, with the length of the body behind it.
enum Outcome {
    Success(u64),
    Failure(u64),
}

impl Connection {
    pub(crate) async fn open(peer: Peer) -> Result<Self, ClientError> {
        let connect = TcpStream::connect(&*peer.address);
        let stream = within(peer.options.connect_timeout, "no connection", connect)
            .await
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|error| peer.unreachable(error))?;
        let opened = Instant::now();
        let (rested, deadline) = (Some(opened), Deadline::new(peer.options.reply_timeout));
        let home = Handle::current().id();
        Ok(Connection { peer, stream, home, ahead: BytesMut::new(), deadline, opened, rested, reused: false })
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The runtime that drives it.
    pub(crate) fn home(&self) -> runtime::Id {
        self.home
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
        let len = self.request(frame, SMALL_READ, self.peer.options.reply_timeout).await?;
        self.body(len, limit).await
    }

    /// Sends a frame and reads the reply's header, whose first byte must come within `patience`: the length of the
    /// body that follows, of which up to `ahead` bytes are read along. A refusal is an error.
    pub(crate) async fn request(
        &mut self,
        frame: &[u8],
        ahead: usize,
        patience: Duration,
    ) -> Result<u64, ClientError> {
        self.begin();
        self.write(frame).await?;
        self.answer(ahead, patience).await
    }

    /// Sends bytes of a request that is under way.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.peer.write(&mut self.stream, bytes).await
    }

    /// Reads the header of the reply to what was sent, as [`Connection::request`] does.
    pub(crate) async fn answer(&mut self, ahead: usize, patience: Duration) -> Result<u64, ClientError> {
        let reply = self.reply(ahead, patience).await;
        if matches!(reply, Ok(0) | Err(ClientError::Refused { .. })) {
            self.finish();
        }
        reply
    }

    async fn reply(&mut self, ahead: usize, patience: Duration) -> Result<u64, ClientError> {
        // One byte more than is expected: a read that does not fill its buffer has emptied the socket, and nobody has
        // to ask the kernel again whether something is left in it.
        self.ahead.reserve(HEADER_LEN + ahead + 1);
        let (mut patience, mut missing) = (patience, "no reply");
        let header = loop {
            if let Some(header) = self.ahead.first_chunk::<HEADER_LEN>() {
                break *header;
            }
            self.deadline.set(patience);
            let read = tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.ahead) => read,
                () = self.deadline.passed() => Err(too_late(missing, patience)),
            };
            match read {
                Ok(0) => {
                    return Err(self.peer.unreachable(closed("the connection was closed without a reply")));
                }
                Ok(_) => (patience, missing) = (self.peer.options.progress_timeout, "half a reply"),
                Err(error) => return Err(self.peer.unreachable(error)),
            }
        };
        self.ahead.advance(HEADER_LEN);
        match self.peer.decode(header)? {
            Outcome::Success(len) => Ok(len),
            Outcome::Failure(len) => {
                let body = self.rest(len).await?;
                Err(self.peer.refusal(&body))
            }
        }
    }

    /// Reads the whole body of a reply.
    pub(crate) async fn body(&mut self, len: u64, limit: u64) -> Result<Bytes, ClientError> {
        if len > limit {
            return Err(self.peer.protocol(format!("a body of {len} bytes, at most {limit} are expected")));
        }
        let body = self.rest(len).await?;
        self.finish();
        Ok(body.freeze())
    }

    async fn rest(&mut self, len: u64) -> Result<BytesMut, ClientError> {
        let mut body = self.take_ahead(len);
        let rest = len - body.len() as u64;
        self.peer.read_body(&mut self.stream, rest, &mut body).await?;
        Ok(body)
    }

    /// What was read along with the reply's header, up to `limit` bytes of it.
    pub(crate) fn take_ahead(&mut self, limit: u64) -> BytesMut {
        let len = self.ahead.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        self.ahead.split_to(len)
    }

    /// Appends what has arrived of a body, 1 byte up to the smaller of `limit` and the spare capacity of `buffer`.
    /// What was read along with the header comes before that.
    pub(crate) async fn read_some(
        &mut self,
        buffer: &mut BytesMut,
        limit: u64,
    ) -> Result<usize, ClientError> {
        self.peer.read_some(&mut self.stream, buffer, limit).await
    }

    /// The socket, for somebody who counts what is taken from it.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
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
        // More than the reply had is no beginning of another one: such a connection stays restless, and is closed.
        if std::mem::take(&mut self.ahead).is_empty() {
            self.rested = Some(Instant::now());
            self.reused = true;
        }
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

        match self.decode(header)? {
            Outcome::Success(len) => Ok(len),
            Outcome::Failure(len) => {
                let mut body = BytesMut::new();
                self.read_body(read, len, &mut body).await?;
                Err(self.refusal(&body))
            }
        }
    }

    fn decode(&self, header: [u8; HEADER_LEN]) -> Result<Outcome, ClientError> {
        let header = Header::decode(header).map_err(|error| self.protocol(error))?;
        if header.command != self.kind.reply_command() {
            let wanted = self.kind.reply_command();
            return Err(self.protocol(format!("its kind is {}, not {wanted}", header.command)));
        }
        if header.status == STATUS_OK {
            return Ok(Outcome::Success(header.body_len));
        }
        if header.body_len > SMALL_REPLY {
            return Err(self.protocol(format!("a description of {} bytes", header.body_len)));
        }
        Ok(Outcome::Failure(header.body_len))
    }

    fn refusal(&self, body: &[u8]) -> ClientError {
        match Failure::decode(body) {
            Ok(failure) => ClientError::refused(self.kind, &self.address, failure),
            Err(error) => self.protocol(error),
        }
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
        Err(_) => Err(too_late(what, limit)),
    }
}

fn too_late(what: &str, limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {limit:?}"))
}

fn closed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}
