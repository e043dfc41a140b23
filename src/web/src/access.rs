//! One line in the log, and one count in the metrics, for every request; written when its answer is over.

use std::net::SocketAddr;
use std::time::Instant;

use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri};

use crate::body::Follower;
use crate::metrics::SiteMetrics;

/// Follows a request to the end of its answer, however that comes about; logs it when dropped.
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
    follower: Option<Box<dyn Follower>>,
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
            follower: None,
        }
    }

    /// The header is decided on, and who else follows the body.
    pub(crate) fn answered(&mut self, status: StatusCode, follower: Option<Box<dyn Follower>>) {
        self.status = Some(status);
        self.follower = follower;
    }

    /// Bytes of the body went out to the connection's buffer.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(follower) = &mut self.follower {
            follower.sent(bytes as u64);
        }
    }

    /// Nothing of the body is left to send.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
    }

    /// The body cannot be finished; the connection is cut off.
    pub(crate) fn broken(&mut self, error: &dyn std::fmt::Display) {
        if let Some(follower) = &mut self.follower {
            follower.failed(error);
        }
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
