//! A meeting's package, as far as no bytes of its files are needed: what is in it, what its files may be called, and where
//! each byte of its zip lies before the zip is there.
//!
//! The hub sends a package while it reads the members from the cluster, a node builds the same bytes from members that
//! it fetched, and a client takes them apart. None of that is in here: this crate does no I/O, reads no clock and keeps
//! no member's bytes. docs/protocol.md, "Packages", describes the format.
//!
//! - **Hub.** [`MemberPath::cleaned`] and [`Names::free`] give an upload its path; [`Manifest::new`] checks the whole;
//!   [`Layout::of`] tells length, CRC32 and ETag; [`Layout::segments`] turns the range of a GET into pieces, of which those of
//!   members are read from the cluster; [`SyncAnswer::new`] is what nodes get. A layout is made once for each version and
//!   kept: a clone costs nothing.
//! - **Node.** [`SyncAnswer::check`] makes a layout of the hub's answer, or says what in it is not true. The members are
//!   fetched and held against [`Member::blake3`]; `segments(0..len)` then writes the zip from them, and a [`Verifier`] watches
//!   it, or whatever comes in from the hub.
//! - **Client.** [`archive`] reads the directory of any zip and plans its extraction; [`Manifest::from_metadata`] knows what
//!   each file of a package must be.
//!
//! ```
//! use serde_json::json;
//! use tnv_package::{Layout, Manifest, Meeting, MeetingId, Member, MemberPath, Names, Segment, Verifier};
//!
//! // An upload gets a path that is good and free.
//! let mut names = Names::default();
//! let path = names.free(&MemberPath::cleaned("议程/第一项: 预算.txt"));
//! assert_eq!(path.as_str(), "议程/第一项_ 预算.txt");
//! names.insert(&path)?;
//!
//! // What is known of its bytes when they are stored.
//! let bytes = b"hello";
//! let member = Member {
//!     id: "1".into(),
//!     path: path.clone(),
//!     size: bytes.len() as u64,
//!     content_type: "text/plain".into(),
//!     crc32: crc32fast::hash(bytes),
//!     blake3: blake3::hash(bytes),
//! };
//! let meeting = Meeting {
//!     id: MeetingId::new("m-1")?,
//!     title: "预算会议".into(),
//!     time: Some("2024-05-15 10:00".into()),
//!     intro: None,
//!     agenda_items: vec![json!({"title": "预算", "position": 1})],
//! };
//!
//! // From here on everything is known: length, CRC32, ETag, and what any range is made of.
//! let layout = Layout::of(&Manifest::new(meeting, vec![member])?);
//! let mut zip = Vec::new();
//! for segment in layout.segments(0..layout.len()) {
//!     match segment {
//!         Segment::Bytes(bytes) => zip.extend_from_slice(&bytes),
//!         Segment::Member { index, offset, len } => {
//!             assert_eq!(layout.manifest().members()[index].id, "1");
//!             zip.extend_from_slice(&bytes[offset as usize..][..len as usize]);
//!         }
//!     }
//! }
//! assert_eq!((zip.len() as u64, crc32fast::hash(&zip)), (layout.len(), layout.crc32()));
//!
//! // Whoever gets it can tell that it is right, while it arrives.
//! let mut verifier = Verifier::new(&layout);
//! for piece in zip.chunks(100) {
//!     verifier.update(piece)?;
//! }
//! verifier.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod archive;
mod canonical;
mod cleaned;
mod file_entry;
mod layout;
mod manifest;
mod meeting_id;
mod metadata;
mod names;
mod path;
mod record;
mod sync;
mod verify;

pub use canonical::integer;
pub use file_entry::{FileEntry, FileError, crc32_digits};
pub use layout::{Layout, Segment, Segments};
pub use manifest::{
    MAX_CONTENT_TYPE_LEN, MAX_MEMBER_ID_LEN, MAX_MEMBERS_LEN, Manifest, ManifestError, Meeting, Member,
};
pub use meeting_id::{BadMeetingId, MeetingId};
pub use metadata::MetadataError;
pub use names::{Collision, Names, collisions};
pub use path::{BadPath, MemberPath, PathFault};
pub use sync::{PackageEntry, SyncAnswer, SyncError};
pub use verify::{Mismatch, Verifier};
