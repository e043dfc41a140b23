//! Where a file comes from.

use async_trait::async_trait;
use bytes::Bytes;
use tnv_metalink::Mirror;

use crate::failure::Failure;
use crate::version::{Facts, Version};

/// One place that has the file.
#[async_trait]
pub trait Source: Send + Sync {
    /// What people should see.
    fn name(&self) -> &str;

    /// What tells it from other sources, now and in later processes, without secrets.
    fn identity(&self) -> String;

    /// Begins to give bytes.
    ///
    /// # Errors
    /// Why it does not; dropping the future ends the request.
    async fn open(&self, wanted: &Wanted) -> Result<Opened, Failure>;
}

/// What is asked of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The first byte.
    pub from: u64,
    /// The byte behind the last one; `None` for all there are.
    pub until: Option<u64>,
    /// The length of the file where it is known.
    pub size: Option<u64>,
    /// The version that this source had when it was asked before.
    pub version: Option<Version>,
    /// How many bytes in front of `from` are put up with, of a source that can only begin at the beginning.
    pub skip_limit: u64,
}

/// An answer whose bytes are still to come.
pub struct Opened {
    /// What the source says of its file.
    pub facts: Facts,
    /// How many bytes in front of the wanted ones come first.
    pub skip: u64,
    /// How many bytes come behind those.
    pub length: u64,
    /// What else the answer tells.
    pub hints: Hints,
    /// What those have told who led to it.
    pub ahead: Hints,
    /// The address that they led to.
    pub at: Option<String>,
    /// The bytes.
    pub body: Box<dyn Body>,
}

/// Where an answer says that more is to be learnt about the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// The answer is no file but a Metalink, which can be read there.
    pub metalink: Option<String>,
    /// The addresses of Metalinks about it.
    pub described_by: Vec<String>,
    /// Other places that have the same.
    pub duplicates: Vec<Mirror>,
    /// What the file is to be called, as the answer says it.
    pub name: Option<String>,
}

impl Hints {
    pub(crate) fn is_empty(&self) -> bool {
        self.metalink.is_none() && self.described_by.is_empty() && self.duplicates.is_empty()
    }
}

/// The bytes of an answer.
#[async_trait]
pub trait Body: Send {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// If there is no end, but no more bytes either.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure>;
}

/// Makes sources of addresses, for what is learnt on the way.
#[async_trait]
pub trait Guide: Send + Sync {
    /// The source at an address; `None` if it is of a kind that nothing here can ask.
    fn source(&self, url: &str) -> Option<std::sync::Arc<dyn Source>>;

    /// Reads a whole document of `limit` bytes at most.
    ///
    /// # Errors
    /// If it cannot be had, or is longer.
    async fn document(&self, url: &str, limit: usize) -> Result<Vec<u8>, Failure>;
}
