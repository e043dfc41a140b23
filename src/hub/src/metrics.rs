//! Counts.
use prometheus_client::metrics::counter::Counter;

pub(crate) struct HttpMetrics {
    pub(crate) bytes_in: Counter,
}

impl HttpMetrics {
    pub(crate) fn global() -> &'static HttpMetrics {
        static METRICS: std::sync::LazyLock<HttpMetrics> =
            std::sync::LazyLock::new(|| HttpMetrics { bytes_in: Counter::default() });
        &METRICS
    }
}
