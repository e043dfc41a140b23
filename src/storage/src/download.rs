//! DOWNLOAD and READ: bytes of a file from any offset.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{Checksum, Download, ErrorCode, Failure, FileKey};
use tokio::task::spawn_blocking;

use crate::aside::drop_aside;
use crate::buffer::Buffer;
use crate::catalog::{FileRow, Location};
use crate::layout::Place;
use crate::service::StorageService;
use crate::upload::lost;
use crate::volume::{StorePath, explain, is_unreachable};

/// Bytes of one file that are to be sent: `offset .. end`.
struct Outgoing {
    /// Until all have been read.
    file: Option<File>,
    offset: u64,
    end: u64,
}

impl Outgoing {
    /// Fills the buffer as far as there is something to send. Blocks.
    fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let bytes = buffer.bytes();
        let len = bytes.len().min(usize::try_from(self.end - self.offset).unwrap_or(usize::MAX));
        if let Some(file) = &self.file {
            file.read_exact_at(&mut bytes[..len], self.offset)?;
        }
        self.offset += len as u64;
        if self.offset == self.end {
            // Closed here, where it may block.
            self.file = None;
        }
        Ok(len)
    }
}

impl Outgoing {
    /// Opens the file and reads its first bytes that are wanted. Blocks.
    fn open(
        path: &StorePath,
        place: &Place,
        size: u64,
        wanted: std::ops::Range<u64>,
        mut buffer: Buffer,
    ) -> io::Result<(Outgoing, Buffer, usize)> {
        let file = path.open_file(place)?;
        let mut found = file.metadata()?.len();
        if found != size {
            // What is known here may be of a time when another storage was writing it.
            found = path.len_of(&file)?;
        }
        if found != size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the file has {found} bytes, the catalog says {size}"),
            ));
        }
        let mut outgoing = Outgoing { file: Some(file), offset: wanted.start, end: wanted.end };
        let filled = outgoing.read(&mut buffer)?;
        Ok((outgoing, buffer, filled))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // Its client has gone.
        if let Some(file) = self.file.take() {
            drop_aside(file);
        }
    }
}

impl StorageService {
    pub(crate) async fn download(
        &self,
        connection: &mut Connection,
        request: &Download,
        expected: Checksum,
    ) -> Result<Reply, Interrupt> {
        let key = &request.key;
        let row = self.files.find(key).await?;
        let checksum = row.checksum();
        if expected.is_known() && checksum.is_known() && checksum != expected {
            let text = format!("{key} is no longer the file that was asked for");
            return Err(Failure::new(ErrorCode::CHANGED, text).into());
        }
        let (offset, len) = range(request, row.size)?;
        let (outgoing, buffer, filled) = self.open(key, &row, offset, len).await?;
        self.send(connection, key, len, outgoing, buffer, filled).await?;
        self.counters.downloads.add(1);
        tracing::debug!(peer = %connection.peer(), file = %key, offset, size = len, "downloaded");
        Ok(Reply::Sent)
    }

    /// Sends header and bytes. While one buffer is being sent the other one fills.
    async fn send(
        &self,
        connection: &mut Connection,
        key: &FileKey,
        len: u64,
        outgoing: Outgoing,
        buffer: Buffer,
        filled: usize,
    ) -> Result<(), Interrupt> {
        let mut left = len - filled as u64;
        let read_next = |mut outgoing: Outgoing, mut buffer: Buffer, left: u64| {
            buffer.grow(&self.buffers, left);
            spawn_blocking(move || {
                let outcome = outgoing.read(&mut buffer);
                (outgoing, buffer, outcome)
            })
        };
        let mut reading = (left > 0).then(|| read_next(outgoing, Buffer::small(left), left));
        connection.begin_reply(len, buffer.filled(filled)).await?;
        self.counters.bytes_out.add(filled as u64);
        let mut spare = buffer;
        while let Some(read) = reading.take() {
            let (outgoing, buffer, outcome) = read.await.map_err(lost)?;
            // The header is out: all that is left to say is to close before the end.
            let filled = outcome.inspect_err(|error| damaged(key, error))?;
            left -= filled as u64;
            if left > 0 {
                reading = Some(read_next(outgoing, std::mem::replace(&mut spare, Buffer::small(0)), left));
            }
            connection.send_bulk(buffer.filled(filled)).await?;
            self.counters.bytes_out.add(filled as u64);
            spare = buffer;
        }
        Ok(())
    }

    /// Opens the file. One that a cached row misplaces is looked up afresh.
    async fn open(
        &self,
        key: &FileKey,
        row: &FileRow,
        offset: u64,
        len: u64,
    ) -> Result<(Outgoing, Buffer, usize), Failure> {
        let mut row = row.clone();
        let mut fresh = false;
        loop {
            let (path, place) = self.locate(key, &row.location)?;
            let mut buffer = Buffer::small(len);
            buffer.grow(&self.buffers, len);
            let (size, wanted) = (row.size, offset..offset + len);
            let opened = spawn_blocking(move || Outgoing::open(&path, &place, size, wanted, buffer))
                .await
                .map_err(lost);
            let error = match opened.and_then(|opened| opened) {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            if is_unreachable(&error) && error.kind() != io::ErrorKind::StaleNetworkFileHandle {
                tracing::warn!(file = %key, %error, "a file cannot be reached");
                let text = format!("{key} cannot be read here: {}", explain(&error));
                return Err(Failure::new(ErrorCode::UNAVAILABLE, text));
            }
            if fresh || !is_missing(&error) {
                damaged(key, &error);
                let text = format!("{key} cannot be read here: {error}");
                return Err(Failure::new(ErrorCode::INTERNAL, text));
            }
            self.files.evict(key).await;
            let before = std::mem::replace(&mut row, self.files.find(key).await?);
            if (row.size, &row.blake3) != (before.size, &before.blake3) {
                return Err(Failure::new(
                    ErrorCode::CHANGED,
                    format!("{key} was replaced just now; ask again"),
                ));
            }
            fresh = true;
        }
    }

    fn locate(&self, key: &FileKey, location: &Location) -> Result<(Arc<StorePath>, Place), Failure> {
        let (path, place) = self.find_place(key, location)?;
        if !path.is_answering() {
            let text = format!("{key} lies in {}, whose file system does not answer", path.written());
            return Err(Failure::new(ErrorCode::UNAVAILABLE, text));
        }
        Ok((path, place))
    }

    fn find_place(&self, key: &FileKey, location: &Location) -> Result<(Arc<StorePath>, Place), Failure> {
        let missing = |what: &str| Failure::new(ErrorCode::UNAVAILABLE, format!("{key} {what}"));
        match location {
            Location::Here { path_index, path } => self
                .volume
                .path(*path_index)
                .cloned()
                .zip(Place::parse(path))
                .ok_or_else(|| missing("lies in a store path that is not in use")),
            Location::Written(path) => self
                .volume
                .locate_written(path)
                .ok_or_else(|| missing("lies in a store path that is not configured here")),
            Location::Elsewhere => Err(missing("is held by another storage of the group")),
        }
    }
}

/// A network file system says ESTALE of a file that another host has removed just now.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

fn damaged(key: &FileKey, error: &io::Error) {
    tracing::error!(file = %key, %error, "a file is missing or damaged");
}

/// The bytes that are wanted: offset and length. Offset = size with size 0 is an empty success.
fn range(request: &Download, size: u64) -> Result<(u64, u64), Failure> {
    let checked = || {
        let offset = u64::try_from(request.offset).ok()?;
        let wanted = u64::try_from(request.size).ok()?;
        let rest = size.checked_sub(offset)?;
        let len = if wanted == 0 { rest } else { wanted };
        (len <= rest).then_some((offset, len))
    };
    checked().ok_or_else(|| {
        Failure::new(
            ErrorCode::RANGE,
            format!(
                "offset {} with size {} is outside the file's {size} bytes",
                request.offset, request.size
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use tnv_client::{IdClient, Options};
    use tnv_common::cache::CacheConfig;
    use tnv_common::config::WrittenPath;
    use tnv_proto::GroupName;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::buffer::Budget;
    use crate::catalog::Scripted;
    use crate::config::Replication;
    use crate::files::Files;
    use crate::numbers::Numbers;
    use crate::volume::Candidate;

    #[tokio::test]
    async fn a_file_replaced_by_one_of_the_same_size_is_not_sent_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = WrittenPath { written: "../store".to_owned(), resolved: folder.path().to_owned() };
        let group = GroupName::new("group001").unwrap();
        let volume = Candidate::inspect(&[store], "tnv", &group, Replication::None, "fresh")
            .unwrap()
            .open(0, None)
            .unwrap();
        std::fs::create_dir_all(folder.path().join("000/000/000")).unwrap();
        std::fs::write(folder.path().join("000/000/000/2"), "second").unwrap();
        let row = |seed: u8| FileRow {
            size: 6,
            created_ms: 0,
            crc32: 0,
            blake3: Checksum([seed; 32]).to_string(),
            content_type: String::new(),
            name: String::new(),
            location: Location::Here { path_index: 0, path: format!("000/000/000/{seed}") },
        };
        let catalog = Arc::new(Scripted::new([Some(row(2))]));
        let service = StorageService {
            intakes: std::collections::HashMap::new(),
            group,
            max_file_size: 0,
            numbers: Numbers::new(IdClient::new(Vec::new(), Options::default()), 1, std::iter::empty()),
            volume: Arc::new(volume),
            files: Arc::new(Files::new(catalog, CacheConfig::Off.open_namespace("meta", "fresh"))),
            buffers: Budget::new(0),
            counters: Arc::default(),
            leftovers: Arc::default(),
            commits: TaskTracker::new(),
            busy: crate::busy::Busy::default(),
            part_expiry: std::time::Duration::from_secs(60),
        };
        let key = FileKey::new("a", "b", "c").unwrap();
        assert!(service.open(&key, &row(2), 0, 6).await.is_ok());
        assert_eq!(service.open(&key, &row(1), 0, 6).await.err().unwrap().code, ErrorCode::CHANGED);
    }

    #[test]
    fn ranges_inside_the_file_and_no_others() {
        let ask = |offset, size| {
            let key = FileKey::new("a", "b", "c").unwrap();
            range(&Download { key, offset, size }, 100).map_err(|failure| failure.code)
        };
        assert_eq!(ask(0, 0), Ok((0, 100)));
        assert_eq!(ask(99, 0), Ok((99, 1)));
        assert_eq!(ask(100, 0), Ok((100, 0)));
        assert_eq!(ask(10, 90), Ok((10, 90)));
        for (offset, size) in
            [(101, 0), (10, 91), (100, 1), (-1, 0), (0, -1), (i64::MAX, i64::MAX), (i64::MIN, 1)]
        {
            assert_eq!(ask(offset, size), Err(ErrorCode::RANGE), "{offset} {size}");
        }
    }
}
