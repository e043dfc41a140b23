//! From a request's path to what it names. Pure.

use hyper::Method;
use tnv_package::MeetingId;
use tnv_web::path::segments;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`: leads to the page.
    Root,
    /// `/static/<name>`: the page and what it is made of.
    Static(String),
    /// `/api/v1/meetings/<id>/download-package` and `/api/meetings/<id>/download`; `None` where the id cannot be one.
    Package(Option<MeetingId>),
    /// `/api/v1/node/meetings/<id>/status`.
    Meeting(Option<MeetingId>),
    /// `/api/v1/node/status`: how the node fares, for the hub.
    NodeStatus,
    /// `/api/status`: all that the page shows.
    Status,
    /// `/api/config`.
    Config,
    /// `/api/config/heartbeat`: one key of it.
    Heartbeat,
    /// `/api/service/start`.
    Start,
    /// `/api/service/stop`.
    Stop,
    /// `/api/logs`: the end of the log file.
    Logs,
    /// `/metrics`: for Prometheus.
    Metrics,
    /// `/health`.
    Health,
    /// Nothing (404).
    Unknown,
}

/// Who may ask for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everybody.
    Open,
    /// The page: with the password where there is one.
    Page,
    /// What changes something: with the password, and without one from this machine only.
    Change,
}

impl Route {
    /// Reads a raw path.
    pub(crate) fn of(path: &str) -> Route {
        let segments = segments(path).unwrap_or_default();
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        match segments[..] {
            [""] => Route::Root,
            ["static", ref name @ ..] => Route::Static(name.join("/")),
            ["api", "v1", "meetings", id, "download-package"] | ["api", "meetings", id, "download"] => {
                Route::Package(MeetingId::new(id).ok())
            }
            ["api", "v1", "node", "meetings", id, "status"] => Route::Meeting(MeetingId::new(id).ok()),
            ["api", "v1", "node", "status"] => Route::NodeStatus,
            ["api", "status"] => Route::Status,
            ["api", "config"] => Route::Config,
            ["api", "config", "heartbeat"] => Route::Heartbeat,
            ["api", "service", "start"] => Route::Start,
            ["api", "service", "stop"] => Route::Stop,
            ["api", "logs"] => Route::Logs,
            ["metrics"] => Route::Metrics,
            ["health"] => Route::Health,
            _ => Route::Unknown,
        }
    }

    /// The methods that exist there, as for Allow.
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Route::Config => "GET, HEAD, POST, OPTIONS",
            Route::Heartbeat | Route::Start | Route::Stop => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether a method exists there.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|allowed| allowed == method.as_str())
    }

    /// Who may ask for it with this method.
    pub(crate) fn door(&self, method: &Method) -> Door {
        match self {
            Route::Config if *method == Method::POST => Door::Change,
            Route::Heartbeat | Route::Start | Route::Stop => Door::Change,
            Route::Root | Route::Static(_) | Route::Config | Route::Logs => Door::Page,
            _ => Door::Open,
        }
    }

    /// Whether only pages ask for it, or programs that do as pages do.
    pub(crate) fn is_for_pages(&self) -> bool {
        matches!(
            self,
            Route::Config | Route::Heartbeat | Route::Start | Route::Stop | Route::Status | Route::Logs
        )
    }

    /// What it is called in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Route::Root | Route::Static(_) => "page",
            Route::Package(_) => "package",
            Route::Meeting(_) => "meeting",
            Route::NodeStatus | Route::Status => "status",
            Route::Config | Route::Heartbeat => "config",
            Route::Start | Route::Stop => "service",
            Route::Logs => "logs",
            Route::Metrics => "metrics",
            Route::Health => "health",
            Route::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_path_of_the_manual_leads_somewhere() {
        let meeting = || MeetingId::new("m-1").ok();
        for (path, route) in [
            ("/", Route::Root),
            ("/static/index.html", Route::Static("index.html".to_owned())),
            ("/api/v1/meetings/m-1/download-package", Route::Package(meeting())),
            ("/api/meetings/m-1/download", Route::Package(meeting())),
            ("/api/meetings/m%2D1/download", Route::Package(meeting())),
            ("/api/meetings/a%2Fb/download", Route::Package(None)),
            ("/api/meetings/../download", Route::Package(None)),
            ("/api/v1/node/meetings/m-1/status", Route::Meeting(meeting())),
            ("/api/v1/node/status", Route::NodeStatus),
            ("/api/status", Route::Status),
            ("/api/config", Route::Config),
            ("/api/config/heartbeat", Route::Heartbeat),
            ("/api/service/start", Route::Start),
            ("/api/service/stop", Route::Stop),
            ("/api/logs", Route::Logs),
            ("/metrics", Route::Metrics),
            ("/health", Route::Health),
            ("/api", Route::Unknown),
            ("/api/status/", Route::Unknown),
            ("/api/meetings/%ff/download", Route::Unknown),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn whatever_changes_something_has_a_door() {
        for path in ["/api/config", "/api/config/heartbeat", "/api/service/start", "/api/service/stop"] {
            let route = Route::of(path);
            assert!(route.allows(&Method::POST) && !route.allows(&Method::PUT), "{path}");
            assert_eq!(route.door(&Method::POST), Door::Change, "{path}");
        }
        assert_eq!(Route::Config.door(&Method::GET), Door::Page);
        assert_eq!(Route::Status.door(&Method::GET), Door::Open);
        assert!(!Route::Status.allows(&Method::POST));
    }

    proptest! {
        #[test]
        fn no_path_panics(path: String) {
            Route::of(&path);
        }
    }
}
