//! Bytes of files on this machine.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tnv_common::disk::DiskFile;

use super::BodyError;
use crate::range::ByteRange;

/// What is read at once where bytes go through memory.
const CHUNK: u64 = 128 * 1024;

/// A file on this machine, as it is sent. It may still be on its way here.
pub trait LocalFile: fmt::Debug + Send + Sync {
    /// The file.
    fn file(&self) -> &Arc<DiskFile>;

    /// Waits until bytes from `at` on, which lies within the file, are there. Returns where those end.
    fn reach(&self, at: u64) -> Reach<'_>;
}

/// Where bytes end that are there, or why they will not come.
pub type Reach<'a> = Pin<Box<dyn Future<Output = Result<u64, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// Bytes of a file on this machine.
#[derive(Debug, Clone)]
pub struct Local {
    source: Arc<dyn LocalFile>,
    left: Range<u64>,
}

impl Local {
    /// These bytes of the file.
    pub fn new(source: Arc<dyn LocalFile>, range: ByteRange) -> Local {
        Local { source, left: range.start()..range.start() + range.len() }
    }

    /// How many they are.
    pub fn len(&self) -> u64 {
        self.left.end - self.left.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn file(&self) -> &Arc<DiskFile> {
        self.source.file()
    }

    /// Those that are there, at least one, as soon as there are some.
    pub(crate) async fn there(&self) -> Result<Range<u64>, BodyError> {
        let start = self.left.start;
        let end = self.source.reach(start).await.map_err(BodyError::Local)?.min(self.left.end);
        if end > start { Ok(start..end) } else { Err(BodyError::Length("too little")) }
    }

    /// The first of them were given.
    pub(crate) fn gave(&mut self, bytes: u64) {
        self.left.start = self.left.end.min(self.left.start + bytes);
    }

    /// The next of them, through memory; none at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Bytes, BodyError> {
        if self.is_empty() {
            return Ok(Bytes::new());
        }
        let there = self.there().await?;
        // At most a chunk.
        let len = (there.end - there.start).min(CHUNK) as usize;
        let mut buffer = vec![0; len];
        if !self.file().read_cached(&mut buffer, there.start) {
            (buffer, _) = self.file().read(buffer, len, there.start).await?;
        }
        self.gave(len as u64);
        Ok(buffer.into())
    }

    /// What they are without the first of them; `None` if nothing is left.
    pub(super) fn behind(&self, skipped: u64) -> Option<Local> {
        let mut left = self.clone();
        left.gave(skipped);
        (!left.is_empty()).then_some(left)
    }
}
