//! One request, one answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::{ALLOW, HOST, HeaderValue, ORIGIN};
use hyper::http::request::Parts as Head;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tnv_client::Client;
use tnv_common::database::Database;
use tnv_package::MeetingId;
use tnv_web::cors::Cors;
use tnv_web::host::Hosts;
use tnv_web::metalink::KnownHashes;
use tnv_web::query::Query;
use tnv_web::{Body, Payload, Request, Site, answer, origin};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::api;
use crate::audit::Audit;
use crate::config::Config;
use crate::downloads::Downloads;
use crate::intake::Intake;
use crate::meetings::{self, Meetings};
use crate::nodes::Nodes;
use crate::package::Source;
use crate::packages::Packages;
use crate::page;
use crate::probe::Prober;
use crate::refusal::{self, Refusal};
use crate::registry::Registry;
use crate::route::{Audience, Route, route};

/// What answers requests.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) local_addr: SocketAddr,
    pub(crate) meetings: Arc<dyn Meetings>,
    pub(crate) packages: Arc<Packages>,
    /// Of packages, by their versions.
    pub(crate) hashes: KnownHashes,
    pub(crate) client: Client,
    pub(crate) intake: Intake,
    pub(crate) nodes: Nodes,
    pub(crate) prober: Prober,
    pub(crate) access: Arc<Access>,
    pub(crate) downloads: Downloads,
    pub(crate) audit: Audit,
    pub(crate) max_ranges: usize,
    cors: Cors,
    hosts: Hosts,
}

impl Service {
    pub(crate) fn new(
        config: Config,
        local_addr: SocketAddr,
        database: Database,
        shutdown: CancellationToken,
    ) -> Service {
        let meetings = meetings::open(database);
        let packages = Arc::new(Packages::new(meetings.clone(), config.packages_size, config.grace));
        let client = Client::new(config.trackers.clone(), config.upstream());
        let access = Arc::new(Access::new(
            config.api_key.clone(),
            config.admin_password.clone(),
            config.allowed_nodes.clone(),
        ));
        let nodes = Nodes::new(Registry::new(config.policy.clone(), config.max_nodes));
        let audit = Audit::default();
        Service {
            local_addr,
            intake: Intake::new(&config, meetings.clone(), packages.clone(), client.clone()),
            hashes: KnownHashes::new(config.metalinks_size),
            prober: Prober::new(nodes.clone(), access.clone(), config.probe_timeout, shutdown),
            downloads: Downloads::new(audit.clone(), config.send_memory),
            max_ranges: config.max_ranges,
            cors: Cors::new(&config.cors_origins),
            hosts: Hosts::new(&config.hosts, tnv_common::host::name()),
            config,
            meetings,
            packages,
            client,
            nodes,
            access,
            audit,
        }
    }

    async fn dispatch(
        &self,
        route: &Route,
        head: &Head,
        payload: Payload,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Refusal> {
        if head.method == Method::OPTIONS {
            return Ok(self.options(route, head));
        }
        self.check(route, head, peer)?;
        let body = || payload.inflow(self.config.progress_timeout);
        let post = head.method == Method::POST;
        let put = head.method == Method::PUT;
        let delete = head.method == Method::DELETE;
        match route {
            Route::Index => page::index(&head.headers),
            Route::Docs => page::docs(&head.headers),
            Route::Asset(name) => page::asset(name, &head.headers),
            Route::OpenApi => page::open_api(&head.headers),
            Route::Health => api::admin::health(),
            Route::Metrics => Ok(answer::metrics()),
            Route::Meetings if post => api::meetings::create(self, head, body()).await,
            Route::Meetings => api::meetings::list(self, head).await,
            Route::Active => api::meetings::active(self).await,
            Route::Meeting(id) if put => api::meetings::change(self, id, head, body()).await,
            Route::Meeting(id) if delete => api::meetings::delete(self, id).await,
            Route::Meeting(id) => api::meetings::read(self, id, head).await,
            Route::Start(id) => api::meetings::set_status(self, id, meetings::Status::Active, head).await,
            Route::End(id) => api::meetings::set_status(self, id, meetings::Status::Ended, head).await,
            Route::Data(id) => api::meetings::data(self, id, head, peer.ip()).await,
            Route::Package(id) => api::packages::package(self, id, head, peer.ip()).await,
            Route::NodePackage(id) => api::packages::direct(self, id, head, peer.ip()).await,
            Route::Metalink(id) => api::metalink::metalink(self, id, head).await,
            Route::Sync(id) => api::packages::sync(self, id, head, peer.ip()).await,
            Route::Files(id) => api::files::upload(self, id, head, body()).await,
            Route::File(id, name) if put => api::files::put(self, id, name, head, body()).await,
            Route::File(id, name) if delete => api::files::delete(self, id, name).await,
            Route::File(id, name) => api::files::read(self, id, name, head, peer.ip()).await,
            Route::Upload(id, file, path) => {
                api::files::version(self, (id, file, path), head, peer.ip()).await
            }
            Route::Nodes => api::nodes::list(self),
            Route::Register => api::nodes::register(self, body(), peer.ip()).await,
            Route::Heartbeat(id) => api::nodes::heartbeat(self, id, body()).await,
            Route::Unregister(id) => api::nodes::unregister(self, id),
            Route::Session if post => api::admin::log_in(self, body(), peer.ip()).await,
            Route::Session if delete => Ok(api::admin::log_out(self, head)),
            Route::Session => api::admin::session(self, head, peer.ip()),
            Route::AdminNodes => api::admin::nodes(self),
            Route::AdminNode(id) if delete => api::admin::forget_node(self, id),
            Route::AdminNode(id) => api::admin::change_node(self, id, body()).await,
            Route::AdminDownloads => api::admin::downloads(self),
            Route::AdminAudit => api::admin::audit(self),
            Route::Unknown => Err(refusal::nothing()),
        }
    }

    /// Whether a request may be answered at all.
    fn check(&self, route: &Route, head: &Head, peer: SocketAddr) -> Result<(), Refusal> {
        if *route == Route::Unknown {
            return Err(refusal::nothing());
        }
        if !route.allows(&head.method) {
            return Err(Refusal::method(&head.method, route.methods()));
        }
        self.check_page(route, head)?;
        let of_page = head.headers.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate");
        let allowed = match route.audience() {
            Audience::All => Ok(()),
            Audience::Nodes => {
                let key = Query::new(head.uri.query()).get("api_key").map_err(Refusal::bad)?;
                let allowed = self.access.node(&head.headers, key.as_deref(), peer.ip());
                allowed.inspect_err(|denied| {
                    let reason = refusal::denied(*denied, of_page);
                    self.access.note_refused(reason.sentence(), peer.ip(), head.uri.path(), Instant::now());
                })
            }
            Audience::Operators => self.access.operator(&head.headers, peer.ip(), Instant::now()),
        };
        allowed.map_err(|denied| refusal::denied(denied, of_page))
    }

    /// Whether a page that makes this request may do so: whoever is at the machine that needs no password, or has a cookie,
    /// must not be used by pages of others.
    fn check_page(&self, route: &Route, head: &Head) -> Result<(), Refusal> {
        let changes = !matches!(head.method, Method::GET | Method::HEAD);
        if changes && !origin::may_change(head, &self.cors) {
            return Err(Refusal::foreign_page());
        }
        let origin = head.headers.get(ORIGIN);
        let concerned = route.audience() == Audience::Operators || (changes && origin.is_some());
        if !concerned || origin.is_some_and(|origin| self.cors.lists(origin)) {
            return Ok(());
        }
        self.hosts.check(head).map_err(|name| Refusal::host(&name))
    }

    fn options(&self, route: &Route, head: &Head) -> Response<Body> {
        let mut response = answer::empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(route.methods()));
        self.cors.apply_preflight(&head.headers, route.methods(), headers);
        response
    }

    /// Where the bytes of a meeting's files lie.
    pub(crate) fn source(&self, id: &MeetingId) -> Result<Source, Refusal> {
        let user = self.config.owner(id.as_str()).map_err(|error| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("user_prefix: {error}"))
        })?;
        Ok(Source { client: self.client.clone(), app: self.config.app.clone(), user })
    }

    /// What addresses of the hub begin with: what is configured, else the name that this request came to.
    pub(crate) fn base_url(&self, head: &Head) -> String {
        if !self.config.base_url.is_empty() {
            return self.config.base_url.clone();
        }
        let told = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = head.uri.authority().map(Authority::as_str).or(told);
        match host.and_then(|host| host.parse::<Authority>().ok()) {
            Some(host) if !host.as_str().contains('@') => format!("http://{host}"),
            _ => format!("http://{}", self.local_addr),
        }
    }
}

impl Site for Service {
    const NAME: &'static str = "hub";

    /// A sentence for the client (400) where the path is none.
    type Route = Result<Route, String>;

    fn route(&self, request: &Head) -> Result<Route, String> {
        route(request.uri.path())
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
            Ok(route) => self.dispatch(route, request.head, request.payload, request.peer).await,
            Err(sentence) => Err(Refusal::bad(sentence.clone())),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        refusal.into_json()
    }

    fn complete(&self, _: &Result<Route, String>, request: &Head, answer: &mut HeaderMap) {
        self.cors.apply(&request.headers, answer);
    }
}
