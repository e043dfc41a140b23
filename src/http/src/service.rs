//! One request, one answer.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue, SERVER};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tnv_client::Client;
use tnv_proto::{AppId, UserId};

use crate::access::Access;
use crate::body::Body;
use crate::config::Config;
use crate::cors::Cors;
use crate::refusal::{METHODS, Refusal};
use crate::route::{Route, route};
use crate::{file, pages};

/// What answers requests.
pub(crate) struct Gateway {
    client: Client,
    app: AppId,
    user: UserId,
    max_ranges: usize,
    cors: Cors,
}

impl Gateway {
    pub(crate) fn new(config: &Config) -> Gateway {
        Gateway {
            client: Client::new(config.trackers.clone(), config.upstream()),
            app: config.app.clone(),
            user: config.user.clone(),
            max_ranges: config.max_ranges,
            cors: Cors::new(&config.cors_origins),
        }
    }

    /// Answers a request. A body that it has is left unread.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let (request, _) = request.into_parts();
        let access = Access::begin(peer, &request.method, &request.uri);
        let answer = self.dispatch(&request).await;
        self.finish(answer, &request, access)
    }

    /// Tells a connection over the limit that it is one too many.
    pub(crate) fn turn_away(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let (request, _) = request.into_parts();
        let access = Access::begin(peer, &request.method, &request.uri);
        let full = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections; try again soon");
        self.finish(Err(full), &request, access)
    }

    async fn dispatch(&self, request: &Parts) -> Result<Response<Body>, Refusal> {
        if request.method == Method::OPTIONS {
            return Ok(self.options(request));
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let sentence = format!("{} is not possible here, only {METHODS}", request.method);
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence));
        }
        let route = route(request.uri.path(), &self.app, &self.user)
            .map_err(|sentence| Refusal::new(StatusCode::BAD_REQUEST, sentence))?;
        match route {
            Route::Index => Ok(pages::index()),
            Route::File(key) => file::answer(&self.client, key, request, self.max_ranges).await,
            Route::Cluster => pages::cluster(&self.client).await,
            Route::Unknown => Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address")),
        }
    }

    fn options(&self, request: &Parts) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
        self.cors.apply_preflight(&request.headers, response.headers_mut());
        response
    }

    /// What all answers have in common.
    fn finish(
        &self,
        answer: Result<Response<Body>, Refusal>,
        request: &Parts,
        mut access: Access,
    ) -> Response<Body> {
        let mut response = answer.unwrap_or_else(Refusal::into_response);
        response.headers_mut().insert(SERVER, HeaderValue::from_static("tnv"));
        self.cors.apply(&request.headers, response.headers_mut());
        access.answered(response.status());
        response.map(|body| body.logged(access))
    }
}
