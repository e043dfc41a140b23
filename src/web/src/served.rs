//! A site at work: one request, one answer, with what all sites have in common.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, SERVER, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Response, Version};

use crate::access::Access;
use crate::body::{Body, BodyStream};
use crate::metrics::SiteMetrics;
use crate::refusal::Refusal;
use crate::seat::Seats;
use crate::site::{Payload, Request, Site};

/// A site that is being served.
pub(crate) struct Served<S> {
    site: S,
    metrics: &'static SiteMetrics,
    /// How long a client may take nothing.
    progress_timeout: Duration,
}

impl<S: Site> Served<S> {
    pub(crate) fn new(site: S, progress_timeout: Duration) -> Served<S> {
        Served { site, metrics: SiteMetrics::of(S::NAME), progress_timeout }
    }

    pub(crate) fn metrics(&self) -> &'static SiteMetrics {
        self.metrics
    }

    /// Answers a request, if there is a place for it.
    pub(crate) async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        peer: SocketAddr,
        seats: &Seats,
    ) -> Response<BodyStream> {
        let Some(seat) = seats.take() else { return self.turn_away(request, peer, Refusal::full()) };
        let (request, body) = request.into_parts();
        let (response, access) = self.answer_with(&request, peer, Some(body)).await;
        response.map(|body| BodyStream::new(body, access)).map(|body| match request.version {
            // Before, the connection's own timer does.
            Version::HTTP_2 => body.seated(seat, seats).watched(self.progress_timeout),
            _ => body.seated(seat, seats),
        })
    }

    /// Answers a request that is nothing but a head.
    pub(crate) async fn answer_plain(&self, request: &Parts, peer: SocketAddr) -> (Response<Body>, Access) {
        self.answer_with(request, peer, None).await
    }

    /// Tells a connection over a limit, or a request that shares one, that it is one too many.
    pub(crate) fn turn_away(
        &self,
        request: hyper::Request<Incoming>,
        peer: SocketAddr,
        full: Refusal,
    ) -> Response<BodyStream> {
        let (request, _) = request.into_parts();
        let route = self.site.route(&request);
        let access = Access::begin(self.metrics, peer, "unknown", &request);
        let (response, access) = self.finish(Err(full), &route, &request, access);
        response.map(|body| BodyStream::new(body, access))
    }

    async fn answer_with(
        &self,
        request: &Parts,
        peer: SocketAddr,
        body: Option<Incoming>,
    ) -> (Response<Body>, Access) {
        let route = self.site.route(request);
        let access = Access::begin(self.metrics, peer, S::name(&route), request);
        let payload = Payload::new(body, self.metrics);
        let answer = self.site.answer(&route, Request { head: request, peer, payload }).await;
        self.finish(answer, &route, request, access)
    }

    /// What all answers have in common.
    fn finish(
        &self,
        answer: Result<Response<Body>, Refusal>,
        route: &S::Route,
        request: &Parts,
        mut access: Access,
    ) -> (Response<Body>, Access) {
        // A refused body may be unread, and the connection then of no more use: the client must be told.
        let closes = answer.is_err() && request.version <= Version::HTTP_11 && has_body(request);
        let mut response = answer.unwrap_or_else(|refusal| self.site.refuse(refusal));
        if closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let len = response.body().len();
        if request.method == Method::HEAD && len > 0 {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
            *response.body_mut() = Body::empty();
        }
        response.headers_mut().insert(SERVER, HeaderValue::from_static("tnv"));
        self.site.complete(route, request, response.headers_mut());
        let follower = response.body_mut().take_follower();
        access.answered(response.status(), follower);
        (response, access)
    }
}

fn has_body(request: &Parts) -> bool {
    let len = request.headers.get(CONTENT_LENGTH);
    len.is_some_and(|len| len != "0") || request.headers.contains_key(TRANSFER_ENCODING)
}
