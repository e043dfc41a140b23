//! From a request's path to what it names. Pure.

use hyper::Method;
use tnv_package::MeetingId;
use tnv_web::path::segments;

use crate::registry::NodeId;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`: the page.
    Index,
    /// `/docs`: the page to read the interface's description.
    Docs,
    /// `/assets/<name>`: what the pages are made of.
    Asset(String),
    /// `/openapi.json`: the interface's description.
    OpenApi,
    /// `/health` and `/metrics`.
    Health,
    Metrics,
    /// `/api/v1/meetings`.
    Meetings,
    /// `/api/v1/meetings/active`: those that run.
    Active,
    /// `/api/v1/meetings/<id>`.
    Meeting(MeetingId),
    /// `.../start` and `.../end`.
    Start(MeetingId),
    End(MeetingId),
    /// `.../data`: a meeting for clients.
    Data(MeetingId),
    /// `.../download-package`: its package for clients, mostly from a node.
    Package(MeetingId),
    /// `.../download-package-direct`: its package for nodes.
    NodePackage(MeetingId),
    /// `.../package.meta4`: where it is to be had, and what its bytes are.
    Metalink(MeetingId),
    /// `.../files`: where new files go.
    Files(MeetingId),
    /// `.../files/<id or path>`: one of them.
    File(MeetingId, String),
    /// `/api/v1/sync/meetings/<id>`: the manifest for nodes.
    Sync(MeetingId),
    /// `/uploads/<meeting>/<file id>/<path>`: one version of a file.
    Upload(MeetingId, String, String),
    /// `/api/v1/nodes/list`, `register`, `<id>/heartbeat` and `<id>/unregister`.
    Nodes,
    Register,
    Heartbeat(NodeId),
    Unregister(NodeId),
    /// `/api/v1/admin/session`: whether somebody is an operator.
    Session,
    /// `/api/v1/admin/nodes`, and one of them.
    AdminNodes,
    AdminNode(NodeId),
    /// `/api/v1/admin/downloads`: those under way.
    AdminDownloads,
    /// `/api/v1/admin/audit`: the last lines of the audit.
    AdminAudit,
    /// Nothing (404).
    Unknown,
}

/// Who may ask for a route, beside reading pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody.
    All,
    /// Nodes, with the API key.
    Nodes,
    /// Operators, with the password.
    Operators,
}

impl Route {
    /// The methods that exist there, as for Allow.
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Route::Meetings => "GET, HEAD, POST, OPTIONS",
            Route::Meeting(_) => "GET, HEAD, PUT, DELETE, OPTIONS",
            Route::File(..) => "GET, HEAD, PUT, DELETE, OPTIONS",
            Route::Start(_)
            | Route::End(_)
            | Route::Files(_)
            | Route::Register
            | Route::Heartbeat(_)
            | Route::Unregister(_) => "POST, OPTIONS",
            Route::Session => "GET, HEAD, POST, DELETE, OPTIONS",
            Route::AdminNode(_) => "PUT, DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether a method exists there.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|allowed| allowed == method.as_str())
    }

    /// What it is called in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Route::Index | Route::Docs | Route::Asset(_) | Route::OpenApi => "page",
            Route::Health => "health",
            Route::Metrics => "metrics",
            Route::Meetings | Route::Meeting(_) | Route::Start(_) | Route::End(_) => "meetings",
            Route::Active => "active",
            Route::Data(_) => "data",
            Route::Package(_) => "package",
            Route::NodePackage(_) => "node-package",
            Route::Metalink(_) => "metalink",
            Route::Files(_) | Route::File(..) => "files",
            Route::Sync(_) => "sync",
            Route::Upload(..) => "uploads",
            Route::Nodes => "nodes",
            Route::Register => "register",
            Route::Heartbeat(_) => "heartbeat",
            Route::Unregister(_) => "unregister",
            Route::Session
            | Route::AdminNodes
            | Route::AdminNode(_)
            | Route::AdminDownloads
            | Route::AdminAudit => "admin",
            Route::Unknown => "unknown",
        }
    }

    /// Who may ask for it.
    pub(crate) fn audience(&self) -> Audience {
        match self {
            Route::Meetings
            | Route::Meeting(_)
            | Route::Start(_)
            | Route::End(_)
            | Route::Files(_)
            | Route::File(..)
            | Route::AdminNodes
            | Route::AdminNode(_)
            | Route::AdminDownloads
            | Route::AdminAudit => Audience::Operators,
            Route::Sync(_) | Route::Register | Route::Heartbeat(_) | Route::Unregister(_) => Audience::Nodes,
            _ => Audience::All,
        }
    }
}

/// Reads a raw path.
///
/// # Errors
/// A sentence for the client (400): a bad escape, bytes that are not UTF-8, or an id that cannot be one.
pub(crate) fn route(path: &str) -> Result<Route, String> {
    let segments = segments(path)?;
    let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    match segments[..] {
        [""] => Ok(Route::Index),
        ["docs"] => Ok(Route::Docs),
        ["openapi.json"] => Ok(Route::OpenApi),
        ["health"] => Ok(Route::Health),
        ["metrics"] => Ok(Route::Metrics),
        ["assets", ref name @ ..] if !name.is_empty() => Ok(Route::Asset(name.join("/"))),
        ["uploads", id, file, ref path @ ..] if !path.is_empty() => {
            Ok(Route::Upload(meeting(id)?, file.to_owned(), path.join("/")))
        }
        ["api", "v1", "meetings", ref rest @ ..] => meetings(rest),
        ["api", "v1", "nodes", ref rest @ ..] => nodes(rest),
        ["api", "v1", "sync", "meetings", id] => meeting(id).map(Route::Sync),
        ["api", "v1", "admin", "session"] => Ok(Route::Session),
        ["api", "v1", "admin", "nodes"] => Ok(Route::AdminNodes),
        ["api", "v1", "admin", "nodes", id] => node(id).map(Route::AdminNode),
        ["api", "v1", "admin", "downloads"] => Ok(Route::AdminDownloads),
        ["api", "v1", "admin", "audit"] => Ok(Route::AdminAudit),
        _ => Ok(Route::Unknown),
    }
}

fn meetings(segments: &[&str]) -> Result<Route, String> {
    match *segments {
        [] => Ok(Route::Meetings),
        ["active"] => Ok(Route::Active),
        [id] => meeting(id).map(Route::Meeting),
        [id, "start"] => meeting(id).map(Route::Start),
        [id, "end"] => meeting(id).map(Route::End),
        [id, "data"] => meeting(id).map(Route::Data),
        [id, "download-package"] => meeting(id).map(Route::Package),
        [id, "download-package-direct"] => meeting(id).map(Route::NodePackage),
        [id, "package.meta4"] => meeting(id).map(Route::Metalink),
        [id, "files"] => meeting(id).map(Route::Files),
        [id, "files", ref path @ ..] => Ok(Route::File(meeting(id)?, path.join("/"))),
        _ => Ok(Route::Unknown),
    }
}

fn nodes(segments: &[&str]) -> Result<Route, String> {
    match *segments {
        ["list"] => Ok(Route::Nodes),
        ["register"] => Ok(Route::Register),
        [id, "heartbeat"] => node(id).map(Route::Heartbeat),
        [id, "unregister"] => node(id).map(Route::Unregister),
        _ => Ok(Route::Unknown),
    }
}

fn meeting(id: &str) -> Result<MeetingId, String> {
    MeetingId::new(id).map_err(|error| format!("bad path: {error}"))
}

fn node(id: &str) -> Result<NodeId, String> {
    NodeId::new(id).map_err(|error| format!("bad path: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> MeetingId {
        MeetingId::new(text).unwrap()
    }

    #[test]
    fn paths_name_what_they_should() {
        let node = NodeId::new("节点/1").unwrap();
        for (path, named) in [
            ("/", Route::Index),
            ("/docs", Route::Docs),
            ("/openapi.json", Route::OpenApi),
            ("/assets/a/b.js", Route::Asset("a/b.js".to_owned())),
            ("/api/v1/meetings", Route::Meetings),
            ("//api/v1/meetings", Route::Meetings),
            ("/api/v1/meetings/active", Route::Active),
            ("/api/v1/meetings/m1", Route::Meeting(id("m1"))),
            ("/api/v1/meetings/m%31", Route::Meeting(id("m1"))),
            ("/api/v1/meetings/active/start", Route::Start(id("active"))),
            ("/api/v1/meetings/m1/end", Route::End(id("m1"))),
            ("/api/v1/meetings/m1/data", Route::Data(id("m1"))),
            ("/api/v1/meetings/m1/download-package", Route::Package(id("m1"))),
            ("/api/v1/meetings/m1/download-package-direct", Route::NodePackage(id("m1"))),
            ("/api/v1/meetings/m1/package.meta4", Route::Metalink(id("m1"))),
            ("/api/v1/meetings/m1/files", Route::Files(id("m1"))),
            ("/api/v1/meetings/m1/files/a%2Fb.txt", Route::File(id("m1"), "a/b.txt".to_owned())),
            ("/api/v1/meetings/m1/files/a/%E4%BC%9A.txt", Route::File(id("m1"), "a/会.txt".to_owned())),
            ("/api/v1/sync/meetings/m1", Route::Sync(id("m1"))),
            ("/uploads/m1/f/a/b", Route::Upload(id("m1"), "f".to_owned(), "a/b".to_owned())),
            ("/api/v1/nodes/list", Route::Nodes),
            ("/api/v1/nodes/register", Route::Register),
            ("/api/v1/nodes/%E8%8A%82%E7%82%B9%2F1/heartbeat", Route::Heartbeat(node.clone())),
            ("/api/v1/nodes/%E8%8A%82%E7%82%B9%2F1/unregister", Route::Unregister(node.clone())),
            ("/api/v1/admin/nodes/%E8%8A%82%E7%82%B9%2F1", Route::AdminNode(node)),
            ("/api/v1/meetings/", Route::Unknown),
            ("/api/v1/nodes", Route::Unknown),
            ("/api/v2/meetings", Route::Unknown),
            ("/uploads/m1/f", Route::Unknown),
            ("/assets", Route::Unknown),
        ] {
            let routed = route(path);
            if path.ends_with("meetings/") {
                assert!(routed.is_err(), "an id is not empty");
            } else {
                assert_eq!(routed, Ok(named), "{path}");
            }
        }
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        for path in [
            "/api/v1/meetings/..",
            "/api/v1/meetings/%2e%2e/data",
            "/api/v1/meetings/..%2f..%2fetc/data",
            "/api/v1/meetings/a%00b",
            "/api/v1/meetings/%E4%BC%9A",
            "/api/v1/meetings/%ff",
            "/api/v1/meetings/%",
            "/api/v1/meetings/%4",
            "/api/v1/nodes/%0a/heartbeat",
            "/api/v1/nodes//heartbeat",
            "/uploads/../f/a",
        ] {
            assert!(route(path).is_err(), "{path}");
        }
    }

    #[test]
    fn every_route_has_the_methods_that_it_allows() {
        let route = Route::Meeting(id("m1"));
        assert!(route.allows(&Method::PUT) && route.allows(&Method::HEAD) && !route.allows(&Method::POST));
        assert!(!Route::Register.allows(&Method::GET) && Route::Register.allows(&Method::OPTIONS));
    }

    proptest! {
        #[test]
        fn nothing_panics(path: String) {
            let _ = route(&path);
        }
    }
}
