//! One line in the log, and one count in the metrics, for every request; written when its answer is over.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode, Uri};
use tokio::sync::watch;

use crate::metrics::HttpMetrics;

/// Follows a request to the end of its answer, however that comes about; logs it when dropped.
#[derive(Debug)]
pub(crate) struct Access {
    peer: SocketAddr,
    /// Which part of the gateway it is about.
    route: &'static str,
    method: Method,
    path: String,
    began: Instant,
    status: Option<StatusCode>,
    bytes: u64,
    complete: bool,
    _busy: BusyGuard,
}

/// How many answers of a connection are not over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Busy(watch::Sender<usize>);

#[derive(Debug)]
struct BusyGuard(Busy);

impl Busy {
    /// Returns when no answer has been under way for this long.
    pub(crate) async fn idle(&self, patience: Duration) {
        let mut answers = self.0.subscribe();
        loop {
            // The sender is here: neither wait can fail.
            let _ = answers.wait_for(|answers| *answers == 0).await;
            tokio::select! {
                () = tokio::time::sleep(patience) => return,
                _ = answers.wait_for(|answers| *answers > 0) => {}
            }
        }
    }

    fn enter(&self) -> BusyGuard {
        self.0.send_modify(|answers| *answers += 1);
        BusyGuard(self.clone())
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.send_modify(|answers| *answers -= 1);
    }
}

impl Access {
    pub(crate) fn begin(
        peer: SocketAddr,
        busy: &Busy,
        route: &'static str,
        method: &Method,
        uri: &Uri,
    ) -> Access {
        Access {
            peer,
            route,
            method: method.clone(),
            path: uri.path().to_owned(),
            began: Instant::now(),
            status: None,
            bytes: 0,
            complete: false,
            _busy: busy.enter(),
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
        tracing::warn!(peer = %self.peer, path = self.path, bytes = self.bytes, %error, "answer cut off");
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        HttpMetrics::global().answered(self.route, &self.method, self.status, took, self.bytes);
        tracing::debug!(
            peer = %self.peer,
            method = %self.method,
            path = self.path,
            status = self.status.map(|status| status.as_u16()),
            bytes = self.bytes,
            millis = took.as_millis() as u64,
            complete = self.complete,
            "request"
        );
    }
}
