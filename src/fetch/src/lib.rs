//! One file from many servers.
//!
//! Sources are asked in random order, one at a time or several at once. One that fails hands over at the byte where it
//! stopped. Bytes of different versions are never mixed: sources must agree in size and validators, or a hash must prove
//! the result. Pieces are verified where their hashes are known, and the whole where its hash is; what is bad comes again
//! from elsewhere. What has come survives the process and is gone on with, if it is still of the same file.
//!
//! The core decides and is pure: `map` knows what has come, `roster` who may be asked, `schedule` who gives
//! what, `version` what belongs together. Around it, `connection` asks a [`Source`], `disk` writes, and `engine` lets them
//! meet.

mod fetch;

mod engine;

mod schedule;

mod map;
mod roster;
mod version;

mod backoff;
mod meter;
mod ranges;

mod cluster;
mod http;
mod pool;
mod source;

mod connection;
mod disk;
mod hasher;
mod place;
mod saved;

mod error;
mod failure;
mod options;
mod report;

pub use cluster::Replica;
pub use error::{FetchError, PlaceError, SourceFailure};
pub use failure::{Failure, FailureKind};
pub use fetch::{Fetch, Fetched, Known};
pub use http::{Http, HttpError, HttpSource};
pub use options::Options;
pub use place::Place;
pub use pool::row;
pub use report::{Note, Phase, Report, SourceReport, SourceState, Watcher};
pub use source::{Body, Guide, Hints, Opened, Source, Wanted};
pub use version::{Facts, Validators, Version};
