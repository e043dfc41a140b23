//! Reads all files of this storage again, slowly, and finds what nobody has asked for: damaged and missing copies, which are
//! marked and so repaired, and bytes that no row stands for, which are told. How far it is lies in the first store path, so a
//! restart goes on with a pass.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tnv_common::clock;
use tnv_common::connection::Reply;
use tnv_common::database::DbError;
use tnv_proto::Failure;
use tnv_proto::state::{ScrubPass, ScrubState};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::catalog::{FileRow, Leftover, Location, OwnCopy};
use crate::copier::Rate;
use crate::damage::{Finding, report};
use crate::digest::Digest;
use crate::layout::Place;
use crate::metrics::StorageMetrics;
use crate::rows::Entry;
use crate::service::StorageService;
use crate::source::{self, is_damage};
use crate::volume::StorePath;

/// Where it is written down how far it is, in the first store path.
const FILE: &str = ".tnv-scrub";
/// Copies that are looked up at once.
const PAGE: u32 = 100;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Between two looks whether a pass is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// After the catalog or a disk has failed.
const RETRY: Duration = Duration::from_secs(30);
/// Bytes without a row that are younger may be about to get one.
const SETTLED: Duration = Duration::from_secs(24 * 3600);

/// What is known of the passes, and who asks for one.
pub(crate) struct Scrub {
    /// The pause between the beginnings of two passes; zero: only when asked.
    every: Duration,
    rate: Rate,
    books: Mutex<Books>,
    begin: Notify,
}

/// What outlives a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Books {
    state: ScrubState,
    /// The last place that was looked at in the pass that is under way: store path and path below it.
    after: Option<(u32, String)>,
}

impl Scrub {
    /// With a pass for every so many days, at so many bytes per second; 0 = without a limit.
    pub(crate) fn new(days: u32, per_second: u64) -> Scrub {
        let rate = Rate::new(per_second);
        rate.turn(true);
        let every = Duration::from_secs(u64::from(days) * 24 * 3600);
        Scrub { every, rate, books: Mutex::default(), begin: Notify::new() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a pass should begin by itself. One that was cut off goes on.
    fn is_due(&self, now: i64) -> bool {
        let books = self.books();
        let since = Duration::from_secs(u64::try_from(now - books.state.pass.started).unwrap_or(0));
        books.state.running || (!self.every.is_zero() && since >= self.every)
    }

    fn count(&self, count: impl FnOnce(&mut ScrubPass)) {
        count(&mut self.books().state.pass);
    }
}

impl StorageService {
    /// SCRUB: tells how far it is, and begins a pass if that is asked for and none is under way.
    pub(crate) fn scrub(&self, begin: bool) -> Result<Reply, Failure> {
        if begin {
            self.begin_pass();
            self.scrub.begin.notify_one();
        }
        let state = self.scrub.books().state.clone();
        let json = serde_json::to_vec(&state).map_err(|error| Failure::bad_request(error.to_string()))?;
        Ok(Reply::Body(BytesMut::from(&json[..])))
    }

    fn begin_pass(&self) {
        let mut books = self.scrub.books();
        if !books.state.running {
            let pass = ScrubPass { started: clock::unix_seconds(), ..ScrubPass::default() };
            *books = Books { state: ScrubState { running: true, pass, ..books.state.clone() }, after: None };
        }
    }

    fn scrub_file(&self) -> Option<PathBuf> {
        self.volume.paths().first().filter(|path| !path.is_shared()).map(|path| path.root().join(FILE))
    }

    async fn keep_books(&self) {
        let (Some(file), books) = (self.scrub_file(), self.scrub.books().clone()) else { return };
        let kept = spawn_blocking(move || write(&file, &books)).await;
        if let Ok(Err(error)) = kept {
            tracing::debug!(%error, "how far scrubbing is could not be written down");
        }
    }

    async fn read_books(&self) {
        let Some(file) = self.scrub_file() else { return };
        let read = spawn_blocking(move || std::fs::read(file)).await;
        let books = read.ok().and_then(Result::ok).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(books) = books {
            *self.scrub.books() = books;
            return;
        }
        // A new storage, or one that has never done it: the first pass is due when others would be for the second time.
        self.scrub.books().state.pass.started = clock::unix_seconds();
        self.keep_books().await;
    }
}

fn write(file: &Path, books: &Books) -> io::Result<()> {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(books).map_err(io::Error::other)?)?;
    std::fs::rename(fresh, file)
}

/// A pass whenever one is due or asked for, until `shutdown`.
pub(crate) async fn scrub(service: Arc<StorageService>, shutdown: CancellationToken) {
    let work = async {
        service.read_books().await;
        loop {
            if service.scrub.is_due(clock::unix_seconds()) {
                service.begin_pass();
                while let Err(error) = pass(&service).await {
                    tracing::warn!(%error, "scrubbing cannot go on; trying again");
                    sleep(RETRY).await;
                }
            }
            // Not all storages at the same moment.
            let pause = LOOK_INTERVAL.mul_f64(rand::rng().random_range(0.5..1.0));
            let _ = timeout(pause, service.scrub.begin.notified()).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => service.keep_books().await,
    }
}

/// Goes on with the pass that is under way, to its end.
async fn pass(service: &Arc<StorageService>) -> Result<(), DbError> {
    loop {
        let after = service.scrub.books().after.clone();
        let after = after.map(|(path_index, path)| Leftover { path_index, path });
        let (copies, next) = service.files.catalog().copies(after.as_ref(), PAGE).await?;
        for copy in copies {
            let place = (copy.path_index, copy.path.clone());
            examine(service, copy).await;
            service.scrub.books().after = Some(place);
        }
        service.keep_books().await;
        let Some(next) = next else { break };
        service.scrub.books().after = Some((next.path_index, next.path));
    }
    for path in service.volume.paths().iter().filter(|path| !path.is_shared()) {
        count_orphans(service, path).await?;
    }
    let state = {
        let mut books = service.scrub.books();
        books.after = None;
        books.state.running = false;
        books.state.pass.ended = clock::unix_seconds();
        books.state.last = books.state.pass.clone();
        books.state.clone()
    };
    service.keep_books().await;
    let ScrubPass { files, bytes, damaged, missing, unread, orphans, started, ended } = state.last;
    let seconds = ended - started;
    tracing::info!(
        files,
        bytes,
        damaged,
        missing,
        unread,
        orphans,
        seconds,
        "all files of this storage were read"
    );
    Ok(())
}

/// Reads a file and holds it against its row.
async fn examine(service: &Arc<StorageService>, copy: OwnCopy) {
    let metrics = StorageMetrics::global();
    let Some(path) = service.volume.path(copy.path_index).filter(|path| path.is_answering()).cloned() else {
        return service.scrub.count(|pass| pass.unread += 1);
    };
    let Some(place) = Place::parse(&copy.path) else {
        return service.scrub.count(|pass| pass.unread += 1);
    };
    let Err(error) = read(service, &path, &place, &copy).await else {
        metrics.scrubbed_files.inc();
        metrics.scrubbed_bytes.inc_by(copy.size);
        return service.scrub.count(|pass| {
            pass.files += 1;
            pass.bytes += copy.size;
        });
    };
    // What was deleted or replaced meanwhile is nothing to be found.
    if !matches!(service.files.catalog().has_copy(copy.path_index, &copy.path).await, Ok(true)) {
        return;
    }
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    if !is_missing && !is_damage(&error) {
        tracing::warn!(file = %copy.key, %error, "a file cannot be read");
        return service.scrub.count(|pass| pass.unread += 1);
    }
    metrics.scrub_findings.inc();
    service.scrub.count(|pass| {
        pass.files += 1;
        let found = if is_missing { &mut pass.missing } else { &mut pass.damaged };
        *found += 1;
    });
    let finding = Finding::new(&copy.key, &entry(&copy), &error);
    report(service.files.clone(), path, finding).await;
}

/// What is known of the file, as far as it matters to those who look for damage.
fn entry(copy: &OwnCopy) -> Entry {
    Entry::new(FileRow {
        size: copy.size,
        created_ms: 0,
        crc32: 0,
        blake3: copy.blake3.to_string(),
        content_type: String::new(),
        name: String::new(),
        location: Location::Here { path_index: copy.path_index, path: copy.path.clone() },
    })
}

/// Reads all bytes of a file, at the rate that all of it is held to, and leaves the page cache as it was.
///
/// # Errors
/// I/O errors; [`io::ErrorKind::InvalidData`] if it is not what was stored.
async fn read(
    service: &Arc<StorageService>,
    path: &Arc<StorePath>,
    place: &Place,
    copy: &OwnCopy,
) -> io::Result<()> {
    let source = Arc::new(source::open(path.clone(), place.clone(), copy.size, 0..0).await?);
    let (mut digest, mut buffer) =
        (Digest::default(), vec![0; PIECE.min(usize::try_from(copy.size).unwrap_or(PIECE))]);
    let mut at = 0;
    while at < copy.size {
        let len = buffer.len().min(usize::try_from(copy.size - at).unwrap_or(usize::MAX));
        let file = source.clone();
        let work = move || {
            file.read_aside(&mut buffer[..len], at)?;
            digest.update(&buffer[..len]);
            Ok::<_, io::Error>((digest, buffer))
        };
        let done = match &service.background {
            Some(background) => background.handle().spawn_blocking(work),
            None => spawn_blocking(work),
        };
        (digest, buffer) = done.await.map_err(io::Error::other)??;
        at += len as u64;
        service.scrub.rate.pay(len).await;
    }
    let received = digest.finish();
    if copy.blake3.is_known() && received.blake3 != copy.blake3 {
        let text = format!("the bytes have BLAKE3 {}, the catalog says {}", received.blake3, copy.blake3);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let (path, place, size, blake3) = (path.clone(), place.clone(), copy.size, copy.blake3);
    let keep = move || {
        if !matches!(path.read_sums(&place, size, &blake3), Ok(Some(_))) {
            path.keep_sums(&place, &received.sums, size, &blake3);
        }
    };
    if size > crate::sums::BLOCK {
        let _ = spawn_blocking(keep).await;
    }
    Ok(())
}

/// Counts bytes under final names that no row stands for. They are left where they are: the catalog may be an older one that was
/// restored, and then they are all there is of files that were acknowledged.
async fn count_orphans(service: &StorageService, path: &Arc<StorePath>) -> Result<(), DbError> {
    for folder in folders(path.root().to_owned()).await {
        let places = spawn_blocking(move || settled_in(&folder)).await.unwrap_or_default();
        for place in places {
            if !service.files.catalog().has_copy(path.index(), &place.path()).await? {
                tracing::warn!(path = path.written(), place = place.path(), "bytes that no row stands for");
                service.scrub.count(|pass| pass.orphans += 1);
            }
        }
    }
    Ok(())
}

/// The folders of files below a store path.
async fn folders(root: PathBuf) -> Vec<PathBuf> {
    let list = move || {
        let mut level = vec![root];
        for _ in 0..3 {
            let below = level.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
            let is_digit = |entry: &std::fs::DirEntry| {
                entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| name.len() == 3 && name.bytes().all(|b| b.is_ascii_digit()))
            };
            level = below.flatten().filter(is_digit).map(|entry| entry.path()).collect();
        }
        level.sort();
        level
    };
    spawn_blocking(list).await.unwrap_or_default()
}

/// Files under final names in a folder that have been there for long. Blocks.
fn settled_in(folder: &Path) -> Vec<Place> {
    let place = |entry: std::fs::DirEntry| {
        let touched = entry.metadata().ok().filter(std::fs::Metadata::is_file)?.modified().ok()?;
        if SystemTime::now().duration_since(touched).unwrap_or_default() < SETTLED {
            return None;
        }
        let path = entry.path();
        let parts: Vec<&str> = path.iter().rev().take(4).filter_map(|part| part.to_str()).collect();
        Place::parse(&parts.into_iter().rev().collect::<Vec<_>>().join("/"))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().filter_map(place).collect()
}
