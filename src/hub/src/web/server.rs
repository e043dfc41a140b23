//! The listening side.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, RETRY_AFTER, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tnv_common::clients::{Client, Clients};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Body, Content};
use crate::inflow::Inflow;
use crate::package::BodyError;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::stream::ClientStream;

/// Connections over the limit that are being told so, at once. More wait in the kernel's queue.
const MAX_REFUSALS: usize = 64;
/// How long a connection over the limit has to send its request and take the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves until `shutdown`, then lets running answers finish for up to `drain_timeout`.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, shutdown: CancellationToken) {
    let drain = service.config.drain_timeout;
    let acceptor = Acceptor::new(service, shutdown.clone());
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => acceptor.start(stream, peer).await,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    acceptor.tasks.close();
    if tokio::time::timeout(drain, acceptor.tasks.wait()).await.is_err() {
        tracing::warn!(connections = acceptor.tasks.len(), "drain timeout: cutting off what still runs");
        acceptor.abort.cancel();
        acceptor.tasks.wait().await;
    }
}

/// What connections are made with.
struct Acceptor {
    service: Arc<Service>,
    permits: Arc<Semaphore>,
    clients: Clients,
    refusals: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl Acceptor {
    fn new(service: Arc<Service>, shutdown: CancellationToken) -> Acceptor {
        let config = &service.config;
        Acceptor {
            permits: Arc::new(Semaphore::new(config.max_connections)),
            clients: Clients::new(config.max_connections_per_client, config.rate_limit),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
            service,
            shutdown,
        }
    }

    /// Serves a connection in a task of its own, or refuses it there.
    async fn start(&self, stream: TcpStream, peer: SocketAddr) {
        // Small answers are not to wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let patience = self.service.config.progress_timeout;
        let full = match self.admit(peer) {
            Ok((permit, client)) => {
                let stream = ClientStream::new(stream, patience, client);
                let serving = connection(
                    stream,
                    (self.service.clone(), peer),
                    self.shutdown.clone(),
                    self.abort.clone(),
                );
                self.tasks.spawn(async move {
                    serving.await;
                    drop(permit);
                });
                return;
            }
            Err(full) => full,
        };
        let slot = tokio::select! {
            () = self.shutdown.cancelled() => return,
            slot = self.refusals.clone().acquire_owned() => slot,
        };
        tracing::warn!(%peer, reason = full.detail(), "refused");
        let stream = ClientStream::new(stream, patience, Client::unlimited());
        self.tasks.spawn(async move {
            let _ = tokio::time::timeout(REFUSAL_TIMEOUT, turn_away(stream, full)).await;
            drop(slot);
        });
    }

    /// A place for one more connection, or why there is none.
    fn admit(&self, peer: SocketAddr) -> Result<(OwnedSemaphorePermit, Client), Refusal> {
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections; try again soon")
        })?;
        let client = self.clients.admit(peer.ip()).ok_or_else(|| {
            let detail = "too many connections from your address; close some, or try again soon";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail)
                .with(RETRY_AFTER, HeaderValue::from_static("2"))
        })?;
        Ok((permit, client))
    }
}

async fn connection(
    stream: ClientStream<TcpStream>,
    (service, peer): (Arc<Service>, SocketAddr),
    shutdown: CancellationToken,
    abort: CancellationToken,
) {
    let header_timeout = service.config.header_timeout;
    let answer = service_fn(|request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(answer(&service, request, peer).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), answer));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = abort.cancelled() => tracing::info!(%peer, "connection cut off: the server is stopping"),
    }
}

/// Answers one request with a refusal.
async fn turn_away(stream: ClientStream<TcpStream>, full: Refusal) {
    let answer = service_fn(|_: Request<Incoming>| {
        let mut response = full.clone().into_response();
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        async move { Ok::<_, Infallible>(response.map(Outgoing::new)) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(service: &Service, request: Request<Incoming>, peer: SocketAddr) -> Response<Outgoing> {
    let (head, body) = request.into_parts();
    let has_body = !hyper::body::Body::is_end_stream(&body);
    let inflow = Inflow::new(body, service.config.progress_timeout);
    let mut response = service.answer(&head, inflow, peer).await;
    if has_body && (response.status().is_client_error() || response.status().is_server_error()) {
        // A refused body may be unread, and the connection then of no more use: the client must be told.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let len = response.body().len();
    if head.method == Method::HEAD && len > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
        *response.body_mut() = Body::empty();
    }
    response.headers_mut().insert(SERVER, HeaderValue::from_static("tnv"));
    response.map(Outgoing::new)
}

struct Outgoing {
    left: u64,
    content: Option<Content>,
}

impl Outgoing {
    fn new(body: Body) -> Outgoing {
        let left = body.len();
        Outgoing { left, content: (left > 0).then_some(body.content) }
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let chunk = match &mut self.content {
            None => return Poll::Ready(None),
            Some(Content::Text(text)) => Some(Ok(std::mem::take(text))),
            Some(Content::Stream(stream)) => std::task::ready!(stream.as_mut().poll_next(cx)),
        };
        match chunk {
            Some(Ok(bytes)) if bytes.len() as u64 <= self.left => {
                self.left -= bytes.len() as u64;
                if self.left == 0 {
                    self.content = None;
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            None if self.left == 0 => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            _ => Poll::Ready(Some(Err(BodyError::Length))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
