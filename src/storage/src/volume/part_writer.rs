//! One part of an upload on its way into its files.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{StorePath, staging};
use crate::aside::drop_aside;
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
        PartWriter { path, files: Some(Files { data, offset: offset_file }), offset, unsynced: 0 }
    }

    /// Bytes that are durable.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Closes its files and lets others write. Blocks.
    pub(crate) fn close(mut self) {
        self.files = None;
    }

    fn sync(&mut self) -> io::Result<()> {
        let files = self.files.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        files.data.sync_data()?;
        let offset = self.offset + self.unsynced;
        files.offset.write_all_at(&offset.to_be_bytes(), 0)?;
        files.offset.sync_data()?;
        self.offset = offset;
        self.unsynced = 0;
        Ok(())
    }
}

impl Sink for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let files = self.files.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        files.data.write_all(bytes)?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    fn end(&mut self) -> io::Result<()> {
        self.sync()
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
