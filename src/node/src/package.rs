//! A finished package: what it is says its own beginning.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use tnv_common::disk::{Disk, DiskFile};
use tnv_package::{Layout, Manifest, Segment};

use crate::plan::{Contents, Source};

/// What stands in front of the bytes of `metadata.json`, and where its length is in that.
const HEADER: usize = 43;
const NAME: &[u8] = b"metadata.json";
/// The longest `metadata.json`, in bytes: some hundred thousand files.
const MAX_METADATA: u32 = 128 * 1024 * 1024;

/// A file that should be a package and is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is damaged, or somebody else's.
    #[error("it is not a whole package: {0}")]
    Not(String),
}

/// A package that is served.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) layout: Layout,
    /// Read at explicit offsets, by many at once; it stays readable when its name is gone.
    pub(crate) file: Arc<DiskFile>,
    /// When it was last asked for, in milliseconds since 1970.
    used_ms: AtomicI64,
    readers: AtomicUsize,
    /// It was found when the node started, and its meeting has not run since.
    inherited: AtomicBool,
    /// Its bytes were found to be others than its manifest says.
    damaged: AtomicBool,
}

impl Package {
    /// A package that has just been finished.
    pub(crate) fn new(layout: Layout, file: Arc<DiskFile>, now_ms: i64) -> Package {
        Package {
            layout,
            file,
            used_ms: AtomicI64::new(now_ms),
            readers: AtomicUsize::new(0),
            inherited: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        }
    }

    /// Opens a package of an earlier run. Everything but the members' bytes is compared.
    ///
    /// # Errors
    /// [`Unreadable`] if it is none.
    pub(crate) fn open(path: &Path, disk: &Disk) -> Result<Package, Unreadable> {
        let file = File::open(path)?;
        let layout = layout_of(&file)?;
        let metadata = file.metadata()?;
        if metadata.len() != layout.len() {
            let message = format!("it has {} bytes of {}", metadata.len(), layout.len());
            return Err(Unreadable::Not(message));
        }
        for (at, bytes) in frame(&layout) {
            let mut found = vec![0; bytes.len()];
            file.read_exact_at(&mut found, at)?;
            if found != bytes {
                return Err(Unreadable::Not(format!("its records differ at byte {at}")));
            }
        }
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let used_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let file = DiskFile::new(file, layout.len(), disk.clone());
        let package = Package::new(layout, Arc::new(file), used_ms);
        package.inherited.store(true, Ordering::Relaxed);
        Ok(package)
    }

    /// The version as the hub writes it.
    pub(crate) fn version(&self) -> blake3::Hash {
        self.layout.manifest().version()
    }

    /// Counts a reader until the guard is dropped.
    pub(crate) fn read(self: &Arc<Package>, now_ms: i64) -> Reading {
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.readers.fetch_add(1, Ordering::Relaxed);
        Reading(self.clone())
    }

    pub(crate) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn used_ms(&self) -> i64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.inherited.load(Ordering::Relaxed)
    }

    /// Its meeting runs.
    pub(crate) fn seen_active(&self) {
        self.inherited.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Its bytes are not what they should be.
    pub(crate) fn seen_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Its members as a source for the next version.
    pub(crate) fn source(&self) -> Source {
        source(&self.layout, |_| true)
    }
}

/// Somebody who reads a package.
#[derive(Debug)]
pub(crate) struct Reading(Arc<Package>);

impl Reading {
    pub(crate) fn package(&self) -> &Package {
        &self.0
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The members of a layout as a source: those that `has` them all.
pub(crate) fn source(layout: &Layout, has: impl Fn(usize) -> bool) -> Source {
    let ranges = (0..).map_while(|index| layout.member_range(index));
    let members = contents(layout).into_iter().zip(ranges).enumerate();
    let members = members.filter(|(index, _)| has(*index)).map(|(_, (of, range))| (of, range.start));
    Source { members: members.collect() }
}

/// What the members of a layout are.
pub(crate) fn contents(layout: &Layout) -> Vec<Contents> {
    layout.manifest().members().iter().map(|member| (member.size, member.blake3)).collect()
}

/// All of a package that is not of its members, piece by piece.
pub(crate) fn frame(layout: &Layout) -> impl Iterator<Item = (u64, bytes::Bytes)> {
    let mut at = 0;
    layout.segments(0..layout.len()).filter_map(move |segment| {
        let start = at;
        at += segment.len();
        match segment {
            Segment::Bytes(bytes) => Some((start, bytes)),
            Segment::Member { .. } => None,
        }
    })
}

/// Reads what a package, finished or not, is to be.
///
/// # Errors
/// [`Unreadable`] if it does not begin like one.
pub(crate) fn layout_of(file: &File) -> Result<Layout, Unreadable> {
    let none = || Unreadable::Not("it does not begin with metadata.json".to_owned());
    let mut header = [0; HEADER];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(none()),
        read => read?,
    }
    let len = u32::from_le_bytes([header[18], header[19], header[20], header[21]]);
    if !header.ends_with(NAME) || len > MAX_METADATA {
        return Err(none());
    }
    let mut metadata = vec![0; len as usize];
    match file.read_exact_at(&mut metadata, HEADER as u64) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(none()),
        read => read?,
    }
    let manifest = Manifest::from_metadata(&metadata).map_err(|error| Unreadable::Not(error.to_string()))?;
    Ok(Layout::of(&manifest))
}
