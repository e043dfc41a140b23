//! One line in the log, and one count in the metrics, for every request; written when its answer is over.

use std::net::SocketAddr;
use std::time::Instant;

use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri};

use crate::metrics::SiteMetrics;

/// Follows a request to the end of its answer, however that comes about; logs it when dropped.
#[derive(Debug)]
pub(crate) struct Access {
    metrics: &'static SiteMetrics,
    peer: SocketAddr,
    /// Which part of the site it is about.
    route: &'static str,
    method: Method,
    uri: Uri,
    began: Instant,
    status: Option<StatusCode>,
    bytes: u64,
    complete: bool,
}

impl Access {
    pub(crate) fn begin(
        metrics: &'static SiteMetrics,
        peer: SocketAddr,
        route: &'static str,
        request: &Parts,
    ) -> Access {
        Access {
            metrics,
            peer,
            route,
            method: request.method.clone(),
            uri: request.uri.clone(),
            began: Instant::now(),
            status: None,
            bytes: 0,
            complete: false,
        }
    }

    /// The header is decided on.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Bytes of the body went out to the connection's buffer.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Nothing of the body is left to send.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
    }

    /// The body cannot be finished; the connection is cut off.
    pub(crate) fn broken(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(peer = %self.peer, path = self.uri.path(), bytes = self.bytes, %error, "answer cut off");
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.metrics.answered(self.route, &self.method, self.status, took, self.bytes);
        tracing::debug!(
            peer = %self.peer,
            method = %self.method,
            path = self.uri.path(),
            status = self.status.map(|status| status.as_u16()),
            bytes = self.bytes,
            millis = took.as_millis() as u64,
            complete = self.complete,
            "request"
        );
    }
}
