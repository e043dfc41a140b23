//! Where everything lies in a package, before a byte of it is there.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::Manifest;
use crate::metadata::{METADATA_NAME, render};
use crate::record::{Record, end};

/// Where members lie in a package.
const FOLDER: &str = "files/";

/// The largest piece of the central directory that is made at once, in bytes, but for the record that fills it.
const DIRECTORY_PIECE: usize = 64 << 10;

/// The zip of a manifest: its length, its CRC32 and where everything lies in it.
///
/// First `metadata.json`, then the members under `files/` in the manifest's order, all stored as they are, then the
/// central directory. Making a layout takes one pass over the manifest and keeps 16 bytes for each member beside it,
/// and `metadata.json`. All else is made when a range asks for it. A clone costs nothing.
#[derive(Debug, Clone)]
pub struct Layout(Arc<Plan>);

#[derive(Debug)]
struct Plan {
    manifest: Manifest,
    metadata: Bytes,
    metadata_crc32: u32,
    /// Where the header of each entry begins; `metadata.json` is entry 0.
    headers: Vec<u64>,
    /// Where the record of each entry begins in the central directory.
    records: Vec<u64>,
    directory: Range<u64>,
    end: Bytes,
    len: u64,
    crc32: u32,
}

/// A piece of a package, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes.
    Bytes(Bytes),
    /// Bytes of a member, as they are.
    Member {
        /// Which one of [`Manifest::members`].
        index: usize,
        /// Where they begin in the member.
        offset: u64,
        /// How many they are.
        len: u64,
    },
}

impl Segment {
    /// Its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> u64 {
        match self {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::Member { len, .. } => *len,
        }
    }
}

impl Layout {
    /// Lays a manifest out. The same manifest always becomes the same bytes.
    pub fn of(manifest: &Manifest) -> Layout {
        let metadata = render(manifest);
        let entries = manifest.members().len() + 1;
        let mut plan = Plan {
            manifest: manifest.clone(),
            metadata_crc32: crc32fast::hash(&metadata),
            metadata,
            headers: Vec::with_capacity(entries),
            records: Vec::with_capacity(entries),
            directory: 0..0,
            end: Bytes::new(),
            len: 0,
            crc32: 0,
        };
        let mut crc32 = crc32fast::Hasher::new();
        plan.place_entries(entries, &mut crc32);
        plan.place_directory(entries, &mut crc32);
        let (at, len) = (plan.directory.start, plan.directory.end - plan.directory.start);
        plan.end = end(entries as u64, at, len);
        crc32.update(&plan.end);
        plan.len = plan.directory.end + plan.end.len() as u64;
        plan.crc32 = crc32.finalize();
        Layout(Arc::new(plan))
    }

    /// The manifest that it lays out.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The length of the package, in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a package is never empty")]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// The CRC32 of the whole package.
    pub fn crc32(&self) -> u32 {
        self.0.crc32
    }

    /// The bytes of `metadata.json`.
    pub fn metadata(&self) -> &Bytes {
        &self.0.metadata
    }

    /// Where a member's bytes lie in the package; `None` if there is no member with this index.
    pub fn member_range(&self, index: usize) -> Option<Range<u64>> {
        let member = self.0.manifest.members().get(index)?;
        let start = *self.0.headers.get(index + 1)? + self.0.record(index + 1)?.header_len();
        Some(start..start + member.size)
    }

    /// The pieces that a range of the package is made of, in order, and nothing else. What of the range lies behind the
    /// end is left out; whether a request may ask for that is for the caller to say, who knows [`len`](Self::len).
    ///
    /// Each step of the iterator is a search among the entries and makes at most one header or some 64 KiB of the central
    /// directory. A segment of a member may have any length.
    pub fn segments(&self, range: Range<u64>) -> Segments {
        Segments { layout: self.clone(), at: range.start, end: range.end.min(self.len()) }
    }
}

impl Plan {
    /// Lays the entries out from the package's beginning.
    fn place_entries(&mut self, entries: usize, crc32: &mut crc32fast::Hasher) {
        for index in 0..entries {
            self.headers.push(self.len);
            let Some(record) = self.record(index) else { continue };
            let next = self.len + record.header_len() + record.size;
            crc32.update(&record.header());
            crc32.combine(&crc32fast::Hasher::new_with_initial_len(record.crc32, record.size));
            self.len = next;
        }
    }

    /// Lays the central directory out behind the entries.
    fn place_directory(&mut self, entries: usize, crc32: &mut crc32fast::Hasher) {
        let start = self.len;
        let mut text = BytesMut::new();
        for index in 0..entries {
            self.records.push(self.len);
            let Some(record) = self.record(index) else { continue };
            let next = self.len + record.directory_len();
            text.clear();
            record.put_directory(&mut text);
            crc32.update(&text);
            self.len = next;
        }
        self.directory = start..self.len;
    }

    /// What the records of an entry say.
    fn record(&self, entry: usize) -> Option<Record<'_>> {
        let offset = *self.headers.get(entry)?;
        let Some(index) = entry.checked_sub(1) else {
            let (size, crc32) = (self.metadata.len() as u64, self.metadata_crc32);
            return Some(Record { folder: "", name: METADATA_NAME, size, crc32, offset });
        };
        let member = self.manifest.members().get(index)?;
        let (name, size, crc32) = (member.path.as_str(), member.size, member.crc32);
        Some(Record { folder: FOLDER, name, size, crc32, offset })
    }

    /// The piece of `at..end` that begins at `at`, which lies before the central directory.
    fn entry_piece(&self, at: u64, end: u64) -> Option<Segment> {
        let entry = last_at_most(&self.headers, at)?;
        let record = self.record(entry)?;
        let (inside, header_len) = (at - record.offset, record.header_len());
        let end = end.min(record.offset + header_len + record.size) - record.offset;
        if inside < header_len {
            return Some(Segment::Bytes(cut(record.header(), inside, end.min(header_len))));
        }
        let (from, to) = (inside - header_len, end - header_len);
        Some(match entry.checked_sub(1) {
            None => Segment::Bytes(cut(self.metadata.clone(), from, to)),
            Some(index) => Segment::Member { index, offset: from, len: to - from },
        })
    }

    /// The same within the central directory.
    fn directory_piece(&self, at: u64, end: u64) -> Option<Segment> {
        let first = last_at_most(&self.records, at)?;
        let start = *self.records.get(first)?;
        let mut piece = BytesMut::new();
        let enough = |piece: &BytesMut| piece.len() >= DIRECTORY_PIECE || start + piece.len() as u64 >= end;
        for entry in first..self.records.len() {
            self.record(entry)?.put_directory(&mut piece);
            if enough(&piece) {
                break;
            }
        }
        Some(Segment::Bytes(cut(piece.freeze(), at - start, end - start)))
    }
}

/// The pieces of a range of a package; see [`Layout::segments`].
#[derive(Debug, Clone)]
pub struct Segments {
    layout: Layout,
    at: u64,
    end: u64,
}

impl Iterator for Segments {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        if self.at >= self.end {
            return None;
        }
        let plan = &*self.layout.0;
        let segment = if self.at < plan.directory.start {
            plan.entry_piece(self.at, self.end)?
        } else if self.at < plan.directory.end {
            plan.directory_piece(self.at, self.end.min(plan.directory.end))?
        } else {
            let behind = plan.directory.end;
            Segment::Bytes(cut(plan.end.clone(), self.at - behind, self.end - behind))
        };
        self.at += segment.len();
        Some(segment)
    }
}

impl std::iter::FusedIterator for Segments {}

/// The index of the last of the rising offsets that is not behind `at`.
fn last_at_most(offsets: &[u64], at: u64) -> Option<usize> {
    offsets.partition_point(|offset| *offset <= at).checked_sub(1)
}

/// The bytes from `from` up to `to`, or as many of them as there are.
fn cut(bytes: Bytes, from: u64, to: u64) -> Bytes {
    let to = to.min(bytes.len() as u64);
    bytes.slice(from.min(to) as usize..to as usize)
}
