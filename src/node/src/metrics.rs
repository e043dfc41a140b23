//! What nodes count, beside what every server counts.

use std::sync::LazyLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tnv_common::metrics::Metrics;

use crate::hub::HubError;
use crate::pull::PullError;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    node: String,
}

/// The metrics of all nodes of this process.
#[derive(Debug)]
pub(crate) struct NodeMetrics {
    pulls: Family<ResultLabels, Counter>,
    packages: Family<NodeLabels, Gauge>,
    package_bytes: Family<NodeLabels, Gauge>,
    /// Answers with bytes of packages on their way.
    pub(crate) downloads: Gauge,
    /// Times that the disk had to be waited for before something could be sent.
    pub(crate) disk_waits: Counter,
    /// Bytes of members that came from hubs.
    pub(crate) bytes_fetched: Counter,
}

impl NodeMetrics {
    /// Those of this process; registered at the first call.
    pub(crate) fn global() -> &'static NodeMetrics {
        static METRICS: LazyLock<NodeMetrics> = LazyLock::new(NodeMetrics::register);
        &METRICS
    }

    fn register() -> NodeMetrics {
        let metrics = NodeMetrics {
            pulls: Family::default(),
            packages: Family::default(),
            package_bytes: Family::default(),
            downloads: Gauge::default(),
            disk_waits: Counter::default(),
            bytes_fetched: Counter::default(),
        };
        let all = Metrics::global();
        all.register(
            "tnv_node_pulls",
            "Packages asked of the hub, by what came of it",
            metrics.pulls.clone(),
        );
        all.register("tnv_node_packages", "Packages held", metrics.packages.clone());
        all.register("tnv_node_package_bytes", "Bytes of packages held", metrics.package_bytes.clone());
        all.register("tnv_node_downloads", "Downloads of packages that run", metrics.downloads.clone());
        let help = "Times that bytes to be sent had to be waited for at the disk";
        all.register("tnv_node_disk_waits", help, metrics.disk_waits.clone());
        all.register("tnv_node_bytes_fetched", "Bytes fetched from the hub", metrics.bytes_fetched.clone());
        metrics
    }

    /// A pull is over.
    pub(crate) fn pulled<T>(&self, outcome: &Result<T, std::sync::Arc<PullError>>) {
        let result = outcome.as_ref().map_or_else(|error| name(error), |_| "ok");
        self.pulls.get_or_create(&ResultLabels { result }).inc();
    }

    /// What a node holds now.
    pub(crate) fn holds(&self, node: &str, packages: usize, bytes: u64) {
        let labels = NodeLabels { node: node.to_owned() };
        let figure = |value| i64::try_from(value).unwrap_or(i64::MAX);
        self.packages.get_or_create(&labels).set(figure(packages as u64));
        self.package_bytes.get_or_create(&labels).set(figure(bytes));
    }
}

/// What a failure is called.
fn name(error: &PullError) -> &'static str {
    match error {
        PullError::Hub(HubError::Away(_) | HubError::Busy { .. }) => "away",
        PullError::Hub(HubError::Refused { .. }) => "refused",
        PullError::Hub(HubError::Unknown(_)) => "unknown",
        PullError::Hub(HubError::Changed) => "changed",
        PullError::Hub(HubError::Odd { .. } | HubError::Nonsense(_)) | PullError::Wrong { .. } => "wrong",
        PullError::Damaged(_) => "damaged",
        PullError::Cancelled => "cancelled",
        error if error.is_full() => "full",
        PullError::Full { .. } | PullError::Io(_) | PullError::Broken(_) => "failed",
    }
}
