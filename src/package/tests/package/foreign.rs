//! Our zips in another library, another's zips in our reader, and any bytes in it.

use std::io::{Cursor, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tnv_package::archive::{Content, End, Limits, Plan};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::made::package;

/// The plan of a zip, and the header of each entry looked at; whatever comes out of it.
fn look(zip: &[u8]) -> Option<Plan> {
    let end = End::find(&zip[zip.len().saturating_sub(End::TAIL_LEN as usize)..], zip.len() as u64).ok()?;
    let directory = end.directory();
    let directory = zip.get(directory.start as usize..directory.end as usize)?;
    let plan = Plan::new(directory, &end, &Limits::default()).ok()?;
    for entry in plan.entries() {
        let header = zip.get(entry.header_offset as usize..).unwrap_or_default();
        if let Ok(data) = entry.data(header) {
            assert!(data.end as usize <= zip.len());
        }
    }
    Some(plan)
}

/// The entries as the other library has them: names and contents.
fn read(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let entries = 0..archive.len();
    let read = entries.map(|n| {
        let mut entry = archive.by_index(n).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    });
    read.collect()
}

proptest! {
    #[test]
    fn another_library_reads_a_package(package in package()) {
        let members = package.layout.manifest().members();
        let members = members.iter().map(|member| format!("files/{}", member.path));
        let mut expected: Vec<_> = members.zip(package.files.iter().cloned()).collect();
        expected.insert(0, ("metadata.json".into(), package.layout.metadata().to_vec()));
        prop_assert_eq!(read(&package.whole()), expected);
    }

    #[test]
    fn our_reader_reads_a_package(package in package()) {
        let whole = package.whole();
        let plan = look(&whole).unwrap();
        for (entry, member) in plan.entries()[1..].iter().zip(package.layout.manifest().members()) {
            prop_assert_eq!(entry.path.as_str(), format!("files/{}", member.path));
            prop_assert_eq!((entry.size, entry.crc32, entry.content), (member.size, member.crc32, Content::Stored));
        }
        for (n, entry) in plan.entries()[1..].iter().enumerate() {
            let data = entry.data(&whole[entry.header_offset as usize..]).unwrap();
            prop_assert_eq!(Some(data), package.layout.member_range(n));
        }
        prop_assert_eq!(plan.entries().len(), package.files.len() + 1);
    }

    #[test]
    fn our_reader_reads_what_another_library_wrote(
        files in prop::collection::btree_map("[a-f会]{1,8}", vec(0..3_u8, 0..2000), 0..8),
        deflate in any::<bool>(), large in any::<bool>(), comment in "[a-z]{0,20}",
    ) {
        let method = if deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method).large_file(large);
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.set_comment(comment).unwrap();
        for (name, bytes) in &files {
            writer.start_file(name.as_str(), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        let zip = writer.finish().unwrap().into_inner();
        let plan = look(&zip).unwrap();
        prop_assert_eq!(plan.entries().len(), files.len());
        for (entry, (name, bytes)) in plan.entries().iter().zip(&files) {
            prop_assert_eq!(entry.path.as_str(), name);
            prop_assert_eq!((entry.size, entry.crc32), (bytes.len() as u64, crc32fast::hash(bytes)));
            let data = entry.data(&zip[entry.header_offset as usize..]).unwrap();
            prop_assert_eq!(data.end - data.start, entry.packed);
            if entry.content == Content::Stored {
                prop_assert_eq!(&zip[data.start as usize..data.end as usize], bytes);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(zip in vec(any::<u8>(), 0..2000)) {
        look(&zip);
    }

    #[test]
    fn any_bytes_between_records_are_read_or_refused(
        pieces in vec((0..6_usize, vec(prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()], 0..60)), 0..12)
    ) {
        let marks: [&[u8]; 6] = [b"", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"];
        let zip: Vec<u8> = pieces.iter().flat_map(|(mark, bytes)| [marks[*mark], bytes].concat()).collect();
        look(&zip);
    }

    #[test]
    fn a_changed_package_is_read_or_refused(
        package in package(), changes in vec((any::<Index>(), any::<u8>()), 1..6), from in any::<Index>(),
    ) {
        let mut whole = package.whole();
        let directory = End::find(&whole, whole.len() as u64).unwrap().directory();
        for (at, byte) in &changes {
            let behind = whole.len() - directory.start as usize;
            whole[directory.start as usize + at.index(behind)] = *byte;
        }
        look(&whole);
        look(&whole[from.index(whole.len())..]);
        // Any bytes as a directory, with an end that fits.
        let end = End::find(&package.whole(), package.layout.len()).unwrap();
        let changed = &whole[directory.start as usize..directory.end as usize];
        let _ = Plan::new(changed, &end, &Limits::default());
    }
}
