//! Why a source has not given what it was asked for.

use std::fmt;
use std::time::Duration;

use crate::source::Hints;

/// The kinds of failure that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection came about.
    Unreachable,
    /// The connection ended before its answer did.
    Broken,
    /// Nothing came for too long.
    Silent,
    /// Too little came, while others were there to ask.
    Slow,
    /// The server cannot now: 408, 423, 425, 429, 502, 503, 504.
    Busy,
    /// The server has failed: 500 and any other 5xx.
    Failing,
    /// It gives the file from its beginning only, and what is wanted lies too far behind.
    WholeOnly,
    /// There is no such file: 404, 410.
    NotFound,
    /// The server will not.
    Refused,
    /// Its certificate is not accepted.
    Untrusted,
    /// An answer that makes no sense: no HTTP, another range than was asked for, more bytes than announced, no length.
    Invalid,
    /// Another version of the file than the one that is fetched.
    Changed,
    /// Its bytes do not have the hash that they must have.
    Corrupt,
}

impl FailureKind {
    /// Whether the same source may do better a little later.
    pub fn may_pass(self) -> bool {
        match self {
            FailureKind::Unreachable
            | FailureKind::Broken
            | FailureKind::Silent
            | FailureKind::Slow
            | FailureKind::Busy
            | FailureKind::Failing
            | FailureKind::WholeOnly => true,
            FailureKind::NotFound
            | FailureKind::Refused
            | FailureKind::Untrusted
            | FailureKind::Invalid
            | FailureKind::Changed
            | FailureKind::Corrupt => false,
        }
    }

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Unreachable => "unreachable",
            FailureKind::Broken => "broken",
            FailureKind::Silent => "silent",
            FailureKind::Slow => "slow",
            FailureKind::Busy => "busy",
            FailureKind::Failing => "failing",
            FailureKind::WholeOnly => "whole_only",
            FailureKind::NotFound => "not_found",
            FailureKind::Refused => "refused",
            FailureKind::Untrusted => "untrusted",
            FailureKind::Invalid => "invalid",
            FailureKind::Changed => "changed",
            FailureKind::Corrupt => "corrupt",
        }
    }
}

/// Why a source has not given what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind it is.
    pub kind: FailureKind,
    /// A sentence without the source's name.
    pub text: String,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The address that failed, where it is another one than was asked first.
    pub at: Option<String>,
    /// What those who led there have said of further sources.
    pub ahead: Option<Box<Hints>>,
}

impl Failure {
    /// A failure of this kind, described in a sentence.
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Failure {
        Failure { kind, text: text.into(), retry_after: None, at: None, ahead: None }
    }

    /// The failure with the name of the source, and with the address that it has led to if that is what failed.
    pub fn told_of(&self, source: &str) -> String {
        match &self.at {
            Some(at) => format!("{source} -> {at}: {self}"),
            None => format!("{source}: {self}"),
        }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Invalid, text)
    }

    pub(crate) fn changed(text: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Changed, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
