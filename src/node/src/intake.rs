//! The bytes of one member on their way into a package: written in order, hashed in passing.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tnv_common::disk::DiskFile;

/// How much is read at once where bytes are hashed that are there already.
const CHUNK: u64 = 1024 * 1024;

/// A member that comes in. Its methods block.
#[derive(Debug)]
pub(crate) struct Intake {
    file: Arc<DiskFile>,
    /// Where the member lies in the file.
    range: Range<u64>,
    written: u64,
    blake3: blake3::Hasher,
    crc32: crc32fast::Hasher,
}

impl Intake {
    /// One that has nothing yet.
    pub(crate) fn new(file: Arc<DiskFile>, range: Range<u64>) -> Intake {
        Intake { file, range, written: 0, blake3: blake3::Hasher::new(), crc32: crc32fast::Hasher::new() }
    }

    /// How many bytes it has.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// How many it lacks.
    pub(crate) fn missing(&self) -> u64 {
        self.range.end - self.range.start - self.written
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) {
        *self = Intake::new(self.file.clone(), self.range.clone());
    }

    /// Takes over bytes that are in the file already, up to `written` of them.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn adopt(&mut self, written: u64) -> io::Result<()> {
        let end = written.min(self.range.end - self.range.start);
        let mut chunk = vec![0; CHUNK.min(end.saturating_sub(self.written)) as usize];
        while self.written < end {
            let len = (end - self.written).min(CHUNK) as usize;
            let Some(bytes) = chunk.get_mut(..len) else { break };
            self.file.file().read_exact_at(bytes, self.range.start + self.written)?;
            self.count(&chunk, len);
        }
        Ok(())
    }

    /// Takes the next bytes, no more than are missing.
    ///
    /// # Errors
    /// I/O errors; what was not taken is as before.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.file().write_all_at(bytes, self.range.start + self.written)?;
        self.count(bytes, bytes.len());
        Ok(())
    }

    fn count(&mut self, bytes: &[u8], len: usize) {
        let bytes = bytes.get(..len).unwrap_or(bytes);
        self.blake3.update(bytes);
        self.crc32.update(bytes);
        self.written += bytes.len() as u64;
    }

    /// Whether all bytes are there and are the right ones.
    pub(crate) fn is(&self, blake3: &blake3::Hash, crc32: u32) -> bool {
        self.missing() == 0 && self.blake3.finalize() == *blake3 && self.crc32.clone().finalize() == crc32
    }
}

/// Copies bytes from one file into another, within the kernel where it can.
///
/// # Errors
/// I/O errors, also where the source has less.
pub(crate) fn copy(from: &File, at: u64, to: &File, range: Range<u64>) -> io::Result<()> {
    let (mut source, mut target) = (at, range.start);
    while target < range.end {
        let len = usize::try_from(range.end - target).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), len) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            // Other file systems, or none that can do it.
            Err(
                rustix::io::Errno::XDEV
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::INVAL,
            ) => {
                return copy_through_memory(from, source, to, target..range.end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_through_memory(from: &File, mut at: u64, to: &File, mut range: Range<u64>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK.min(range.end - range.start) as usize];
    while !range.is_empty() {
        let len = (range.end - range.start).min(CHUNK) as usize;
        let Some(bytes) = chunk.get_mut(..len) else { break };
        from.read_exact_at(bytes, at)?;
        to.write_all_at(bytes, range.start)?;
        at += len as u64;
        range.start += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tnv_common::disk::Disk;

    use super::*;

    fn file(contents: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(contents, 0).unwrap();
        file
    }

    fn is(intake: &Intake, bytes: &[u8]) -> bool {
        intake.is(&blake3::hash(bytes), crc32fast::hash(bytes))
    }

    #[test]
    fn bytes_are_written_in_their_place_and_hashed() {
        let disk = Disk::new(false, 1, Counter::default());
        let target = Arc::new(DiskFile::new(file(b".........."), 10, disk));
        let mut intake = Intake::new(target.clone(), 2..8);
        intake.take(b"abcd").unwrap();
        assert!(!is(&intake, b"abcd"));
        intake.take(b"ef").unwrap();
        assert_eq!((intake.written(), intake.missing()), (6, 0));
        assert!(is(&intake, b"abcdef") && !is(&intake, b"abcdeF"));
        let mut all = [0; 10];
        target.file().read_exact_at(&mut all, 0).unwrap();
        assert_eq!(&all, b"..abcdef..");

        let mut again = Intake::new(target, 2..8);
        again.adopt(4).unwrap();
        assert_eq!(again.missing(), 2);
        again.take(b"ef").unwrap();
        assert!(is(&again, b"abcdef"));
        again.restart();
        again.adopt(100).unwrap();
        assert!(is(&again, b"abcdef"));
    }

    #[test]
    fn both_ways_of_copying_copy() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 7).map(|n| (n % 251) as u8).collect();
        let source = file(&bytes);
        for copy in [copy, copy_through_memory] {
            let target = file(b"");
            copy(&source, 5, &target, 100..100 + 2 * CHUNK + 3).unwrap();
            let mut copied = vec![0; (2 * CHUNK + 3) as usize];
            target.read_exact_at(&mut copied, 100).unwrap();
            assert!(copied == bytes[5..5 + copied.len()]);
            copy(&source, 0, &target, 0..bytes.len() as u64 + 1).unwrap_err();
        }
    }
}
