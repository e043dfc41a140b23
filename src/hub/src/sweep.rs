//! Has the bytes of files removed that nobody needs any more.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::intake::Intake;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);
/// A file that has been coming for so long never will.
const EXPECTED_FOR_MS: i64 = 2 * 24 * 3600 * 1000;

/// Sweeps until the hub stops.
pub(crate) async fn run(intake: Intake, shutdown: CancellationToken) {
    if let Err(error) = intake.sweep_spool().await {
        tracing::warn!(%error, "the folder for uploads cannot be swept");
    }
    loop {
        let swept = tokio::select! {
            () = shutdown.cancelled() => return,
            swept = intake.sweep(EXPECTED_FOR_MS) => swept,
        };
        match swept {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "the bytes of files that were gone are removed"),
            Err(error) => tracing::warn!(%error, "cannot look for files that are gone"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
