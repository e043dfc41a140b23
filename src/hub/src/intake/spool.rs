//! Where a file waits whose length is not known before its end: in memory while it is small, else in a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tnv_client::Source;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

/// What is kept in memory, in bytes.
const IN_MEMORY: usize = 256 * 1024;
/// What the files are called.
const PREFIX: &str = "tnv-upload-";

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Spool(Arc<Path>);

/// Why a file cannot wait.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("it is larger than it may be")]
    TooLarge,
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A file that waits; gone when it is dropped.
pub(super) struct Spooled {
    spool: Spool,
    held: BytesMut,
    len: u64,
    file: Option<(File, Named)>,
}

/// A file's name, which is removed when it is dropped.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        // A moment on a thread that may wait; nobody needs to know when.
        let path = std::mem::take(&mut self.0);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an upload's file cannot be removed");
            }
        });
    }
}

impl Spool {
    pub(super) fn new(folder: &Path) -> Spool {
        Spool(folder.into())
    }

    pub(super) fn begin(&self) -> Spooled {
        Spooled { spool: self.clone(), held: BytesMut::new(), len: 0, file: None }
    }

    /// Removes what an earlier process has left.
    pub(super) async fn sweep(&self) -> io::Result<()> {
        let mut entries = match fs::read_dir(&self.0).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_file(entry.path()).await?;
            }
        }
        Ok(())
    }
}

impl Spooled {
    /// Takes bytes; there may be `max` in all.
    pub(super) async fn write(&mut self, bytes: &[u8], max: u64) -> Result<(), SpoolError> {
        self.len += bytes.len() as u64;
        if self.len > max {
            return Err(SpoolError::TooLarge);
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() > IN_MEMORY { self.spill().await } else { Ok(()) }
    }

    async fn spill(&mut self) -> Result<(), SpoolError> {
        let folder = &self.spool.0;
        let failed = |source| SpoolError::Io { path: folder.to_path_buf(), source };
        if self.file.is_none() {
            fs::create_dir_all(folder).await.map_err(failed)?;
            let path = folder.join(format!("{PREFIX}{:032x}", rand::random::<u128>()));
            let file = File::options().write(true).create_new(true).open(&path).await.map_err(failed)?;
            self.file = Some((file, Named(path)));
        }
        if let Some((file, _)) = &mut self.file {
            file.write_all(&self.held).await.map_err(failed)?;
        }
        self.held.clear();
        Ok(())
    }

    /// All of it, to be sent on while this is kept.
    pub(super) async fn source(&mut self) -> Result<Source, SpoolError> {
        if self.file.is_none() {
            return Ok(Source::Memory(self.held.split().freeze()));
        }
        self.spill().await?;
        let Some((file, named)) = &mut self.file else { return Ok(Source::Memory(Bytes::new())) };
        let failed = |source| SpoolError::Io { path: named.0.clone(), source };
        file.flush().await.map_err(failed)?;
        Ok(Source::File { path: named.0.clone(), offset: 0, size: self.len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_files_wait_in_memory_and_large_ones_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(&folder.path().join("up"));
        spool.sweep().await.unwrap();
        let mut small = spool.begin();
        small.write(b"abc", 10).await.unwrap();
        assert!(matches!(small.source().await.unwrap(), Source::Memory(bytes) if bytes == "abc"));
        let bytes: Vec<u8> = (0..IN_MEMORY * 2 + 7).map(|n| (n % 251) as u8).collect();
        let mut large = spool.begin();
        for piece in bytes.chunks(1000) {
            large.write(piece, u64::MAX).await.unwrap();
        }
        let Source::File { path, offset: 0, size } = large.source().await.unwrap() else { panic!() };
        assert_eq!(size, bytes.len() as u64);
        assert!(std::fs::read(&path).unwrap() == bytes);
        drop(large);
        while path.exists() {
            tokio::task::yield_now().await;
        }
        std::fs::write(folder.path().join("up").join(format!("{PREFIX}left")), "x").unwrap();
        std::fs::write(folder.path().join("up").join("other"), "x").unwrap();
        spool.sweep().await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("up")).unwrap().count(), 1);
        let mut much = spool.begin();
        assert!(matches!(much.write(b"abc", 2).await, Err(SpoolError::TooLarge)));
    }
}
