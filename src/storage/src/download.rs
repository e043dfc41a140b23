//! DOWNLOAD and READ: bytes of a file from any offset.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_common::disk::{DiskFile, FIRST_WINDOW};
use tnv_proto::{Checksum, Download, ErrorCode, Failure, FileKey};
use tokio::task::spawn_blocking;

use crate::catalog::Location;
use crate::damage::{Finding, report};
use crate::layout::Place;
use crate::rows::Entry;
use crate::send::{Halt, Sending};
use crate::service::StorageService;
use crate::source;
use crate::verified::{Check, Lookup, take_sums};
use crate::volume::{StorePath, explain, is_unreachable};

/// A reader waits for the sums of a file up to this size to be made, in bytes.
const WAITED_FOR: u64 = 64 << 20;

/// Where the bytes may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this storage alone.
    Here,
    /// Also from the others of its group.
    Group,
}

impl StorageService {
    pub(crate) async fn download(
        &self,
        connection: &mut Connection,
        request: &Download,
        expected: Checksum,
        reach: Reach,
    ) -> Result<Reply, Interrupt> {
        let key = &request.key;
        let entry = self.files.find(key).await?;
        let checksum = entry.checksum();
        if expected.is_known() && checksum.is_known() && checksum != expected {
            let text = format!("{key} is no longer the file that was asked for");
            return Err(Failure::new(ErrorCode::CHANGED, text).into());
        }
        let range = range(request, entry.size)?;
        let (offset, size) = (range.start, range.end - range.start);
        let reaches_others = self.replicates && reach == Reach::Group;
        if reaches_others && matches!(entry.location, Location::Elsewhere | Location::Damaged { .. }) {
            return self.relay(connection, key, &entry, range).await;
        }
        if reach == Reach::Here && matches!(entry.location, Location::Elsewhere | Location::Damaged { .. }) {
            let text = format!("there is no good copy of {key} here");
            return Err(Failure::new(ErrorCode::NOT_FOUND, text).into());
        }
        // What cannot be read here is noted by then, and will be fetched.
        let is_elsewhere = |failure: &Failure| {
            reaches_others && matches!(failure.code, ErrorCode::INTERNAL | ErrorCode::UNAVAILABLE)
        };
        let source = match self.open(key, &entry, &range).await {
            Err(failure) if is_elsewhere(&failure) => {
                return self.relay(connection, key, &entry, range).await;
            }
            opened => opened?,
        };
        let check = match self.check(key, &entry, &source).await {
            Err(failure) if is_elsewhere(&failure) => {
                return self.relay(connection, key, &entry, range).await;
            }
            check => check?,
        };
        let whole = size == entry.size;
        let crc32 = (whole && checksum.is_known()).then_some(entry.crc32);
        let memory = (&self.buffers, &*self.counters);
        let mut sending = Sending::new(connection, source, range.clone(), crc32, memory).checked(check);
        if let Err(halt) = sending.run(self.send_mode).await {
            let begun = sending.is_begun();
            match self.halted(key, &entry, halt, begun) {
                Interrupt::Refused(failure) if is_elsewhere(&failure) => {
                    return self.relay(connection, key, &entry, range).await;
                }
                interrupt => return Err(interrupt),
            }
        }
        self.counters.downloads.add(1);
        tracing::debug!(peer = %connection.peer(), file = %key, offset, size, "downloaded");
        Ok(Reply::Sent)
    }

    /// What the blocks of an open file are held against. Sums that are missing are made, for the next who asks.
    async fn check(
        &self,
        key: &FileKey,
        entry: &Arc<Entry>,
        source: &DiskFile,
    ) -> Result<Option<Check>, Failure> {
        let Ok((path, place)) = self.find_place(key, entry) else { return Ok(None) };
        match self.verified.check(&path, entry, source).await {
            Ok(Lookup::Found(check)) => Ok(Some(check)),
            Ok(Lookup::NotWanted) => Ok(None),
            Ok(Lookup::Missing) if entry.size <= WAITED_FOR => {
                let (owner, read, place) = (path.clone(), entry.clone(), place.into_owned());
                let made = path.disk().wait_for(move || {
                    let sums = take_sums(&owner, &read, &place)?;
                    owner.keep_sums(&place, &sums, read.size, &read.checksum());
                    Ok(sums)
                });
                let sums = made.await.map_err(|error| self.unreadable(key, entry, &error))?;
                self.verified
                    .learn(&path, entry, source, &sums)
                    .map_err(|error| self.unreadable(key, entry, &error))
            }
            Ok(Lookup::Missing) => {
                self.make_sums(key, entry, path, place.into_owned());
                Ok(None)
            }
            Err(error) => Err(self.unreadable(key, entry, &error)),
        }
    }

    /// Reads a file and keeps the sums of its blocks; one file at a time, others when they are asked for again.
    fn make_sums(&self, key: &FileKey, entry: &Arc<Entry>, path: Arc<StorePath>, place: Place) {
        let Ok(turn) = self.making_sums.clone().try_acquire_owned() else { return };
        let (files, key, entry) = (self.files.clone(), key.clone(), entry.clone());
        self.commits.spawn(async move {
            let (size, blake3) = (entry.size, entry.checksum());
            let (owner, read) = (path.clone(), entry.clone());
            let made = spawn_blocking(move || {
                let sums = take_sums(&owner, &read, &place)?;
                owner.keep_sums(&place, &sums, size, &blake3);
                Ok::<(), io::Error>(())
            });
            if let Ok(Err(error)) = made.await {
                report(files, path, Finding::new(&key, &entry, &error)).await;
            }
            drop(turn);
        });
    }

    /// What to do about a reply that cannot go on.
    fn halted(&self, key: &FileKey, entry: &Entry, halt: Halt, begun: bool) -> Interrupt {
        match halt {
            Halt::Peer(error) => Interrupt::Broken(error),
            Halt::File(error) => {
                let failure = self.unreadable(key, entry, &error);
                // With the header out, all that is left to say is to close before the end.
                if begun { Interrupt::Broken(error) } else { Interrupt::Refused(failure) }
            }
        }
    }

    /// Opens the file, and brings the first bytes that are wanted into memory if need be. A file that a cached row
    /// misplaces is looked up afresh.
    async fn open(
        &self,
        key: &FileKey,
        entry: &Arc<Entry>,
        wanted: &Range<u64>,
    ) -> Result<DiskFile, Failure> {
        let (path, place) = self.locate(key, entry)?;
        if let Some(source) = source::open_cached(&path, &place, entry.size) {
            return Ok(source);
        }
        let held = (path.index(), place.clone());
        match open_slowly(path, &place, entry, wanted).await {
            Ok(source) => return Ok(source),
            Err(error) if !is_missing(&error) => return Err(self.unreadable(key, entry, &error)),
            // Its row is there before whoever pushed it says so.
            Err(_) if self.held.keep_one(held.0, &held.1).await => {}
            Err(_) => self.files.evict(key).await,
        }
        let now = self.files.find(key).await?;
        if (now.size, &now.blake3) != (entry.size, &entry.blake3) {
            return Err(Failure::new(ErrorCode::CHANGED, format!("{key} was replaced just now; ask again")));
        }
        let (path, place) = self.locate(key, &now)?;
        let opened = open_slowly(path, &place, &now, wanted).await;
        opened.map_err(|error| self.unreadable(key, &now, &error))
    }

    /// Reports a file that cannot be read, and says so.
    fn unreadable(&self, key: &FileKey, entry: &Entry, error: &io::Error) -> Failure {
        if is_unreachable(error) && !is_missing(error) {
            tracing::warn!(file = %key, %error, "a file cannot be reached");
            let text = format!("{key} cannot be read here: {}", explain(error));
            return Failure::new(ErrorCode::UNAVAILABLE, text);
        }
        self.report(Finding::new(key, entry, error));
        Failure::new(ErrorCode::INTERNAL, format!("{key} cannot be read here: {error}"))
    }

    fn locate<'a>(
        &self,
        key: &FileKey,
        entry: &'a Entry,
    ) -> Result<(Arc<StorePath>, Cow<'a, Place>), Failure> {
        let (path, place) = self.find_place(key, entry)?;
        if !path.is_answering() {
            let text = format!("{key} lies in {}, whose file system does not answer", path.written());
            return Err(Failure::new(ErrorCode::UNAVAILABLE, text));
        }
        Ok((path, place))
    }

    fn find_place<'a>(
        &self,
        key: &FileKey,
        entry: &'a Entry,
    ) -> Result<(Arc<StorePath>, Cow<'a, Place>), Failure> {
        let missing = |what: &str| Failure::new(ErrorCode::UNAVAILABLE, format!("{key} {what}"));
        match &entry.location {
            Location::Here { path_index, .. } => {
                let place = entry.place().map(Cow::Borrowed);
                let found = self.volume.path(*path_index).cloned().zip(place);
                found.ok_or_else(|| missing("lies in a store path that is not in use"))
            }
            Location::Damaged { .. } => {
                let text = format!("{key} is damaged here and waits to be repaired: nothing is sent of it");
                Err(Failure::new(ErrorCode::INTERNAL, text))
            }
            Location::Written(path) => {
                let found = self.volume.locate_written(path);
                found
                    .map(|(path, place)| (path, Cow::Owned(place)))
                    .ok_or_else(|| missing("lies in a store path that is not configured here"))
            }
            Location::Elsewhere => Err(missing("is held by another storage of the group")),
        }
    }
}

async fn open_slowly(
    path: Arc<StorePath>,
    place: &Place,
    entry: &Entry,
    wanted: &Range<u64>,
) -> io::Result<DiskFile> {
    let first = wanted.start..wanted.end.min(wanted.start + FIRST_WINDOW);
    source::open(path, place.clone(), entry.size, first).await
}

/// A network file system says ESTALE of a file that another host has removed just now.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// The bytes that are wanted. Offset = size with size 0 is an empty success.
fn range(request: &Download, size: u64) -> Result<Range<u64>, Failure> {
    let checked = || {
        let offset = u64::try_from(request.offset).ok()?;
        let wanted = u64::try_from(request.size).ok()?;
        let rest = size.checked_sub(offset)?;
        let len = if wanted == 0 { rest } else { wanted };
        (len <= rest).then(|| offset..offset + len)
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
    use crate::catalog::{FileRow, Scripted};
    use crate::config::Replication;
    use crate::files::Files;
    use crate::numbers::Numbers;
    use crate::rows::RowCache;
    use crate::send::SendMode;
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
        let standing = Arc::new(crate::standing::Standing::new(crate::catalog::MemberState::Active));
        let service = StorageService {
            standing: standing.clone(),
            intakes: std::collections::HashMap::new(),
            group,
            max_file_size: 0,
            numbers: Numbers::new(IdClient::new(Vec::new(), Options::default()), 1, std::iter::empty()),
            volume: Arc::new(volume),
            files: Arc::new(Files::new(catalog.clone(), RowCache::open(&CacheConfig::Off, "fresh"))),
            buffers: Budget::new(0),
            send_mode: SendMode::Auto,
            counters: Arc::default(),
            leftovers: Arc::default(),
            commits: TaskTracker::new(),
            busy: crate::busy::Busy::default(),
            part_expiry: std::time::Duration::from_secs(60),
            replicates: false,
            peers: Arc::new(crate::peers::Peers::new(catalog, "fresh".to_owned(), standing.clone(), &[])),
            orders: Arc::default(),
            row_lease: std::time::Duration::ZERO,
            ack: crate::config::AckPolicy { copies: 1, strict: false },
            held: Arc::default(),
            background: None,
            scrub: crate::scrub::Scrub::new(0, 0),
            verified: crate::verified::Verified::new(crate::verified::VerifyReads::First),
            making_sums: Arc::new(tokio::sync::Semaphore::new(1)),
            fill_rate: crate::copier::Rate::new(0),
        };
        let key = FileKey::new("a", "b", "c").unwrap();
        let open = async |seed| service.open(&key, &Arc::new(Entry::new(row(seed))), &(0..6)).await;
        assert!(open(2).await.is_ok());
        assert_eq!(open(1).await.err().unwrap().code, ErrorCode::CHANGED);
    }

    #[test]
    fn ranges_inside_the_file_and_no_others() {
        let ask = |offset, size| {
            let key = FileKey::new("a", "b", "c").unwrap();
            range(&Download { key, offset, size }, 100).map_err(|failure| failure.code)
        };
        assert_eq!(ask(0, 0), Ok(0..100));
        assert_eq!(ask(99, 0), Ok(99..100));
        assert_eq!(ask(100, 0), Ok(100..100));
        assert_eq!(ask(10, 90), Ok(10..100));
        for (offset, size) in
            [(101, 0), (10, 91), (100, 1), (-1, 0), (0, -1), (i64::MAX, i64::MAX), (i64::MIN, 1)]
        {
            assert_eq!(ask(offset, size), Err(ErrorCode::RANGE), "{offset} {size}");
        }
    }
}
