//! What a storage counts, beside what every server counts.

use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use tnv_common::metrics::Metrics;

/// A storage's metrics, one set for the process.
#[derive(Debug, Default)]
pub(crate) struct StorageMetrics {
    pub(crate) disk_waits: Counter,
    pub(crate) damaged: Counter,
    pub(crate) copies: Counter,
    pub(crate) copied_bytes: Counter,
    pub(crate) failed_copies: Counter,
}

impl StorageMetrics {
    /// Those of this process; registered at the first call.
    pub(crate) fn global() -> &'static StorageMetrics {
        static METRICS: LazyLock<StorageMetrics> = LazyLock::new(StorageMetrics::register);
        &METRICS
    }

    fn register() -> StorageMetrics {
        let (metrics, all) = (StorageMetrics::default(), Metrics::global());
        all.register(
            "tnv_storage_disk_waits",
            "Reads for downloads that were not in memory",
            metrics.disk_waits.clone(),
        );
        all.register(
            "tnv_storage_damaged",
            "Files that were found damaged or missing when they were to be sent",
            metrics.damaged.clone(),
        );
        all.register(
            "tnv_storage_copies",
            "Files fetched from other storages of the group",
            metrics.copies.clone(),
        );
        all.register(
            "tnv_storage_copied_bytes",
            "Bytes of files fetched from other storages of the group",
            metrics.copied_bytes.clone(),
        );
        all.register(
            "tnv_storage_failed_copies",
            "Attempts to fetch a file from other storages of the group that failed",
            metrics.failed_copies.clone(),
        );
        metrics
    }
}
