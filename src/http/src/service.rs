//! One request, one answer.

use std::time::Duration;

use hyper::header::{ALLOW, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tnv_client::Client;
use tnv_web::cors::Cors;
use tnv_web::host::Hosts;
use tnv_web::{Body, Payload, Refusal, Request, Site, answer, origin};

use crate::config::Config;
use crate::files::Files;
use crate::metalink::Metalinks;
use crate::route::{Route, route};
use crate::session::Sessions;
use crate::view::Owner;
use crate::{file, list, page, pages, tus, upload};

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

    async fn dispatch(
        &self,
        route: &Route,
        request: &Parts,
        payload: Payload,
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
            Route::NewFile(app, user) => upload::create(self, (app, user), request, payload).await,
            Route::File(key) if method == Method::DELETE => upload::delete(&self.files, key).await,
            Route::NewUpload(app, user) => tus::create(self, (app, user), request, payload).await,
            Route::Upload(key) if method == Method::PATCH => tus::append(self, key, request, payload).await,
            Route::Upload(key) if method == Method::DELETE => tus::terminate(self, key).await,
            Route::Upload(key) => tus::progress(self, key).await,
            Route::Session if request.method == Method::PUT => {
                self.sessions()?.write(request, payload, self.progress_timeout).await
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
            Route::Metrics => Ok(answer::metrics()),
            Route::NewFile(..) | Route::NewUpload(..) | Route::Upload(_) | Route::Unknown => {
                Err(Refusal::nothing())
            }
        }
    }

    /// Whether a request may be answered at all.
    fn check(&self, route: &Route, method: &Method, request: &Parts) -> Result<(), Refusal> {
        if *route == Route::Unknown {
            return Err(Refusal::nothing());
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
            return Err(Refusal::forbidden("files cannot be changed here: writing is switched off"));
        }
        if !origin::may_change(request, &self.cors) {
            return Err(Refusal::foreign_page());
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
}

impl Site for Gateway {
    const NAME: &'static str = "http";

    /// A sentence for the client (400) where the path is none.
    type Route = Result<Route, String>;

    fn route(&self, request: &Parts) -> Result<Route, String> {
        route(request.uri.path(), &self.owner.app, &self.owner.user)
    }

    fn name(route: &Result<Route, String>) -> &'static str {
        route.as_ref().map_or("unknown", Route::name)
    }

    async fn answer(
        &self,
        route: &Result<Route, String>,
        request: Request<'_>,
    ) -> Result<Response<Body>, Refusal> {
        match route {
            Ok(route) => self.dispatch(route, request.head, request.payload).await,
            Err(sentence) => Err(Refusal::bad(sentence.clone())),
        }
    }

    fn complete(&self, route: &Result<Route, String>, request: &Parts, answer: &mut HeaderMap) {
        self.cors.apply(&request.headers, answer);
        if route.as_ref().is_ok_and(Route::is_tus) {
            tus::mark(answer);
        }
    }
}
