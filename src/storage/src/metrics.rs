//! What a storage counts, beside what every server counts.

use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tnv_common::metrics::Metrics;

use crate::catalog::Backlog;

/// A storage's metrics, one set for the process.
#[derive(Debug, Default)]
pub(crate) struct StorageMetrics {
    pub(crate) disk_waits: Counter,
    pub(crate) damaged: Counter,
    pub(crate) copies: Counter,
    pub(crate) copied_bytes: Counter,
    pub(crate) failed_copies: Counter,
    pub(crate) wrong_copies: Counter,
    pub(crate) short_acks: Counter,
    pub(crate) scrubbed_files: Counter,
    pub(crate) scrubbed_bytes: Counter,
    pub(crate) scrub_findings: Counter,
    backlog_files: Gauge,
    backlog_bytes: Gauge,
    backlog_oldest: Gauge,
}

impl StorageMetrics {
    /// Those of this process; registered at the first call.
    pub(crate) fn global() -> &'static StorageMetrics {
        static METRICS: LazyLock<StorageMetrics> = LazyLock::new(StorageMetrics::register);
        &METRICS
    }

    /// Takes in what is still to be fetched.
    pub(crate) fn note_backlog(&self, backlog: &Backlog) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.backlog_files.set(gauge(backlog.files));
        self.backlog_bytes.set(gauge(backlog.bytes));
        self.backlog_oldest.set(backlog.oldest_ms / 1000);
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
            "tnv_storage_scrubbed_files",
            "Files that were read again and found to be what was stored",
            metrics.scrubbed_files.clone(),
        );
        all.register("tnv_storage_scrubbed_bytes", "Their bytes", metrics.scrubbed_bytes.clone());
        all.register(
            "tnv_storage_scrub_findings",
            "Files that were found damaged or missing when they were read again",
            metrics.scrub_findings.clone(),
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
        all.register(
            "tnv_storage_wrong_copies",
            "Files that came with a wrong checksum from other storages of the group",
            metrics.wrong_copies.clone(),
        );
        all.register(
            "tnv_storage_short_acks",
            "Uploads that were answered with fewer copies than ack_copies",
            metrics.short_acks.clone(),
        );
        all.register(
            "tnv_storage_backlog_files",
            "Files that are still to be fetched from other storages of the group",
            metrics.backlog_files.clone(),
        );
        all.register("tnv_storage_backlog_bytes", "Their bytes", metrics.backlog_bytes.clone());
        all.register(
            "tnv_storage_backlog_oldest_seconds",
            "Since when the oldest of them is waited for, in unix seconds; 0 = there is none",
            metrics.backlog_oldest.clone(),
        );
        metrics
    }
}
