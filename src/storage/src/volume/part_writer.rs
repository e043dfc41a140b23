//! One part of an upload on its way into its files.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};
use tnv_common::disk::drop_aside;

use super::{StorePath, staging};
use crate::pump::Sink;

/// After so many bytes a long part is made durable in between.
const SYNC_EVERY: u64 = 16 * 1024 * 1024;

/// Appends to an upload. What is durable is written down only after it is.
#[derive(Debug)]
pub struct PartWriter {
    path: Arc<StorePath>,
    /// Until it is dropped.
    files: Option<Files>,
    offset: u64,
    unsynced: u64,
    /// Whether what is durable leaves the page cache, in favour of what clients read.
    leaves_cache: bool,
    /// A write or a sync failed. The system tells that once: the next sync may succeed although the bytes are lost.
    failed: bool,
}

#[derive(Debug)]
struct Files {
    data: File,
    offset: File,
}

impl Drop for Files {
    fn drop(&mut self) {
        staging::unlock(&self.data);
    }
}

impl PartWriter {
    /// Goes on at `offset`, which is where `data` stands.
    pub(super) fn new(path: Arc<StorePath>, data: File, offset_file: File, offset: u64) -> PartWriter {
        PartWriter {
            path,
            files: Some(Files { data, offset: offset_file }),
            offset,
            unsynced: 0,
            leaves_cache: false,
            failed: false,
        }
    }

    /// The same, for bytes that nobody is about to read.
    pub(crate) fn leaving_cache(mut self) -> PartWriter {
        self.leaves_cache = true;
        self
    }

    /// Bytes that are durable.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Closes its files and lets others write. Blocks.
    pub(crate) fn close(mut self) {
        self.files = None;
    }

    /// Does something with the files; after a failure nothing more.
    fn attempt(&mut self, work: impl FnOnce(&mut PartWriter) -> io::Result<()>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        work(self).inspect_err(|_| self.failed = true)
    }

    fn sync(&mut self) -> io::Result<()> {
        let files = self.files.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        files.data.sync_data()?;
        let offset = self.offset + self.unsynced;
        files.offset.write_all_at(&offset.to_be_bytes(), 0)?;
        files.offset.sync_data()?;
        if self.leaves_cache {
            // Advice: where it is not taken, nothing is lost.
            let _ = fadvise(&files.data, self.offset, NonZeroU64::new(self.unsynced), Advice::DontNeed);
        }
        self.offset = offset;
        self.unsynced = 0;
        Ok(())
    }
}

impl Sink for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.attempt(|writer| {
            let files = writer.files.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            files.data.write_all(bytes)?;
            writer.unsynced += bytes.len() as u64;
            if writer.unsynced >= SYNC_EVERY { writer.sync() } else { Ok(()) }
        })
    }

    fn end(&mut self) -> io::Result<()> {
        self.attempt(PartWriter::sync)
    }

    fn path(&self) -> &Arc<StorePath> {
        &self.path
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if let Some(files) = self.files.take() {
            drop_aside(files);
        }
    }
}

#[cfg(test)]
mod tests {
    use tnv_common::config::WrittenPath;
    use tnv_proto::GroupName;

    use super::super::Candidate;
    use super::*;
    use crate::config::Replication;

    /// A failed sync is told once; the next one says that all is well.
    #[test]
    fn after_a_failure_nothing_counts_as_durable() {
        let folder = tempfile::tempdir().unwrap();
        let store = WrittenPath { written: "../store".to_owned(), resolved: folder.path().to_owned() };
        let group = GroupName::new("group001").unwrap();
        let candidate = Candidate::inspect(&[store], "tnv", &group, Replication::None, "fresh").unwrap();
        let path = candidate.open(0, None).unwrap().paths()[0].clone();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        // One that cannot be written to: the same for the writer as a disk that fails.
        let read_only = File::open(folder.path()).unwrap();
        let mut writer = PartWriter::new(path, read_only, file("offset"), 7);
        writer.write(b"lost").unwrap_err();
        writer.files.as_mut().unwrap().data = file("data");
        assert!(
            writer.write(b"more").is_err() && writer.end().is_err(),
            "the file is well again, the part is not"
        );
        assert_eq!(writer.offset(), 7);
    }
}
