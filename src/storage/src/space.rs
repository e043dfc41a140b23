//! Watching the store paths: how much room there is, and whether their file systems answer at all.

use std::sync::Arc;
use std::time::Duration;

use tnv_common::metrics::Metrics;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::volume::{StorePath, Volume};

/// How often each store path is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// A file system that takes longer to say how full it is would hold up requests, and the threads that serve them. Longer
/// than it takes GlusterFS to give up a server that vanished, as it is to be configured.
const PATIENCE: Duration = Duration::from_secs(15);

/// Keeps the figures of free space fresh, and paths that fail apart.
pub(crate) async fn measure(volume: Arc<Volume>, shutdown: CancellationToken) {
    // Each path by itself: one that hangs does not hold up the others.
    let mut watches = JoinSet::new();
    for path in volume.paths() {
        watches.spawn(watch(path.clone(), volume.clone()));
    }
    shutdown.cancelled().await;
}

async fn watch(path: Arc<StorePath>, volume: Arc<Volume>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let measured = path.clone();
        let mut measuring = spawn_blocking(move || measured.refresh());
        if timeout(PATIENCE, &mut measuring).await.is_err() {
            path.note_silence();
            let _ = measuring.await;
        }
        path.note_answer();
        let (total, free) = volume.space();
        Metrics::global().measured(total, free);
    }
}
