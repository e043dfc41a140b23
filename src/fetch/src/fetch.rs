//! What a caller asks for, and what he gets.

use std::path::PathBuf;
use std::sync::Arc;

use tnv_metalink::{Hash, Pieces};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::FetchError;
use crate::options::Options;
use crate::place::Place;
use crate::report::{SourceReport, Watcher};
use crate::source::{Guide, Source};
use crate::version::Version;

/// What is known of a file before anybody is asked.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its hashes; all of them are compared.
    pub hashes: Vec<Hash>,
    /// The hashes of its pieces.
    pub pieces: Option<Pieces>,
}

/// A file to be fetched.
pub struct Fetch {
    pub(crate) options: Options,
    pub(crate) known: Known,
    pub(crate) sources: Vec<(Arc<dyn Source>, u32)>,
    pub(crate) guide: Option<Arc<dyn Guide>>,
    pub(crate) naming: Option<fn(&str) -> String>,
}

/// A file that was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// What the servers call this version.
    pub version: Version,
    /// The hashes that it was found to have as a whole.
    pub hashes: Vec<Hash>,
    /// Whether each of its pieces was found to have its hash.
    pub pieces_verified: bool,
    /// Bytes that an earlier process had.
    pub resumed: u64,
    /// What each source has given.
    pub sources: Vec<SourceReport>,
}

impl Fetch {
    /// From nowhere yet.
    pub fn new(options: Options, known: Known) -> Fetch {
        Fetch { options, known, sources: Vec::new(), guide: None, naming: None }
    }

    /// Adds a source. Those of a lower `priority` number are asked first, those of the same in random order.
    pub fn add(&mut self, source: Arc<dyn Source>, priority: u32) {
        self.sources.push((source, priority));
    }

    /// Follows what answers say of further sources and hashes.
    pub fn follow(&mut self, guide: Arc<dyn Guide>) {
        self.guide = Some(guide);
    }

    /// Calls the file what a Metalink or else an answer says, after `safe` has made a name of that without a path. Until
    /// then it is put together beside the place's own name, and without such a word it gets that. A name that is told
    /// replaces nothing.
    pub fn rename(&mut self, safe: fn(&str) -> String) {
        self.naming = Some(safe);
    }

    /// Fetches it into `place`. When this returns, the file has its name and is durable; or what has come is kept for a
    /// later try, if it may be of use to it.
    ///
    /// # Errors
    /// Why there is no such file; nothing has its name then.
    pub async fn run(
        self,
        place: Place,
        watcher: &mut dyn Watcher,
        cancel: &CancellationToken,
    ) -> Result<Fetched, FetchError> {
        if self.sources.is_empty() {
            place.discard();
            return Err(FetchError::NoServers);
        }
        let mut engine = Engine::new(self, place, watcher);
        let outcome = engine.drive(cancel).await;
        if let Err(error) = &outcome {
            engine.leave(error).await;
        }
        outcome
    }
}
