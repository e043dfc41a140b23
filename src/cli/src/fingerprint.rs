//! The checksum of a file that is sent part by part.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use tnv_proto::Checksum;
use tokio::task::spawn_blocking;

const PIECE: usize = 256 * 1024;

/// The BLAKE3 of what a file has from some offset on, taken as far as it is asked for.
pub(crate) struct Fingerprint {
    path: PathBuf,
    offset: u64,
    at: u64,
    hasher: blake3::Hasher,
}

impl Fingerprint {
    pub(crate) fn new(path: PathBuf, offset: u64) -> Fingerprint {
        Fingerprint { path, offset, at: 0, hasher: blake3::Hasher::new() }
    }

    /// Takes in the bytes up to `to`, counted from the offset; nothing if it is there already.
    ///
    /// # Errors
    /// If the file cannot be read, or has become shorter.
    pub(crate) async fn advance(&mut self, to: u64) -> io::Result<()> {
        if self.at >= to {
            return Ok(());
        }
        let (path, from, end) = (self.path.clone(), self.offset + self.at, self.offset + to);
        let mut hasher = self.hasher.clone();
        self.hasher = spawn_blocking(move || {
            let file = File::open(path)?;
            let (mut at, mut buffer) = (from, vec![0; PIECE]);
            while at < end {
                let len = PIECE.min(usize::try_from(end - at).unwrap_or(PIECE));
                file.read_exact_at(&mut buffer[..len], at)?;
                hasher.update(&buffer[..len]);
                at += len as u64;
            }
            io::Result::Ok(hasher)
        })
        .await??;
        self.at = to;
        Ok(())
    }

    /// The checksum of all bytes taken in.
    pub(crate) fn checksum(&self) -> Checksum {
        Checksum(self.hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bit_by_bit_is_the_same_as_at_once() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| at as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let mut fingerprint = Fingerprint::new(file.path().to_owned(), 7);
        for to in [0, 10, 10, 5, 600_000, 900_000] {
            fingerprint.advance(to).await.unwrap();
        }
        assert_eq!(fingerprint.checksum().0, *blake3::hash(&bytes[7..900_007]).as_bytes());
        assert!(fingerprint.advance(1_000_000).await.is_err());
    }
}
