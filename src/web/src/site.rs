//! What a server of HTTP has to bring along.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response};

use crate::body::Body;
use crate::inflow::Inflow;
use crate::metrics::{Counted, SiteMetrics};
use crate::refusal::Refusal;

/// A site: everything that is answered at one address.
pub trait Site: Send + Sync + 'static {
    /// What it is called in logs and in the names of its metrics, such as `tnv_<NAME>_requests`.
    const NAME: &'static str;

    /// What a request is about, as its head tells.
    type Route: Send + Sync;

    /// Reads what a request is about. Done once for each of them.
    fn route(&self, request: &Parts) -> Self::Route;

    /// What a route is called in metrics. Never a text of the client's: there must be few names.
    fn name(route: &Self::Route) -> &'static str;

    /// Answers a request. A payload that is dropped unread ends the connection behind the answer. What HEAD and HTTP/1.1
    /// demand of an answer is seen to: HEAD may be answered as GET.
    fn answer(
        &self,
        route: &Self::Route,
        request: Request<'_>,
    ) -> impl Future<Output = Result<Response<Body>, Refusal>> + Send;

    /// Says no.
    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        refusal.into_response()
    }

    /// Adds what all answers to a request have in common, refusals included.
    fn complete(&self, _route: &Self::Route, _request: &Parts, _answer: &mut HeaderMap) {}
}

/// A request.
pub struct Request<'a> {
    /// Method, target and headers.
    pub head: &'a Parts,
    /// Who sent it.
    pub peer: SocketAddr,
    /// What comes behind the head.
    pub payload: Payload,
}

/// The body of a request, which has not been read.
pub struct Payload {
    body: Option<Incoming>,
    metrics: &'static SiteMetrics,
}

impl Payload {
    pub(crate) fn new(body: Option<Incoming>, metrics: &'static SiteMetrics) -> Payload {
        Payload { body, metrics }
    }

    /// Whether it is known to have no bytes.
    pub fn is_empty(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// How many bytes it has, where the request says so.
    pub fn len(&self) -> Option<u64> {
        self.body.as_ref().map_or(Some(0), |body| body.size_hint().exact())
    }

    /// Its bytes, which may stand still for `patience`.
    pub fn inflow(self, patience: Duration) -> Inflow {
        Inflow::new(self.body, self.metrics, patience)
    }

    /// Counts it as an upload until the guard is dropped.
    pub fn counted(&self) -> Counted {
        self.metrics.uploading()
    }
}
