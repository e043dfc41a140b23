//! One request and its answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE,
    HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use tnv_common::metrics::Metrics;

use crate::access::{Access, Denied};
use crate::body::Body;
use crate::node::{Node, Service};
use crate::refusal::Refusal;
use crate::route::{Door, Route};
use crate::status;
use crate::web::{Cors, Hosts, origin};
use crate::{download, logs, page};

/// The longest body of a POST, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// What requests are answered with.
pub(crate) struct Site {
    pub(crate) node: Arc<Node>,
    access: Access,
    hosts: Hosts,
}

impl Site {
    pub(crate) fn new(node: Arc<Node>) -> Site {
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let hosts = Hosts::new(&node.config().hosts, &own);
        Site { node, access: Access::new(), hosts }
    }

    /// Answers a request whose path has been read. `body` is that of a POST, up to [`MAX_BODY`].
    pub(crate) async fn answer(
        &self,
        route: Route,
        request: &Parts,
        body: Bytes,
        peer: SocketAddr,
    ) -> Response<Body> {
        let answered = self.try_answer(route, request, body, peer).await;
        answered.unwrap_or_else(Refusal::into_response)
    }

    async fn try_answer(
        &self,
        route: Route,
        request: &Parts,
        body: Bytes,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Refusal> {
        if !route.allows(&request.method) {
            return Err(Refusal::method(&request.method, route.methods()));
        }
        if request.method == Method::OPTIONS {
            return Ok(options(&route));
        }
        self.admit(&route, request, peer).await?;
        match route {
            Route::Root => Ok(redirect("/static/index.html")),
            Route::Static(name) => page::file(&name, &request.headers),
            Route::Package(meeting) => download::answer(&self.node, meeting, request, peer).await,
            Route::Meeting(meeting) => Ok(status::of_meeting(&self.node, meeting)),
            Route::NodeStatus => Ok(status::of_node(&self.node)),
            Route::Status => Ok(status::of_all(&self.node)),
            Route::Config if request.method == Method::POST => self.configure(parse_object(&body)?).await,
            Route::Config => Ok(self.config()),
            Route::Heartbeat => self.set_heartbeat(&body).await,
            Route::Start => Ok(self.switch(Service::Running, "服务已启动")),
            Route::Stop => Ok(self.switch(Service::Stopped, "服务已停止")),
            Route::Logs => logs::answer(&self.node, request.uri.query().unwrap_or_default()).await,
            Route::Metrics => Ok(text(Metrics::global().render(), tnv_common::metrics::CONTENT_TYPE)),
            Route::Health => Ok(text("ok\n".to_owned(), "text/plain; charset=utf-8")),
            Route::Unknown => Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address")),
        }
    }

    /// Keeps out who may not: pages of others, names that may be anybody's, and who does not know the password.
    async fn admit(&self, route: &Route, request: &Parts, peer: SocketAddr) -> Result<(), Refusal> {
        let door = route.door(&request.method);
        if door == Door::Change && !origin::may_change(request, &Cors::new(&[])) {
            let detail = "a page of another site may not change anything here";
            return Err(Refusal::new(StatusCode::FORBIDDEN, detail));
        }
        if route.is_for_pages()
            && let Err(name) = self.hosts.check(request)
        {
            let detail = format!(
                "pages under the name {name} may not do this over plain http; if it is the node's own, add it to \
                 hosts in its configuration"
            );
            return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        let config = self.node.config();
        let kept = config.admin_password.as_ref().map(|password| password.reveal());
        self.access.check(door, kept, &request.headers, peer.ip()).await.map_err(|denied| match denied {
            Denied::NoPassword => Refusal::password("the admin password is asked for"),
            Denied::WrongPassword => Refusal::password("that is not the admin password"),
            Denied::TooManyTries => {
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords; wait a minute")
            }
            Denied::Elsewhere => Refusal::new(
                StatusCode::FORBIDDEN,
                "without an adminPassword in the configuration, changes are taken from this machine only",
            ),
        })
    }

    fn config(&self) -> Response<Body> {
        text(self.node.supply.file.shown(), "application/json")
    }

    async fn configure(&self, changes: Map<String, Value>) -> Result<Response<Body>, Refusal> {
        let changed = self.change(changes).await?;
        tracing::info!("配置已更新");
        Ok(json(&json!({
            "status": "success",
            "message": "配置已更新",
            "warnings": changed.warnings,
            "at_next_start": changed.at_next_start,
        })))
    }

    /// The older way to set one key: a number, or an object with it.
    async fn set_heartbeat(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let wrong = || Refusal::bad("无效的心跳间隔");
        let given: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
        let seconds = given.get("interval").unwrap_or(&given).as_u64().ok_or_else(wrong)?;
        let change = json!({"heartbeat": {"interval": seconds}});
        let Value::Object(change) = change else { return Err(wrong()) };
        self.change(change).await?;
        let message = format!("心跳间隔已更新为 {seconds} 秒");
        tracing::info!("{message}");
        Ok(json(&json!({"status": "success", "message": message})))
    }

    async fn change(&self, changes: Map<String, Value>) -> Result<crate::node::Changed, Refusal> {
        let node = self.node.clone();
        let changed = tokio::task::spawn_blocking(move || node.change(changes)).await;
        let broken = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the configuration was not changed");
        changed.map_err(broken)?.map_err(|error| Refusal::not_changed(&error))
    }

    fn switch(&self, wanted: Service, message: &str) -> Response<Body> {
        self.node.set_service(wanted);
        tracing::info!("{message}");
        json(&json!({"status": "success", "message": message}))
    }
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the body is not a JSON object: {error}")))
}

fn options(route: &Route) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(route.methods()));
    if matches!(route, Route::Package(_)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers
            .insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Range, If-Range, If-None-Match"));
    }
    response
}

fn redirect(to: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}

/// An answer in JSON that is another one the next time.
pub(crate) fn json(value: &Value) -> Response<Body> {
    text(format!("{value}\n"), "application/json")
}

fn text(text: String, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
