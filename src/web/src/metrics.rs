//! What is counted of a site, beside what every server counts.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tnv_common::metrics::{Metrics, Seconds};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

/// The metrics of one kind of site, one set for the process.
#[derive(Debug)]
pub(crate) struct SiteMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, Seconds>,
    pub(crate) bytes_in: Counter,
    bytes_out: Counter,
    connections: Gauge,
    uploads: Gauge,
}

impl SiteMetrics {
    /// Those of the sites of this name; registered at the first call. There are few names, and they stay.
    pub(crate) fn of(name: &'static str) -> &'static SiteMetrics {
        static ALL: LazyLock<Mutex<HashMap<&'static str, &'static SiteMetrics>>> =
            LazyLock::new(Mutex::default);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name).or_insert_with(|| Box::leak(Box::new(SiteMetrics::register(name))))
    }

    fn register(name: &str) -> SiteMetrics {
        let metrics = SiteMetrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(Seconds),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            connections: Gauge::default(),
            uploads: Gauge::default(),
        };
        let (all, name) = (Metrics::global(), |what| format!("tnv_{name}_{what}"));
        let requests = metrics.requests.clone();
        all.register(&name("requests"), "Answers by route, method and status", requests);
        let help = "From a request's header to the end of its answer";
        all.register(&name("request_seconds"), help, metrics.seconds.clone());
        all.register(&name("bytes_in"), "Bytes of requests' bodies", metrics.bytes_in.clone());
        all.register(&name("bytes_out"), "Bytes of answers' bodies", metrics.bytes_out.clone());
        all.register(&name("connections"), "Connections open now", metrics.connections.clone());
        all.register(&name("uploads"), "Bodies of uploads on their way now", metrics.uploads.clone());
        metrics
    }

    /// An answer is over. `status` is `None` if none was decided on before the client went away.
    pub(crate) fn answered(
        &self,
        route: &'static str,
        method: &Method,
        status: Option<StatusCode>,
        took: Duration,
        bytes: u64,
    ) {
        let status = status.map_or(0, |status| status.as_u16());
        self.requests.get_or_create(&RequestLabels { route, method: known(method), status }).inc();
        self.seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
        self.bytes_out.inc_by(bytes);
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connected(&self) -> Counted {
        Counted::new(&self.connections)
    }

    /// Counts an upload until the guard is dropped.
    pub(crate) fn uploading(&self) -> Counted {
        Counted::new(&self.uploads)
    }
}

/// Methods are texts of the client's; only known ones become labels.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Something that is counted while it lasts.
pub struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
