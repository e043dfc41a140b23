//! One request, one answer.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HeaderValue, ORIGIN, SERVER, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use tnv_client::Client;

use crate::access::Access;
use crate::body::{Body, BodyStream};
use crate::config::Config;
use crate::cors::Cors;
use crate::files::Files;
use crate::host::Hosts;
use crate::metalink::Metalinks;
use crate::refusal::Refusal;
use crate::route::{Route, route};
use crate::seat::Seats;
use crate::session::Sessions;
use crate::view::Owner;
use crate::{file, list, origin, page, pages, tus, upload};

/// What answers requests.
pub(crate) struct Gateway {
    pub(crate) client: Client,
    pub(crate) files: Files,
    pub(crate) owner: Owner,
    pub(crate) writing: bool,
    pub(crate) max_upload_size: u64,
    pub(crate) progress_timeout: Duration,
    pub(crate) checking: tus::CheckingRoom,
    max_ranges: usize,
    metalinks: Metalinks,
    cors: Cors,
    hosts: Hosts,
    sessions: Option<Sessions>,
}

impl Gateway {
    pub(crate) fn new(config: &Config) -> Gateway {
        let client = Client::new(config.trackers.clone(), config.upstream());
        Gateway {
            files: Files::new(client.clone(), config),
            client,
            owner: Owner { app: config.app.clone(), user: config.user.clone() },
            writing: config.writing,
            max_upload_size: config.max_upload_size,
            progress_timeout: config.progress_timeout,
            checking: tus::CheckingRoom::new(),
            max_ranges: config.max_ranges,
            metalinks: Metalinks::new(config),
            cors: Cors::new(&config.cors_origins),
            hosts: Hosts::new(&config.hosts, tnv_common::host::name()),
            sessions: Sessions::new(&config.sessions),
        }
    }

    /// Answers a request, if there is a place for it. A body that its route does not take is left unread.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        seats: &Seats,
    ) -> Response<BodyStream> {
        let Some(seat) = seats.take() else { return self.turn_away(request, peer, Refusal::full()) };
        let (request, body) = request.into_parts();
        let route = self.route(&request);
        let access = Access::begin(peer, route_name(&route), &request.method, &request.uri);
        let answer = match &route {
            Ok(route) => self.dispatch(route, &request, body).await,
            Err(sentence) => Err(Refusal::bad(sentence.clone())),
        };
        let (mut response, access) = self.finish(answer, &request, access);
        if route.is_ok_and(|route| route.is_tus()) {
            tus::mark(response.headers_mut());
        }
        response.map(|body| BodyStream::new(body, access)).map(|body| match request.version {
            // Before, the connection's own timer does.
            Version::HTTP_2 => body.seated(seat, seats).watched(self.progress_timeout),
            _ => body.seated(seat, seats),
        })
    }

    /// Answers a GET or HEAD without a body, if that is all there is to it (see [`Route::is_plain`]).
    pub(crate) async fn answer_plain(
        &self,
        route: &Result<Route, String>,
        request: &Parts,
        peer: SocketAddr,
    ) -> (Response<Body>, Access) {
        let access = Access::begin(peer, route_name(route), &request.method, &request.uri);
        let answer = match route {
            Ok(route) => match self.check(route, &request.method, request) {
                Ok(()) => self.read(route, request).await,
                Err(refusal) => Err(refusal),
            },
            Err(sentence) => Err(Refusal::bad(sentence.clone())),
        };
        self.finish(answer, request, access)
    }

    /// What a request is about.
    ///
    /// # Errors
    /// A sentence for the client (400).
    pub(crate) fn route(&self, request: &Parts) -> Result<Route, String> {
        route(request.uri.path(), &self.owner.app, &self.owner.user)
    }

    /// Tells a connection over a limit, or a request that shares one, that it is one too many.
    pub(crate) fn turn_away(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        full: Refusal,
    ) -> Response<BodyStream> {
        let (request, _) = request.into_parts();
        let access = Access::begin(peer, "unknown", &request.method, &request.uri);
        let (response, access) = self.finish(Err(full), &request, access);
        response.map(|body| BodyStream::new(body, access))
    }

    async fn dispatch(
        &self,
        route: &Route,
        request: &Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Refusal> {
        let method = if route.is_tus() { tus::method(request) } else { request.method.clone() };
        if method == Method::OPTIONS {
            return Ok(self.options(route, request));
        }
        self.check(route, &method, request)?;
        if route.is_tus() {
            tus::check_version(&request.headers)?;
        }
        match route {
            Route::NewFile(app, user) => upload::create(self, (app, user), request, body).await,
            Route::File(key) if method == Method::DELETE => upload::delete(&self.files, key).await,
            Route::NewUpload(app, user) => tus::create(self, (app, user), request, body).await,
            Route::Upload(key) if method == Method::PATCH => tus::append(self, key, request, body).await,
            Route::Upload(key) if method == Method::DELETE => tus::terminate(self, key).await,
            Route::Upload(key) => tus::progress(self, key).await,
            Route::Session if request.method == Method::PUT => {
                self.sessions()?.write(request, body, self.progress_timeout).await
            }
            route => self.read(route, request).await,
        }
    }

    /// Answers what only reads, and was checked.
    async fn read(&self, route: &Route, request: &Parts) -> Result<Response<Body>, Refusal> {
        match route {
            Route::Index => page::index(&request.headers),
            Route::Asset(name) => page::asset(name, &request.headers),
            Route::File(key) if Metalinks::is_wanted(request) => {
                self.metalinks.answer(&self.client, key, request).await
            }
            Route::File(key) => {
                let mut answer = file::answer(&self.files, key, request, self.max_ranges).await?;
                self.metalinks.point(&self.files, key, request, &mut answer);
                Ok(answer)
            }
            Route::List => list::answer(&self.client, &self.owner, request).await,
            Route::Config => pages::config(self),
            Route::Cluster => pages::cluster(&self.client).await,
            Route::Session => self.sessions()?.read(&request.headers).await,
            Route::Metrics => Ok(pages::metrics()),
            Route::NewFile(..) | Route::NewUpload(..) | Route::Upload(_) | Route::Unknown => Err(nothing()),
        }
    }

    /// Whether a request may be answered at all.
    fn check(&self, route: &Route, method: &Method, request: &Parts) -> Result<(), Refusal> {
        if *route == Route::Unknown {
            return Err(nothing());
        }
        if !route.allows(method) {
            return Err(Refusal::method(method, route.methods()));
        }
        self.check_change(route, method, request)?;
        self.check_host(route, method, request)
    }

    /// Whether what changes something may do so.
    fn check_change(&self, route: &Route, method: &Method, request: &Parts) -> Result<(), Refusal> {
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        if route.is_of_files() && !self.writing {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "files cannot be changed here: writing is switched off",
            ));
        }
        if !origin::may_change(request, &self.cors) {
            let sentence = "pages of other origins may not change anything here";
            return Err(Refusal::new(StatusCode::FORBIDDEN, sentence));
        }
        Ok(())
    }

    /// Whether a page may do this under the name that the request came to. A page that only reads cannot be told from a
    /// program, so all who ask for what pages need are held to it. Files need no list to be found by those who know
    /// their address: they are for players, under any name.
    fn check_host(&self, route: &Route, method: &Method, request: &Parts) -> Result<(), Refusal> {
        let origin = request.headers.get(ORIGIN);
        let is_change = !matches!(*method, Method::GET | Method::HEAD);
        let concerned = route.is_for_pages() || (is_change && origin.is_some());
        if !concerned || origin.is_some_and(|origin| self.cors.lists(origin)) {
            return Ok(());
        }
        self.hosts.check(request).map_err(|name| Refusal::host(&name))
    }

    fn sessions(&self) -> Result<&Sessions, Refusal> {
        let nowhere = || Refusal::new(StatusCode::NOT_FOUND, "nothing is remembered of visitors here");
        self.sessions.as_ref().ok_or_else(nowhere)
    }

    fn options(&self, route: &Route, request: &Parts) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(route.methods()));
        if route.is_tus() {
            tus::describe(headers, self.max_upload_size);
        }
        self.cors.apply_preflight(&request.headers, route.methods(), headers);
        response
    }

    /// What all answers have in common.
    fn finish(
        &self,
        answer: Result<Response<Body>, Refusal>,
        request: &Parts,
        mut access: Access,
    ) -> (Response<Body>, Access) {
        // A refused body may be unread, and the connection then of no more use: the client must be told.
        let closes = answer.is_err() && request.version <= Version::HTTP_11 && has_body(request);
        let mut response = answer.unwrap_or_else(Refusal::into_response);
        if closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let len = response.body().len();
        if request.method == Method::HEAD && len > 0 {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
            *response.body_mut() = Body::empty();
        }
        response.headers_mut().insert(SERVER, HeaderValue::from_static("tnv"));
        self.cors.apply(&request.headers, response.headers_mut());
        access.answered(response.status());
        (response, access)
    }
}

fn route_name(route: &Result<Route, String>) -> &'static str {
    route.as_ref().map_or("unknown", Route::name)
}

fn nothing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address")
}

fn has_body(request: &Parts) -> bool {
    let len = request.headers.get(CONTENT_LENGTH);
    len.is_some_and(|len| len != "0") || request.headers.contains_key(TRANSFER_ENCODING)
}
