//! What can go wrong with a file as a whole.

use std::io;
use std::path::PathBuf;

use tnv_metalink::Hash;

use crate::failure::{Failure, FailureKind};

/// Why a place cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Something has that name, and it is not to be replaced.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// Another process is at it.
    #[error("another process is fetching {}", .0.display())]
    Busy(PathBuf),
    /// There is a file under the name that would be used until the end, and nothing is known of it.
    #[error("{} is there, and nothing tells what it is of: remove it, or choose another name", .0.display())]
    Foreign(PathBuf),
    /// The file system refuses.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What happened.
        source: io::Error,
    },
}

/// Why there is no such file now.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There was nobody to ask.
    #[error("there is no server to ask")]
    NoServers,
    /// Nobody could give all of it.
    #[error("no server could give the file{}", listed(.0))]
    AllServersFailed(Vec<SourceFailure>),
    /// What came does not have the hash that it must have.
    #[error("the bytes are damaged: {what}{}", listed(.sources))]
    ChecksumMismatch {
        /// Which hash.
        what: String,
        /// Who gave damaged bytes, and what is wrong with the others.
        sources: Vec<SourceFailure>,
    },
    /// It is not, or no longer, the file that was to be fetched.
    #[error("the file has changed: {what}{}", listed(.sources))]
    Changed {
        /// How.
        what: String,
        /// What each server has.
        sources: Vec<SourceFailure>,
    },
    /// Something has the name that a server has told.
    #[error("{} exists already, and a name that a server tells replaces nothing: name it with -o", .0.display())]
    Exists(PathBuf),
    /// The disk has no room for it.
    #[error("there is no room for {} on the disk: {source}", .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It took longer than it may.
    #[error("it was not done within {0} seconds")]
    Timeout(f64),
    /// The caller has ended it.
    #[error("stopped before it was done")]
    Cancelled,
    /// Something else on this side.
    #[error("cannot {what} {}: {source}", .path.display())]
    Local {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// What went wrong with one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFailure {
    /// Its name.
    pub source: String,
    /// The last thing that went wrong.
    pub failure: Failure,
}

impl FetchError {
    /// The name of the kind, as programs read it.
    pub fn status(&self) -> &'static str {
        match self {
            FetchError::NoServers => "no_servers",
            FetchError::AllServersFailed(_) => "all_servers_failed",
            FetchError::ChecksumMismatch { .. } => "checksum_mismatch",
            FetchError::Changed { .. } => "changed",
            FetchError::DiskFull { .. } => "disk_full",
            FetchError::Timeout(_) => "timeout",
            FetchError::Cancelled => "cancelled",
            FetchError::Local { .. } | FetchError::Exists(_) => "local",
        }
    }

    /// What went wrong with each source.
    pub fn sources(&self) -> &[SourceFailure] {
        match self {
            FetchError::AllServersFailed(sources)
            | FetchError::ChecksumMismatch { sources, .. }
            | FetchError::Changed { sources, .. } => sources,
            _ => &[],
        }
    }

    /// Whether every source has failed in this way.
    pub fn is_everywhere(&self, kind: FailureKind) -> bool {
        let sources = self.sources();
        !sources.is_empty() && sources.iter().all(|source| source.failure.kind == kind)
    }

    /// Whether what has come is of no use to a later try.
    pub(crate) fn spoils(&self) -> bool {
        matches!(self, FetchError::ChecksumMismatch { .. } | FetchError::Changed { .. })
    }

    pub(crate) fn disk(what: &'static str, path: PathBuf, source: io::Error) -> FetchError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                FetchError::DiskFull { path, source }
            }
            _ => FetchError::Local { what, path, source },
        }
    }
}

/// The name of a hash and its value.
pub(crate) fn describe(hashes: &[Hash]) -> String {
    let hashes: Vec<String> = hashes.iter().map(Hash::to_string).collect();
    format!("it should have been {}", hashes.join(", "))
}

fn listed(sources: &[SourceFailure]) -> String {
    sources.iter().map(|one| format!("; {}", one.failure.told_of(&one.source))).collect()
}
