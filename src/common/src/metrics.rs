//! What this process has done so far, in the text format that Prometheus reads (OpenMetrics).

use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use tnv_proto::{Command, ErrorCode, Server};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The bounds of latency histograms, in seconds: from a cached answer to a film that is watched.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0];

/// Makes the histograms of a family of latencies.
#[derive(Debug, Clone, Copy)]
pub struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    server: &'static str,
    command: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    server: &'static str,
    command: &'static str,
    result: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Succeeded,
    Refused(ErrorCode),
    /// The connection broke before the reply was sent.
    Broken,
}

/// A request that is over.
pub(crate) struct Exchange {
    pub(crate) server: Server,
    /// `None` for one that does not exist.
    pub(crate) command: Option<Command>,
    pub(crate) ending: Ending,
    pub(crate) took: Duration,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// What every request of one command counts, looked up once.
#[derive(Debug)]
struct CommandMetrics {
    succeeded: Counter,
    seconds: Histogram,
    bytes_in: Counter,
    bytes_out: Counter,
}

/// The metrics of one process, shared by all servers that run in it.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<ResultLabels, Counter>,
    seconds: Family<CommandLabels, Histogram, Seconds>,
    bytes_in: Family<ServerLabels, Counter>,
    bytes_out: Family<ServerLabels, Counter>,
    connections: Family<ServerLabels, Gauge>,
    /// By the command's number.
    by_command: [OnceLock<CommandMetrics>; 256],
    total_bytes: Family<ServerLabels, Gauge>,
    free_bytes: Family<ServerLabels, Gauge>,
}

impl Metrics {
    /// Those of this process; made at the first call.
    pub fn global() -> &'static Metrics {
        static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
        &METRICS
    }

    fn new() -> Metrics {
        let metrics = Metrics {
            registry: Mutex::new(Registry::default()),
            requests: Family::default(),
            seconds: Family::new_with_constructor(Seconds),
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            connections: Family::default(),
            by_command: [const { OnceLock::new() }; 256],
            total_bytes: Family::default(),
            free_bytes: Family::default(),
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        metrics.register("tnv_build", "What runs here", version);
        metrics.register("tnv_requests", "Requests by command and result", metrics.requests.clone());
        metrics.register(
            "tnv_request_seconds",
            "From a request's header to the end of its reply",
            metrics.seconds.clone(),
        );
        metrics.register("tnv_bytes_in", "Bytes of requests' bodies", metrics.bytes_in.clone());
        metrics.register("tnv_bytes_out", "Bytes of replies", metrics.bytes_out.clone());
        metrics.register("tnv_connections", "Connections open now", metrics.connections.clone());
        metrics.register("tnv_store_total_bytes", "Size of the store paths", metrics.total_bytes.clone());
        metrics.register("tnv_store_free_bytes", "Room for uploads", metrics.free_bytes.clone());
        metrics
    }

    /// Tells the size of a storage's disks and the room for uploads on them, in bytes.
    pub fn measured(&self, total: u64, free: u64) {
        let labels = ServerLabels { server: name(Server::Storage) };
        let figure = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.total_bytes.get_or_create(&labels).set(figure(total));
        self.free_bytes.get_or_create(&labels).set(figure(free));
    }

    /// Adds a metric of a server's own. Each name may be given once in a process; keep a clone to write to.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// Everything as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = encode(&mut text, &registry) {
            // A `String` takes everything; only a metric that cannot be told could fail.
            tracing::error!(%error, "cannot write the metrics");
        }
        text
    }

    pub(crate) fn exchanged(&self, exchange: &Exchange) {
        let (server, command) = (name(exchange.server), exchange.command.map_or("?", Command::name));
        let unknown;
        let metrics = match exchange.command {
            Some(known) => {
                self.by_command[usize::from(known as u8)].get_or_init(|| self.look_up(server, command))
            }
            None => {
                unknown = self.look_up(server, command);
                &unknown
            }
        };
        let failed = |result: String| {
            self.requests.get_or_create(&ResultLabels { server, command, result }).inc();
        };
        match exchange.ending {
            Ending::Succeeded => {
                metrics.succeeded.inc();
            }
            Ending::Refused(code) => failed(code.to_string()),
            Ending::Broken => failed("broken".to_owned()),
        }
        metrics.seconds.observe(exchange.took.as_secs_f64());
        metrics.bytes_in.inc_by(exchange.bytes_in);
        metrics.bytes_out.inc_by(exchange.bytes_out);
    }

    fn look_up(&self, server: &'static str, command: &'static str) -> CommandMetrics {
        let (of_server, of_command) = (ServerLabels { server }, CommandLabels { server, command });
        let succeeded = ResultLabels { server, command, result: "ok".to_owned() };
        CommandMetrics {
            succeeded: self.requests.get_or_create_owned(&succeeded),
            seconds: self.seconds.get_or_create_owned(&of_command),
            bytes_in: self.bytes_in.get_or_create_owned(&of_server),
            bytes_out: self.bytes_out.get_or_create_owned(&of_server),
        }
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connected(&self, server: Server) -> Connected {
        let gauge = self.connections.get_or_create(&ServerLabels { server: name(server) }).clone();
        gauge.inc();
        Connected(gauge)
    }
}

/// A connection that is open.
pub(crate) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn name(server: Server) -> &'static str {
    match server {
        Server::Tracker => "tracker",
        Server::Id => "id",
        Server::Storage => "storage",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new();
        let exchange = Exchange {
            server: Server::Storage,
            command: Some(Command::Read),
            ending: Ending::Refused(ErrorCode::NOT_FOUND),
            took: Duration::from_millis(30),
            bytes_in: 448,
            bytes_out: 25,
        };
        metrics.exchanged(&exchange);
        metrics.exchanged(&Exchange { ending: Ending::Succeeded, ..exchange });
        metrics.measured(1000, u64::MAX);
        let one = metrics.connected(Server::Storage);
        let other = metrics.connected(Server::Storage);
        drop(one);
        let text = metrics.render();
        for line in [
            "tnv_requests_total{server=\"storage\",command=\"Read\",result=\"404\"} 1",
            "tnv_requests_total{server=\"storage\",command=\"Read\",result=\"ok\"} 1",
            "tnv_request_seconds_bucket{le=\"0.025\",server=\"storage\",command=\"Read\"} 0",
            "tnv_request_seconds_bucket{le=\"0.1\",server=\"storage\",command=\"Read\"} 2",
            "tnv_bytes_in_total{server=\"storage\"} 896",
            "tnv_bytes_out_total{server=\"storage\"} 50",
            "tnv_connections{server=\"storage\"} 1",
            "tnv_store_total_bytes{server=\"storage\"} 1000",
            "tnv_store_free_bytes{server=\"storage\"} 9223372036854775807",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        drop(other);
        assert!(metrics.render().contains("tnv_connections{server=\"storage\"} 0\n"));
    }
}
