//! Zips of others, and our own: a plan of what may be extracted from one, made of its directory alone.
//!
//! Whoever extracts reads the file's last [`End::TAIL_LEN`] bytes (or the whole file if it is shorter) for an [`End`], then
//! the directory that it points to for a [`Plan`], then for each entry the header that tells where its bytes begin
//! ([`Entry::data`]). What the plan has can be created below any folder and stays there, overwrites nothing of its own,
//! and is not more than the [`Limits`] allow, provided that the extractor
//!
//! - creates files only where none is, and follows no symbolic link;
//! - stops inflating behind [`Entry::size`] bytes, for a directory can lie about that;
//! - compares [`Entry::crc32`] at the end.
//!
//! A zip that could be read in two ways is refused: other bytes before its first entry or around its directory, entries
//! within each other, a name in the header that is not the directory's.
//!
//! ```
//! use tnv_package::archive::{Content, End, Limits, Plan};
//!
//! # use tnv_package::{Layout, Manifest, Meeting, MeetingId, Segment};
//! # let meeting = Meeting {
//! #     id: MeetingId::new("1")?, title: "".into(), time: None, intro: None, agenda_items: vec![],
//! # };
//! # let layout = Layout::of(&Manifest::new(meeting, vec![])?);
//! # let zip: Vec<u8> = layout.segments(0..layout.len()).flat_map(|segment| match segment {
//! #     Segment::Bytes(bytes) => bytes,
//! #     Segment::Member { .. } => unreachable!(),
//! # }).collect();
//! let len = zip.len() as u64;
//! let tail = &zip[len.saturating_sub(End::TAIL_LEN) as usize..];
//! let limits = Limits::default();
//! let end = End::find(tail, len)?;
//! end.check(&limits)?;
//! let directory = end.directory();
//! let plan = Plan::new(&zip[directory.start as usize..directory.end as usize], &end, &limits)?;
//!
//! let entry = &plan.entries()[0];
//! assert_eq!((entry.path.as_str(), entry.content), ("metadata.json", Content::Stored));
//! let header = &zip[entry.header_offset as usize..][..entry.header_len()];
//! let data = entry.data(header)?;
//! assert_eq!(data.end - data.start, entry.size);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::arithmetic_side_effects)]

mod end;
mod entry;
mod error;
mod plan;

pub use end::End;
pub use entry::{Content, Entry};
pub use error::{ArchiveError, EntryFault};
pub use plan::{Limits, Plan};
