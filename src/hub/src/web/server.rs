//! The listening side.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Body, Content};
use crate::inflow::Inflow;
use crate::package::BodyError;
use crate::service::Service;

pub(crate) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    drain: Duration,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted { Ok(accepted) => accepted, Err(_) => continue },
        };
        let (service, shutdown, abort) = (service.clone(), shutdown.clone(), abort.clone());
        tasks.spawn(async move {
            let answer = service_fn(|request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(answer(&service, request, peer).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).half_close(false);
            let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), answer));
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

async fn answer(service: &Service, request: Request<Incoming>, peer: SocketAddr) -> Response<Outgoing> {
    let (head, body) = request.into_parts();
    let inflow = Inflow::new(body, Duration::from_secs(60));
    let mut response = service.answer(&head, inflow, peer).await;
    let len = response.body().len();
    if head.method == Method::HEAD && len > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
        *response.body_mut() = Body::empty();
    }
    response.headers_mut().insert(SERVER, HeaderValue::from_static("tnv"));
    response.map(|body| Outgoing { left: body.len(), content: Some(body.content) })
}

struct Outgoing {
    left: u64,
    content: Option<Content>,
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
