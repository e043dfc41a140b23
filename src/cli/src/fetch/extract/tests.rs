use std::io::Cursor;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::error::Kind;

/// A package with these members; those that end in a slash are folders.
fn package(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        if name.ends_with('/') {
            writer.add_directory(*name, options).unwrap();
            continue;
        }
        writer.start_file(*name, options).unwrap();
        writer.write_all(contents).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn unpack(package: &[u8]) -> (tempfile::TempDir, Result<u64, Error>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package.zip");
    fs::write(&path, package).unwrap();
    let outcome = extract(&path, &folder.path().join("out"), &|| false);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, if outcome.is_ok() { 2 } else { 1 }, "nothing half-done stays");
    (folder, outcome)
}

#[test]
fn members_are_written_where_they_belong() {
    let (folder, outcome) =
        unpack(&package(&[("metadata.json", b"{}"), ("files/", b""), ("files/a/b.txt", b"text")]));
    assert_eq!(outcome.unwrap(), 2);
    assert_eq!(fs::read(folder.path().join("out/files/a/b.txt")).unwrap(), b"text");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "../x",
        "/x",
        "a/../../x",
        "a//x",
        "./x",
        "a\\x",
        "C:/x",
        "a\nb",
        "..",
        &"x".repeat(256),
        &"d/".repeat(600),
        "con",
        "FINE",
    ] {
        let (_, outcome) = unpack(&package(&[("fine", b"1"), (name, b"2")]));
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, Kind::Damaged, "{name}: {error}");
    }
}

#[test]
fn links_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let (_, outcome) = unpack(&writer.finish().unwrap().into_inner());
    assert!(outcome.unwrap_err().text.contains("is a link or a device"));
}

#[test]
fn a_file_is_no_folder() {
    let (_, outcome) = unpack(&package(&[("a", b"1"), ("a/b", b"2")]));
    assert!(outcome.is_err());
}

#[test]
fn members_that_are_other_than_they_say_are_refused() {
    let package = package(&[("a", &[1; 500])]);
    // Its length and its checksum in the directory.
    let directory = package.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    for (at, said) in [(24, "shorter"), (16, "checksum")] {
        let mut package = package.clone();
        package[directory + at] ^= 8;
        let error = unpack(&package).1.unwrap_err();
        assert!(error.kind == Kind::Damaged && error.text.contains(said), "{error}");
    }
    let mut longer = package.clone();
    longer[directory + 25] = 0;
    assert!(unpack(&longer).1.unwrap_err().text.contains("longer"));
}

#[test]
fn bombs_are_refused() {
    let (_, outcome) = unpack(&package(&[("zeros", &vec![0; 30 << 20])]));
    assert!(outcome.unwrap_err().text.contains("times as long"));
}

#[test]
fn what_exists_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let error = check(folder.path()).unwrap_err();
    assert!(error.text.contains("needs a new folder"), "{error}");
    assert!(check(&folder.path().join("a/b")).is_err());
}

#[test]
fn it_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package.zip");
    fs::write(&path, package(&[("a", b"1")])).unwrap();
    assert!(extract(&path, &folder.path().join("out"), &|| true).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

proptest! {
    #[test]
    fn a_damaged_package_leaves_nothing(at in 0_usize..300, byte: u8) {
        let mut package = package(&[("a/b", b"some text"), ("c", b"more")]);
        let at = at % package.len();
        package[at] = byte;
        let _ = unpack(&package);
    }
}
