//! The page for operators that a server of the binary protocol has beside its port: `/metrics` and `/health`, over
//! HTTP/1.1, where `admin_listen` is set.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};
use crate::server::{BindError, accept, bind};

/// Connections open at once. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16;
/// Until a request's header is complete.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may stay, whatever it does: one that takes nothing must not hold its place for ever.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The operators' page, listening; or nothing, where it is switched off.
#[derive(Debug)]
pub struct Admin(Option<TcpListener>);

impl Admin {
    /// Opens the socket, if there is to be one.
    ///
    /// # Errors
    /// [`BindError`] with a sentence that says what to do.
    pub fn bind(address: Option<SocketAddr>) -> Result<Admin, BindError> {
        address.map(bind).transpose().map(Admin)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown`; requests under way then are cut off, for each takes a moment only.
    pub async fn run(self, shutdown: CancellationToken) {
        let address = self.local_addr();
        let Some(listener) = self.0 else { return };
        tracing::info!(address = address.map(tracing::field::display), "metrics can be had");
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        // Dropping it at the end ends its tasks.
        let mut connections = tokio::task::JoinSet::new();
        while let Some((stream, peer)) = accept(&listener, &shutdown).await {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                if let Ok(Err(error)) = timeout(MAX_AGE, serve(stream)).await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                drop(permit);
            });
        }
    }
}

async fn serve(stream: TcpStream) -> hyper::Result<()> {
    let answer = service_fn(|request: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(answer(request.method(), request.uri().path())))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_header_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

fn answer(method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, content_type, text) = match path {
        _ if !matches!(*method, Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD are possible here\n".to_owned())
        }
        "/metrics" => (StatusCode::OK, metrics::CONTENT_TYPE, Metrics::global().render()),
        "/health" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "here are /metrics and /health\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_and_health_are_told_until_shutdown() {
        let admin = Admin::bind(Some(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let address = admin.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(admin.run(shutdown.clone()));
        let text = ask(address, "GET /metrics").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("content-type: application/openmetrics-text; version=1.0.0"), "{text}");
        assert!(text.contains("tnv_build_info{version=\"") && text.ends_with("# EOF\n"), "{text}");
        assert!(ask(address, "GET /health").await.ends_with("\r\n\r\nok\n"));
        assert!(ask(address, "GET /").await.starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
        shutdown.cancel();
        running.await.unwrap();
        TcpStream::connect(address).await.unwrap_err();
    }

    #[tokio::test]
    async fn without_an_address_there_is_nothing() {
        let admin = Admin::bind(None).unwrap();
        assert_eq!(admin.local_addr(), None);
        admin.run(CancellationToken::new()).await;
    }
}
