//! Packages for tests.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use tnv_package::{Layout, Manifest, Meeting, MeetingId, Member, MemberPath, Names, Segment};

pub(crate) fn meeting() -> Meeting {
    Meeting {
        id: MeetingId::new("m-1").unwrap(),
        title: "预算会议".into(),
        time: Some("2024-05-15 10:00".into()),
        intro: None,
        agenda_items: vec![json!({"title": "预算", "position": 1})],
    }
}

pub(crate) fn member(id: &str, path: &str, bytes: &[u8]) -> Member {
    Member {
        id: id.into(),
        path: MemberPath::new(path).unwrap(),
        size: bytes.len() as u64,
        content_type: "text/plain".into(),
        crc32: crc32fast::hash(bytes),
        blake3: blake3::hash(bytes),
    }
}

/// A package with the bytes of its members, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) layout: Layout,
    pub(crate) files: Vec<Vec<u8>>,
}

impl Package {
    /// Of files with these paths and bytes.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Package {
        let mut files = files.to_vec();
        files.sort();
        let members = files.iter().enumerate().map(|(n, (path, bytes))| member(&n.to_string(), path, bytes));
        let manifest = Manifest::new(meeting(), members.collect()).unwrap();
        let files = files.iter().map(|(_, bytes)| bytes.to_vec()).collect();
        Package { layout: Layout::of(&manifest), files }
    }

    pub(crate) fn read(&self, range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for segment in self.layout.segments(range) {
            assert_ne!(segment.len(), 0);
            match segment {
                Segment::Bytes(bytes) => out.extend_from_slice(&bytes),
                Segment::Member { index, offset, len } => {
                    out.extend_from_slice(&self.files[index][offset as usize..(offset + len) as usize]);
                }
            }
        }
        out
    }

    pub(crate) fn whole(&self) -> Vec<u8> {
        self.read(0..self.layout.len())
    }
}

/// Up to a dozen files with any names and bytes.
pub(crate) fn package() -> impl Strategy<Value = Package> {
    let name = prop_oneof!["[a-c/]{1,6}", "[会议一二/]{1,5}\\.pdf", any::<String>()];
    vec((name, vec(any::<u8>(), 0..300)), 0..12).prop_map(|files| {
        let mut paths = Vec::new();
        for (name, _) in &files {
            let mut names = Names::default();
            paths.iter().for_each(|path| names.insert(path).unwrap());
            let free = names.free(&MemberPath::cleaned(name));
            paths.push(free);
        }
        let files: Vec<_> =
            paths.iter().zip(&files).map(|(path, (_, bytes))| (path.as_str(), bytes.as_slice())).collect();
        Package::new(&files)
    })
}

/// The CRC32 of so many zeros, without making them.
pub(crate) fn crc32_of_zeros(len: u64) -> u32 {
    let zeros = |len: usize| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&vec![0; len]);
        hasher
    };
    let (block, mut whole) = (zeros(1 << 20), zeros((len & 0xf_ffff) as usize));
    (0..len >> 20).for_each(|_| whole.combine(&block));
    whole.finalize()
}

/// A member of zeros; its BLAKE3 is made up.
pub(crate) fn member_of_zeros(id: &str, path: &str, size: u64) -> Member {
    let blake3 = if size == 0 { blake3::hash(b"") } else { blake3::Hash::from_bytes([7; 32]) };
    Member { size, crc32: crc32_of_zeros(size), blake3, ..member(id, path, b"") }
}
