//! The short way of a GET or HEAD over HTTP/1.1: read, answered and sent here, so that a file's bytes go from one socket to
//! the other. What is answered is decided by the same code as everywhere. The first request that is anything else goes to
//! hyper, with what was read of it and the rest of its connection.

mod head;
mod local;
mod outflow;
mod pipe;
mod request;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Response};
use tnv_client::Deadline;
use tnv_common::scratch;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::body::{Body, Content, Part};
use crate::served::Served;
use crate::site::Site;
use outflow::{Broken, Outflow};
use request::{Parsed, PlainRequest};

/// The longest request that is read here, in bytes. Hyper takes some that are longer.
const MAX_REQUEST: usize = 8 * 1024;

/// A connection and what it is served with.
pub(crate) struct Lane<'a, S> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    peer: SocketAddr,
    served: &'a Served<S>,
    patience: Patience<'a>,
    deadline: Deadline,
    /// What was read and not answered yet.
    read: BytesMut,
}

/// How long a connection is served.
#[derive(Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// How long it may be without a request.
    pub(crate) idle: Duration,
    /// How long a client may take nothing.
    pub(crate) progress_timeout: Duration,
    /// Lets the request under way finish.
    pub(crate) shutdown: &'a CancellationToken,
    /// Does not.
    pub(crate) abort: &'a CancellationToken,
}

/// What is to become of a connection that was served here.
pub(crate) enum Next {
    /// Nothing: nobody is there, or must not take what came for the whole.
    Drop,
    /// It is closed when the client has taken the last answer.
    Close,
    /// Somebody else goes on with it, beginning with these bytes.
    HandOver(Bytes),
}

impl<'a, S: Site> Lane<'a, S> {
    pub(crate) fn new(
        stream: &'a mut TcpStream,
        peer: SocketAddr,
        served: &'a Served<S>,
        patience: Patience<'a>,
    ) -> Lane<'a, S> {
        let (from, to) = stream.split();
        let deadline = Deadline::new(patience.idle);
        Lane { from, to, peer, served, patience, deadline, read: BytesMut::new() }
    }

    /// Answers requests as long as they are plain ones.
    ///
    /// # Errors
    /// If the connection breaks, or stands still for too long.
    pub(crate) async fn serve(mut self) -> io::Result<Next> {
        loop {
            let request = match self.request().await? {
                Ok(request) => request,
                Err(next) => return Ok(next),
            };
            let closes = request.closes;
            // Boxed, so that a connection has the memory for it only while a request is under way: it is the largest part.
            let Some(answered) = Box::pin(self.answer(request)).await? else { return Ok(Next::Drop) };
            if closes || answered.closes {
                return Ok(Next::Close);
            }
        }
    }

    /// The next request, or what is to be done if there is none.
    async fn request(&mut self) -> io::Result<Result<PlainRequest, Next>> {
        self.deadline.set(self.patience.idle);
        loop {
            if self.read.is_empty() {
                // Nor does it need a buffer meanwhile.
                self.read = BytesMut::new();
            } else {
                match request::parse(&mut self.read) {
                    Parsed::Plain(request) => return Ok(Ok(*request)),
                    Parsed::Partial if self.read.len() < MAX_REQUEST => {}
                    Parsed::Partial | Parsed::Other => {
                        let read = std::mem::take(&mut self.read);
                        return Ok(Err(Next::HandOver(read.freeze())));
                    }
                }
            }
            tokio::select! {
                biased;
                read = read_some(&mut self.from, &mut self.read) => if read? == 0 {
                    return Ok(Err(Next::Drop));
                },
                () = self.patience.shutdown.cancelled() => return Ok(Err(Next::Close)),
                () = self.deadline.passed() => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Answers a request; `None` if the client has not got the whole answer.
    async fn answer(&mut self, request: PlainRequest) -> io::Result<Option<Answered>> {
        let Lane { from, to, peer, served, patience, deadline, read } = self;
        let answer = async {
            let PlainRequest { parts, closes } = request;
            let (response, access) = served.answer_plain(&parts, *peer).await;
            let closes = closes || patience.shutdown.is_cancelled();
            send(
                to.as_ref(),
                response,
                access,
                (&parts.method, closes),
                (deadline, patience.progress_timeout),
            )
            .await
            .map(|()| Answered { closes })
        };
        let answered = tokio::select! {
            biased;
            answered = answer => answered,
            () = gone(from, read) => return Ok(None),
            () = patience.abort.cancelled() => {
                tracing::info!(%peer, "connection cut off: the server is stopping");
                return Ok(None);
            }
        };
        match answered {
            Ok(answered) => Ok(Some(answered)),
            Err(Broken::Client(error)) => Err(error),
            // It was logged.
            Err(Broken::Body) => Ok(None),
        }
    }
}

/// An answer that went out whole.
struct Answered {
    closes: bool,
}

/// Sends an answer to its last byte.
async fn send(
    stream: &TcpStream,
    response: Response<Body>,
    access: Access,
    (method, closes): (&Method, bool),
    (deadline, patience): (&mut Deadline, Duration),
) -> Result<(), Broken> {
    let (mut head, body) = response.into_parts();
    if closes {
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let len = body.len();
    let mut out = Outflow::new(stream, head::encode(&head, method, len), access, deadline, patience);
    match body.into_content() {
        Content::Text(text) => out.send(text).await?,
        Content::Pieces(mut reader) => loop {
            match reader.part().await {
                Ok(Some(Part::Text(text))) => out.send(text).await?,
                Ok(Some(Part::Stored(download))) => out.relay(download).await?,
                Ok(Some(Part::Local(local))) => out.send_local(local).await?,
                Ok(None) => break,
                Err(error) => return Err(out.broken(&error)),
            }
        },
    }
    out.finish(len).await
}

/// Reads what has come; 0 at the connection's end.
async fn read_some(from: &mut ReadHalf<'_>, read: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| scratch::poll_read(cx, from, |bytes| read.extend_from_slice(bytes))).await
}

/// Returns when the client hangs up. Nothing more is read once it has sent its next request.
async fn gone(from: &mut ReadHalf<'_>, read: &mut BytesMut) {
    while read.is_empty() {
        if !matches!(read_some(from, read).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending().await
}
