//! What a caller is told while a file is fetched.

use std::fmt;
use std::time::Duration;

use crate::failure::Failure;

/// Listens. It is called on the fetching task and must not block.
pub trait Watcher: Send {
    /// How far it has come: several times a second, and when something has changed.
    fn report(&mut self, report: &Report);

    /// Something a person may want to know of.
    fn note(&mut self, note: &Note);
}

/// Nobody listens.
impl Watcher for () {
    fn report(&mut self, _: &Report) {}

    fn note(&mut self, _: &Note) {}
}

/// How far it has come.
#[derive(Debug, Clone)]
pub struct Report {
    /// The length of the file, once it is known.
    pub total: Option<u64>,
    /// Bytes that have come, and what an earlier process had. It may go back: bad bytes come again.
    pub come: u64,
    /// Bytes a second, of late.
    pub rate: f64,
    /// How long the rest takes at that speed.
    pub left: Option<Duration>,
    /// What is being done.
    pub phase: Phase,
    /// Each source, in the order they were given or found.
    pub sources: Vec<SourceReport>,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Bytes come.
    Fetching,
    /// The hashes of the whole are compared.
    Verifying,
    /// It is synced and gets its name.
    Publishing,
}

/// What a source is doing.
#[derive(Debug, Clone)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: SourceState,
    /// Bytes that were taken from it.
    pub bytes: u64,
    /// Bytes a second while it is at work.
    pub rate: f64,
    /// The last thing that went wrong.
    pub failure: Option<Failure>,
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// It has not been asked, or need not be now.
    Waiting,
    /// It is asked, or gives.
    Active,
    /// It failed and is left alone for a while.
    Pausing,
    /// It has another version.
    Aside,
    /// It is not asked again.
    Dropped,
}

impl SourceState {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            SourceState::Waiting => "waiting",
            SourceState::Active => "active",
            SourceState::Pausing => "pausing",
            SourceState::Aside => "aside",
            SourceState::Dropped => "dropped",
        }
    }
}

/// Something a person may want to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// So many bytes were there already.
    Resumed(u64),
    /// It begins anew, for a reason that is a sentence: what was there may be of another file or version.
    NotResumed(String),
    /// A source failed.
    Failed {
        /// Its name.
        source: String,
        /// How.
        failure: Failure,
        /// What becomes of it.
        state: SourceState,
    },
    /// A piece did not have its hash and comes again.
    BadPiece {
        /// The piece, from 0.
        index: u64,
        /// Who gave it, where it was one source.
        source: Option<String>,
    },
    /// The whole did not have its hash and comes again.
    BadWhole,
    /// The file has changed and comes anew.
    Anew,
    /// It is called so there, and will be here.
    Named(String),
    /// So many more sources were found.
    Found(usize),
    /// What was told of the file is of no use.
    Useless(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Resumed(bytes) => write!(f, "{bytes} bytes are there already"),
            Note::NotResumed(why) => write!(f, "{why}; starting anew"),
            Note::Failed { source, failure, state } => {
                let what_next = match state {
                    SourceState::Aside => "; it is set aside",
                    SourceState::Dropped => "; it is not asked again",
                    _ => "",
                };
                write!(f, "{}{what_next}", failure.told_of(source))
            }
            Note::BadPiece { index, source: Some(source) } => {
                write!(f, "{source}: piece {index} is damaged; it comes again from elsewhere")
            }
            Note::BadPiece { index, source: None } => {
                write!(f, "piece {index} is damaged; it comes again, from one source")
            }
            Note::BadWhole => {
                f.write_str("the bytes are damaged; they come again, from one source after the other")
            }
            Note::Anew => f.write_str("the file has changed; starting anew"),
            Note::Named(name) => write!(f, "it is called {name} there"),
            Note::Found(count) => write!(f, "{count} more sources were found"),
            Note::Useless(why) => f.write_str(why),
        }
    }
}
