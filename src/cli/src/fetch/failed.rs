//! Failures as this command tells them: with a kind for the exit code and a status for the events.

use std::path::PathBuf;

use tnv_fetch::{FailureKind, FetchError, SourceFailure};

use crate::error::{Error, Kind};

/// A failure with the status that the events give it.
pub(super) struct Failed {
    pub(super) status: &'static str,
    pub(super) error: Error,
    pub(super) sources: Vec<SourceFailure>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        let status = match error.kind {
            Kind::NoServers => "no_servers",
            Kind::Unreachable | Kind::NotFound | Kind::Refused => "all_servers_failed",
            Kind::Damaged => "checksum_mismatch",
            _ => "local",
        };
        Failed { status, error, sources: Vec::new() }
    }
}

/// What the command makes of a failure; `part` is where what has come may be kept.
pub(super) fn failed(error: FetchError, part: Option<PathBuf>) -> Failed {
    let refusals = [FailureKind::Refused, FailureKind::Failing, FailureKind::Untrusted];
    let is_refused = error.sources().iter().all(|one| refusals.contains(&one.failure.kind));
    let kind = match &error {
        FetchError::NoServers => Kind::NoServers,
        FetchError::AllServersFailed(_) if error.is_everywhere(FailureKind::NotFound) => Kind::NotFound,
        FetchError::AllServersFailed(_) if error.is_everywhere(FailureKind::Invalid) => Kind::Damaged,
        FetchError::AllServersFailed(sources) if !sources.is_empty() && is_refused => Kind::Refused,
        FetchError::AllServersFailed(_) => Kind::Unreachable,
        FetchError::ChecksumMismatch { .. } => Kind::Damaged,
        FetchError::Changed { .. } => Kind::Changed,
        FetchError::DiskFull { .. } => Kind::DiskFull,
        FetchError::Timeout(_) => Kind::Timeout,
        FetchError::Cancelled | FetchError::Exists(_) | FetchError::Local { .. } => Kind::Local,
    };
    let stays = part.filter(|part| part.exists());
    let stays = stays.map(|part| format!("; {} stays, the same command goes on with it", part.display()));
    let text = format!("{error}{}", stays.unwrap_or_default());
    Failed { status: error.status(), error: Error::new(kind, text), sources: error.sources().to_vec() }
}
