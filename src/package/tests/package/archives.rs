//! Hostile zips: each is refused for what is wrong with it.

use tnv_package::PathFault;
use tnv_package::archive::{ArchiveError, Content, End, EntryFault, Limits, Plan};

/// One entry of a made-up zip. What is not set is that of a small stored file.
#[derive(Clone)]
struct Made {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    data: Vec<u8>,
    size: u32,
    attributes: u32,
    offset: Option<u32>,
    extra: Vec<u8>,
}

fn made(name: &str) -> Made {
    Made {
        name: name.into(),
        flags: 1 << 11,
        method: 0,
        data: b"hello".into(),
        size: 5,
        attributes: 0o100_644 << 16,
        offset: None,
        extra: vec![],
    }
}

fn folder(name: &str) -> Made {
    Made { data: vec![], size: 0, attributes: 0o040_755 << 16 | 0x10, ..made(name) }
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn longs(longs: &[u32]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}

impl Made {
    fn local(&self) -> Vec<u8> {
        let crc32 = crc32fast::hash(b"hello");
        let packed = self.data.len() as u32;
        [
            b"PK\x03\x04".into(),
            words(&[20, self.flags, self.method, 0, 0x21]),
            longs(&[crc32, packed, self.size]),
            words(&[self.name.len() as u16, 0]),
            self.name.clone(),
            self.data.clone(),
        ]
        .concat()
    }

    fn record(&self, offset: u32) -> Vec<u8> {
        let crc32 = crc32fast::hash(b"hello");
        let packed = if self.extra.is_empty() { self.data.len() as u32 } else { u32::MAX };
        [
            b"PK\x01\x02".into(),
            words(&[3 << 8, 20, self.flags, self.method, 0, 0x21]),
            longs(&[crc32, packed, self.size]),
            words(&[self.name.len() as u16, self.extra.len() as u16, 0, 0, 0]),
            longs(&[self.attributes, self.offset.unwrap_or(offset)]),
            self.name.clone(),
            self.extra.clone(),
        ]
        .concat()
    }
}

fn end(entries: u16, len: usize, offset: usize, comment: &[u8]) -> Vec<u8> {
    [
        b"PK\x05\x06".into(),
        words(&[0, 0, entries, entries]),
        longs(&[len as u32, offset as u32]),
        words(&[comment.len() as u16]),
        comment.into(),
    ]
    .concat()
}

fn zip(entries: &[Made]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        directory.extend(entry.record(zip.len() as u32));
        zip.extend(entry.local());
    }
    let end = end(entries.len() as u16, directory.len(), zip.len(), b"");
    [zip, directory, end].concat()
}

fn plan_within(zip: &[u8], limits: &Limits) -> Result<Plan, ArchiveError> {
    let end = End::find(zip, zip.len() as u64)?;
    let directory = end.directory();
    Plan::new(&zip[directory.start as usize..directory.end as usize], &end, limits)
}

fn plan(zip: &[u8]) -> Result<Plan, ArchiveError> {
    plan_within(zip, &Limits::default())
}

fn fault(entry: Made) -> EntryFault {
    match plan(&zip(&[made("before"), entry])) {
        Err(ArchiveError::Entry { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_zip_becomes_a_plan() {
    let deflated = Made { method: 8, ..made("会议/b") };
    let bytes = zip(&[folder("会议/"), made("a"), deflated]);
    let plan = plan(&bytes).unwrap();
    let entries: Vec<_> =
        plan.entries().iter().map(|entry| (entry.path.as_str(), entry.content, entry.size)).collect();
    assert_eq!(
        entries,
        [("会议", Content::Folder, 0), ("a", Content::Stored, 5), ("会议/b", Content::Deflated, 5)]
    );
    assert_eq!(plan.total(), 10);
    let entry = &plan.entries()[1];
    let data = entry.data(&bytes[entry.header_offset as usize..]).unwrap();
    assert_eq!(&bytes[data.start as usize..data.end as usize], b"hello");
}

#[test]
fn entries_that_lead_elsewhere() {
    for (name, path) in [
        ("../a", PathFault::Dots),
        ("a/../../b", PathFault::Dots),
        ("/etc/passwd", PathFault::Absolute),
        ("C:\\a", PathFault::Colon),
        ("a\\b", PathFault::Backslash),
        ("a\0.txt", PathFault::Control),
        ("nul", PathFault::Device),
        ("", PathFault::Empty),
        ("/", PathFault::Empty),
        ("a//", PathFault::EmptyComponent),
        ("a/./", PathFault::Dots),
    ] {
        let entry = if name.ends_with('/') { folder(name) } else { made(name) };
        assert_eq!(fault(entry), EntryFault::Path(path), "{name:?}");
    }
    let link = Made { attributes: 0o120_777 << 16, ..made("a") };
    assert_eq!(fault(link), EntryFault::Special);
}

#[test]
fn entries_that_are_no_files() {
    for (entry, expected) in [
        (Made { attributes: 0o120_777 << 16, ..folder("a/") }, EntryFault::Special),
        (Made { attributes: 0o010_644 << 16, ..made("a") }, EntryFault::Special),
        (Made { attributes: 0o040_755 << 16, ..made("a") }, EntryFault::Special),
        (Made { attributes: 0x400, ..made("a") }, EntryFault::Special),
        (Made { flags: 1, ..made("a") }, EntryFault::Encrypted),
        (Made { flags: 1 << 6 | 1, ..made("a") }, EntryFault::Encrypted),
        (Made { flags: 1 << 13, ..made("a") }, EntryFault::Encrypted),
        (Made { method: 99, ..made("a") }, EntryFault::Method(99)),
        (Made { method: 12, ..made("a") }, EntryFault::Method(12)),
        (Made { method: 99, ..folder("a/") }, EntryFault::Method(99)),
        (Made { name: b"\xbb\xe1.txt".into(), ..made("") }, EntryFault::NotUtf8),
        (Made { size: 6, ..made("a") }, EntryFault::StoredLength),
        (Made { size: 5, data: b"hello".into(), ..folder("a/") }, EntryFault::FolderBytes),
        (Made { extra: words(&[1, 4, 0, 0]), ..made("a") }, EntryFault::Zip64),
        (Made { extra: words(&[1, 9, 0]), ..made("a") }, EntryFault::Zip64),
        (Made { extra: words(&[7, 2, 0]), ..made("a") }, EntryFault::Zip64),
    ] {
        assert_eq!(fault(entry), expected);
    }
    let dos = Made { attributes: 0x20, ..made("a") };
    assert!(plan(&zip(&[dos, Made { attributes: 0, ..made("b") }])).is_ok());
}

#[test]
fn bombs() {
    let zeros = Made { method: 8, size: 1 << 30, data: vec![0; 1 << 20], ..made("a") };
    assert_eq!(fault(zeros.clone()), EntryFault::Ratio(200));
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let wide = limits(|limits| limits.ratio = 1100);
    assert!(plan_within(&zip(&[zeros]), &wide).is_ok());

    let small = zip(&[Made { method: 8, size: 1 << 20, ..made("a") }, made("b")]);
    assert!(plan(&small).is_ok());
    let total = plan_within(&small, &limits(|limits| limits.total = (1 << 20) + 4));
    assert_eq!(total, Err(ArchiveError::TooLarge { name: "b".into(), limit: (1 << 20) + 4 }));
    let entries = plan_within(&small, &limits(|limits| limits.entries = 1));
    assert_eq!(entries, Err(ArchiveError::TooManyEntries { entries: 2, limit: 1 }));
    let directory = plan_within(&small, &limits(|limits| limits.directory = 93));
    assert_eq!(directory, Err(ArchiveError::LargeDirectory { len: 94, limit: 93 }));
}

#[test]
fn entries_within_each_other() {
    // Every entry points to the same bytes.
    let same = [made("a"), Made { offset: Some(0), ..made("b") }];
    assert!(matches!(plan(&zip(&same)), Err(ArchiveError::Overlap { .. })));
    // The second begins in the bytes of the first, which quote its header.
    let mut quoting = made("a");
    quoting.data = made("b").local();
    quoting.size = quoting.data.len() as u32;
    let quoted = [quoting, Made { offset: Some(31), ..made("b") }];
    let overlap = ArchiveError::Overlap { name: "b".into(), with: "a".into() };
    assert_eq!(plan(&zip(&quoted)), Err(overlap));
    let behind = Made { offset: Some(u32::MAX - 1), ..made("a") };
    assert_eq!(fault(behind), EntryFault::Outside);
}

#[test]
fn names_that_are_one_somewhere() {
    for pair in [
        [made("a"), made("a")],
        [made("a"), made("A")],
        [made("é"), made("e\u{301}")],
        [made("a"), folder("a/")],
        [made("a"), made("a/b")],
    ] {
        assert!(matches!(plan(&zip(&pair)), Err(ArchiveError::Collision(_))));
    }
    assert!(plan(&zip(&[folder("a/"), made("a/b"), folder("a/")])).is_ok());
}

#[test]
fn headers_that_say_something_else() {
    let good = zip(&[made("a"), made("b")]);
    let plan = plan(&good).unwrap();
    let entry = &plan.entries()[0];
    assert_eq!(entry.data(&good[..entry.header_len()]).unwrap(), 31..36);
    let header = |change: fn(&mut Vec<u8>)| {
        let mut header = good[..entry.header_len()].to_vec();
        change(&mut header);
        match entry.data(&header) {
            Err(ArchiveError::Entry { name, fault }) if name == "a" => fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(header(|header| header.clear()), EntryFault::Header);
    assert_eq!(header(|header| header.truncate(30)), EntryFault::Header);
    assert_eq!(header(|header| header[0] = 0), EntryFault::Header);
    assert_eq!(header(|header| header[6] |= 1), EntryFault::Header);
    assert_eq!(header(|header| header[8] = 8), EntryFault::Header);
    assert_eq!(header(|header| header[26] = 2), EntryFault::Header);
    assert_eq!(header(|header| header[30] = b'b'), EntryFault::Header);
    assert_eq!(header(|header| header[28] = 1), EntryFault::Outside);
}

#[test]
fn ends_that_are_none() {
    let find = |bytes: &[u8]| End::find(bytes, bytes.len() as u64);
    let good = zip(&[made("a")]);
    assert_eq!(find(&good).unwrap().entries(), 1);
    assert_eq!(find(b""), Err(ArchiveError::NoEnd));
    assert_eq!(find(b"hello"), Err(ArchiveError::NoEnd));
    assert_eq!(find(&good[..good.len() - 1]), Err(ArchiveError::NoEnd));
    assert_eq!(find(&[&good[..], b"x"].concat()), Err(ArchiveError::NoEnd));
    assert_eq!(find(&[b"#!/bin/sh\n", &good[..]].concat()), Err(ArchiveError::Misplaced));
    assert_eq!(End::find(&good, 3), Err(ArchiveError::NoEnd));
    let mut parts = good.clone();
    parts[good.len() - 18] = 1;
    assert_eq!(find(&parts), Err(ArchiveError::Parts));

    // A comment may be there, up to the longest, with an end in it that is none.
    let body = &good[..good.len() - 22];
    for comment in [b"a comment".to_vec(), vec![b'x'; 65_535], [end(9, 9, 9, b""), b"x".into()].concat()] {
        let end = end(1, 47, 36, &comment);
        let zip = [body, &end].concat();
        let tail = &zip[zip.len().saturating_sub(End::TAIL_LEN as usize)..];
        assert_eq!(End::find(tail, zip.len() as u64).unwrap().directory(), 36..83);
    }
}

#[test]
fn counts_that_lie_take_no_memory() {
    let record = made("a").record(0);
    for entries in [0_u16, 2, 65_535] {
        let zip = [made("a").local(), record.clone(), end(entries, record.len(), 36, b"")].concat();
        assert!(matches!(plan(&zip), Err(ArchiveError::Directory { .. })), "{entries}");
    }
    let wide = |entries: u64| {
        let counts = [entries, entries, record.len() as u64, 36].map(u64::to_le_bytes).concat();
        [
            made("a").local(),
            record.clone(),
            b"PK\x06\x06".into(),
            44_u64.to_le_bytes().into(),
            [0; 12].into(),
            counts,
            b"PK\x06\x07".into(),
            longs(&[0, 36 + record.len() as u32, 0, 1]),
            end(u16::MAX, record.len(), 36, b""),
        ]
        .concat()
    };
    let unlimited = Limits { entries: u64::MAX, ..Limits::default() };
    assert_eq!(plan_within(&wide(1), &unlimited).unwrap().entries().len(), 1);
    for entries in [2, 1 << 40, u64::MAX] {
        let plan = plan_within(&wide(entries), &unlimited);
        assert!(matches!(plan, Err(ArchiveError::Directory { .. })), "{entries}");
    }
    let mut elsewhere = wide(1);
    let locator = elsewhere.len() - 22 - 12;
    elsewhere[locator] += 1;
    assert_eq!(plan(&elsewhere), Err(ArchiveError::Zip64));
    let mut other = wide(1);
    let narrow_len = other.len() - 10;
    other[narrow_len] += 1;
    assert_eq!(plan(&other), Err(ArchiveError::Zip64));
}
