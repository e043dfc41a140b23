//! The listening side on hyper.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{Body, Part};
use crate::refusal::Refusal;
use crate::route::Route;
use crate::service::{MAX_BODY, Site};

pub(crate) async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    drain: std::time::Duration,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted { Ok(accepted) => accepted, Err(_) => continue },
        };
        let (site, shutdown, abort) = (site.clone(), shutdown.clone(), abort.clone());
        tasks.spawn(async move {
            let answer = service_fn(|request| {
                let site = site.clone();
                async move { Ok::<_, Infallible>(answer(&site, request, peer).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            tokio::select! {
                _ = connection => {}
                () = abort.cancelled() => {}
            }
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        abort.cancel();
        tasks.wait().await;
    }
}

async fn answer(site: &Site, request: Request<Incoming>, peer: SocketAddr) -> Response<Stream> {
    let (parts, body) = request.into_parts();
    let route = Route::of(parts.uri.path());
    let response = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => site.answer(route, &parts, body.to_bytes(), peer).await,
        Err(_) => Refusal::new(hyper::StatusCode::PAYLOAD_TOO_LARGE, "the body is too long").into_response(),
    };
    response.map(|body| Stream::of(body))
}

/// Fed by a task that reads the file.
struct Stream {
    len: u64,
    chunks: mpsc::Receiver<Result<Bytes, std::io::Error>>,
}

impl Stream {
    fn of(body: Body) -> Stream {
        let len = body.len();
        let (sender, chunks) = mpsc::channel(1);
        match body {
            Body::Text(text) => {
                let _ = sender.try_send(Ok(text));
            }
            Body::Package(mut reader) => {
                tokio::spawn(async move {
                    loop {
                        let chunk = match reader.next().await {
                            Ok(None) => return,
                            Ok(Some(Part::Text(text))) => Ok(text),
                            Ok(Some(Part::File(file, range))) => {
                                let read = tokio::task::spawn_blocking(move || {
                                    let mut bytes = vec![0; (range.end - range.start) as usize];
                                    file.read_exact_at(&mut bytes, range.start).map(|()| Bytes::from(bytes))
                                });
                                read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
                            }
                            Err(error) => Err(std::io::Error::other(error.to_string())),
                        };
                        let ends = chunk.is_err();
                        if sender.send(chunk).await.is_err() || ends {
                            return;
                        }
                    }
                });
            }
        }
        Stream { len, chunks }
    }
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.chunks.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}
