//! The listening side.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tnv_common::clients::{Client, Clients};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{Body, PackageReader, Part};
use crate::config::Limits;
use crate::metrics::NodeMetrics;
use crate::refusal::Refusal;
use crate::route::Route;
use crate::service::{MAX_BODY, Site};

/// How much of a file is read at once, in bytes.
const CHUNK: u64 = 256 * 1024;
/// How long a POST's body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// Serves connections until `shutdown`, then lets running answers finish for up to `drain_timeout`.
pub(crate) async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    limits: &Limits,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let clients = Clients::new(limits.max_connections_per_client, limits.rate_limit);
    let patience = limits.progress_timeout;
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let place = permits.clone().try_acquire_owned().ok().zip(clients.admit(peer.ip()));
        let Some((permit, client)) = place else {
            tracing::warn!(%peer, "too many connections: refused");
            continue;
        };
        let (site, shutdown, abort) = (site.clone(), shutdown.clone(), abort.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = converse(stream, peer, &site, Taker { client, patience }, &shutdown) => {}
                () = abort.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain_timeout, tasks.wait()).await.is_err() {
        abort.cancel();
        tasks.wait().await;
    }
}

/// Who takes answers, and how fast.
#[derive(Clone)]
struct Taker {
    client: Client,
    /// How long it may take nothing.
    patience: Duration,
}

/// One connection from its first request to its end.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    site: &Arc<Site>,
    taker: Taker,
    shutdown: &CancellationToken,
) {
    let answer = service_fn(|request| {
        let (site, taker) = (site.clone(), taker.clone());
        async move { Ok::<_, Infallible>(answer(&site, request, peer, taker).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn answer(
    site: &Site,
    request: Request<Incoming>,
    peer: SocketAddr,
    taker: Taker,
) -> Response<Outgoing> {
    let (parts, body) = request.into_parts();
    let route = Route::of(parts.uri.path());
    let name = route.name();
    let read = tokio::time::timeout(BODY_PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
    let response = match read {
        Ok(Ok(body)) => site.answer(route, &parts, body.to_bytes(), peer).await,
        Ok(Err(_)) => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long").into_response(),
        Err(_) => Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body takes too long").into_response(),
    };
    NodeMetrics::global().answered(name, response.status());
    response.map(|body| Outgoing::new(body, taker))
}

/// The body of an answer on its way.
struct Outgoing {
    len: u64,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
}

impl Outgoing {
    fn new(body: Body, taker: Taker) -> Outgoing {
        let len = body.len();
        let (sender, chunks) = mpsc::channel(1);
        match body {
            Body::Text(text) => {
                // There is room for one.
                let _ = sender.try_send(Ok(text));
            }
            Body::Package(reader) => {
                tokio::spawn(feed(*reader, taker, sender));
            }
        }
        Outgoing { len, chunks }
    }
}

/// Reads a package chunk by chunk, as fast as the client takes them.
async fn feed(mut reader: PackageReader, taker: Taker, sender: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let part = match reader.next().await {
            Ok(Some(part)) => part,
            Ok(None) => return,
            Err(error) => {
                // The client sees the connection break, never a short answer that looks whole.
                let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
                return;
            }
        };
        let (file, mut range) = match part {
            Part::Text(text) => match sender.send(Ok(text)).await {
                Ok(()) => continue,
                Err(_) => return,
            },
            Part::File(file, range) => (file, range),
        };
        while !range.is_empty() {
            let (file, start, len) = (file.clone(), range.start, (range.end - range.start).min(CHUNK));
            let read = tokio::task::spawn_blocking(move || {
                let mut chunk = vec![0; len as usize];
                file.read_exact_at(&mut chunk, start).map(|()| Bytes::from(chunk))
            });
            let chunk = read.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            let fails = chunk.is_err();
            taker.client.take(len as usize).await;
            let taken = tokio::time::timeout(taker.patience, sender.send(chunk)).await;
            if fails || !matches!(taken, Ok(Ok(()))) {
                return;
            }
            range.start += len;
        }
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.chunks.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}
