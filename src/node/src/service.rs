//! One request and its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, HeaderValue, LOCATION,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use tnv_web::answer::{fresh, json};
use tnv_web::cors::Cors;
use tnv_web::host::Hosts;
use tnv_web::{Body, Payload, Refusal, Request, answer, origin};

use crate::access::{Access, Denied};
use crate::node::{Changed, Node, NotChanged, Service};
use crate::route::{Door, Route};
use crate::{download, logs, page, refusal, status};

/// The longest body of a POST, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How long a POST's body may stand still.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// What requests are answered with.
pub(crate) struct Site {
    pub(crate) node: Arc<Node>,
    access: Access,
    hosts: Hosts,
}

impl tnv_web::Site for Site {
    const NAME: &'static str = "node";

    type Route = Route;

    fn route(&self, request: &Parts) -> Route {
        Route::of(request.uri.path())
    }

    fn name(route: &Route) -> &'static str {
        route.name()
    }

    async fn answer(&self, route: &Route, request: Request<'_>) -> Result<Response<Body>, Refusal> {
        let Request { head, peer, payload } = request;
        if !route.allows(&head.method) {
            return Err(Refusal::method(&head.method, route.methods()));
        }
        if head.method == Method::OPTIONS {
            return Ok(options(route));
        }
        self.admit(route, head, peer).await?;
        match route {
            Route::Root => Ok(redirect("/static/index.html")),
            Route::Static(name) => page::file(name, &head.headers),
            Route::Package(meeting) => download::answer(&self.node, meeting.as_ref(), head, peer).await,
            Route::Meeting(meeting) => status::of_meeting(&self.node, meeting.as_ref()),
            Route::NodeStatus => status::of_node(&self.node),
            Route::Status => status::of_all(&self.node),
            Route::Config if head.method == Method::POST => {
                self.configure(parse_object(&whole(payload).await?)?).await
            }
            Route::Config => Ok(self.config()),
            Route::Heartbeat => self.set_heartbeat(&whole(payload).await?).await,
            Route::Start => self.switch(Service::Running, "服务已启动", payload).await,
            Route::Stop => self.switch(Service::Stopped, "服务已停止", payload).await,
            Route::Logs => logs::answer(&self.node, head.uri.query().unwrap_or_default()).await,
            Route::Metrics => Ok(answer::metrics()),
            Route::Health => Ok(fresh("ok\n".to_owned(), "text/plain; charset=utf-8")),
            Route::Unknown => Err(Refusal::nothing()),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        refusal.into_json()
    }
}

impl Site {
    pub(crate) fn new(node: Arc<Node>) -> Site {
        let hosts = Hosts::new(&node.config().hosts, tnv_common::host::name());
        Site { node, access: Access::new(), hosts }
    }

    /// Keeps out who may not: pages of others, names that may be anybody's, and who does not know the password.
    async fn admit(&self, route: &Route, request: &Parts, peer: SocketAddr) -> Result<(), Refusal> {
        let door = route.door(&request.method);
        if door == Door::Change && !origin::may_change(request, &Cors::new(&[])) {
            return Err(Refusal::foreign_page());
        }
        if route.is_for_pages()
            && let Err(name) = self.hosts.check(request)
        {
            return Err(Refusal::host(&name));
        }
        let config = self.node.config();
        let kept = config.admin_password.as_ref().map(|password| password.reveal());
        self.access.check(door, kept, &request.headers, peer.ip()).await.map_err(|denied| match denied {
            Denied::NoPassword => refusal::password("the admin password is asked for"),
            Denied::WrongPassword => refusal::password("that is not the admin password"),
            Denied::TooManyTries => {
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords; wait a minute")
            }
            Denied::Elsewhere => Refusal::forbidden(
                "without an adminPassword in the configuration, changes are taken from this machine only",
            ),
        })
    }

    fn config(&self) -> Response<Body> {
        fresh(self.node.supply.file.shown(), "application/json")
    }

    async fn configure(&self, changes: Map<String, Value>) -> Result<Response<Body>, Refusal> {
        let changed = match self.change(changes).await? {
            Ok(changed) => changed,
            Err(error) => return refusal::not_changed(&error),
        };
        tracing::info!("配置已更新");
        json(&json!({
            "status": "success",
            "message": "配置已更新",
            "warnings": changed.warnings,
            "at_next_start": changed.at_next_start,
        }))
    }

    /// The older way to set one key: a number, or an object with it.
    async fn set_heartbeat(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let wrong = || Refusal::bad("无效的心跳间隔");
        let given: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
        let seconds = given.get("interval").unwrap_or(&given).as_u64().ok_or_else(wrong)?;
        let change = json!({"heartbeat": {"interval": seconds}});
        let Value::Object(change) = change else { return Err(wrong()) };
        if let Err(error) = self.change(change).await? {
            return refusal::not_changed(&error);
        }
        let message = format!("心跳间隔已更新为 {seconds} 秒");
        tracing::info!("{message}");
        json(&json!({"status": "success", "message": message}))
    }

    async fn change(&self, changes: Map<String, Value>) -> Result<Result<Changed, NotChanged>, Refusal> {
        let node = self.node.clone();
        let changed = tokio::task::spawn_blocking(move || node.change(changes)).await;
        let broken = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the configuration was not changed");
        changed.map_err(broken)
    }

    async fn switch(
        &self,
        wanted: Service,
        message: &str,
        payload: Payload,
    ) -> Result<Response<Body>, Refusal> {
        // Whatever it says, the connection can go on behind it.
        whole(payload).await?;
        self.node.set_service(wanted);
        tracing::info!("{message}");
        json(&json!({"status": "success", "message": message}))
    }
}

async fn whole(payload: Payload) -> Result<Bytes, Refusal> {
    payload.inflow(BODY_PATIENCE).whole(MAX_BODY).await
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the body is not a JSON object: {error}")))
}

fn options(route: &Route) -> Response<Body> {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
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
    let mut response = answer::empty(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}
